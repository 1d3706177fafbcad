"""client/python against a real server: what docs/python.md says of it, run as it stands there."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

from support import CHELSEA, CommandTest, noisy, photo, start_server, stop

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()


class PythonClient(CommandTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stubs = tempfile.TemporaryDirectory()
        # The page's commands, but for where the stubs go.
        commands = re.search(r"    mkdir -p build/python\n(.*?)\n    export", PAGE, re.DOTALL).group(1)
        subprocess.run(
            ["/bin/sh", "-ec", commands.replace("build/python", cls.stubs.name)], cwd=ROOT, check=True, timeout=60
        )
        sys.path[:0] = [cls.stubs.name, str(ROOT / "client" / "python")]
        cls.process, cls.address = start_server()
        import likeness_client

        cls.module = likeness_client
        cls.client = likeness_client.Client(cls.address)

    @classmethod
    def tearDownClass(cls):
        cls.client.channel.close()
        code = stop(cls.process)
        cls.stubs.cleanup()
        super().tearDownClass()
        assert code == 0, f"the server ended with {code}"

    def examples(self):
        blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        return [text.replace("localhost:50051", self.address) for text in blocks]

    def run_example(self, text):
        paths = os.pathsep.join([self.stubs.name, str(ROOT / "client" / "python")])
        return subprocess.run(
            [sys.executable, "-B", "-c", text],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def test_the_pages_example_runs(self):
        done = self.run_example(self.examples()[0])
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 3 + 20)
        self.assertIn("(187, 291, 3)", lines[0])
        self.assertIn("(197, 301, 3)", lines[2])
        self.assertIn("0 [1.0, 0.0]", lines)

    @unittest.skipUnless(importlib.util.find_spec("torch"), "PyTorch is not installed")
    def test_the_pages_training_step_runs(self):
        text = "import torch; torch.manual_seed(1)\n" + self.examples()[1] + (
            "for shapes in (((2, 3, 32, 32), (1, 3, 32, 32)), ((0, 3, 32, 32), (0, 3, 32, 32))):\n"
            "    try:\n"
            "        perceptual(*map(torch.rand, shapes))\n"
            "    except ValueError:\n"
            "        continue\n"
            "    raise AssertionError(shapes)\n"
            # Along the gradient itself, where the loss changes most.
            "step = prediction.grad / prediction.grad.norm()\n"
            "with torch.no_grad():\n"
            "    ahead, behind = (perceptual(prediction + s * step, target).item() for s in (1, -1))\n"
            "print((ahead - behind) / 2, prediction.grad.norm().item())\n"
        )
        done = self.run_example(text)
        self.assertEqual(done.returncode, 0, done.stderr)
        difference, gradient = map(float, done.stdout.split())
        self.assertAlmostEqual(difference, gradient, delta=0.02 * gradient)

    def test_scores_are_the_commands(self):
        reference, distorted = photo(self.reference), photo(self.distorted)
        answer = self.compare_json(self.reference, self.distorted, "-m", "mae,gmsd", "--local")
        said = [score["score"] for score in answer["scores"]]
        self.assertEqual([s.score for s in self.client.score(reference, distorted, "mae", "gmsd")], said)
        deep = [x.astype(np.uint16) * 257 for x in (reference, distorted)]
        np.testing.assert_allclose([s.score for s in self.client.score(*deep, "mae", "gmsd")], said, rtol=1e-6)

    def test_gradients_are_central_differences(self):
        reference = photo()[:40, :40].astype(np.float32) / 255
        distorted = noisy(photo()[:40, :40]).astype(np.float32) / 255
        step = np.random.default_rng(2).normal(0, 1, reference.shape).astype(np.float32)
        asked = self.module.loss({"faceswap/ssim": 1.0, "mse": 2.0})
        (at,) = self.client.score(reference, distorted, asked)
        ahead, behind = (self.client.score(reference, distorted + s * 1e-3 * step, asked)[0].score for s in (1, -1))
        self.assertAlmostEqual((ahead - behind) / 2e-3, float((at.gradient * step).sum()), places=3)

    def test_images_of_every_kind_are_taken(self):
        gray = photo()[:, :, 1]
        alpha = np.dstack([photo(), gray])
        file = CHELSEA.read_bytes()
        for reference, distorted in ((gray, gray), (alpha, alpha), (file, file), (photo()[::-1], photo()[::-1])):
            self.assertEqual(self.client.score(reference, distorted, "mae")[0].score, 0.0)
        with self.assertRaisesRegex(TypeError, "float64"):
            self.client.score(gray.astype(np.float64), gray, "mae")

    def test_faults_are_raised_or_yielded(self):
        import grpc

        a, b = photo(), noisy(photo())
        with self.assertRaises(grpc.RpcError) as failed:
            self.client.score(a, b[1:], "mae")
        self.assertEqual(failed.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        with self.assertRaisesRegex(self.module.ScoringError, "NOT_FOUND.*no_such_metric"):
            self.client.score(a, b, "mae", "no_such_metric")
        found = dict(self.client.score_pairs([(a, b), (a, b[1:]), (a[:5, :5], b[:5, :5]), (b, b)], "mae", "ssim"))
        self.assertEqual(set(found), {0, 1, 2, 3})
        self.assertEqual([s.score for s in found[0]], [s.score for s in self.client.score(a, b, "mae", "ssim")])
        for index, text in ((1, "sizes must match"), (2, "ssim needs at least 11x11")):
            self.assertIsInstance(found[index], self.module.ScoringError)
            self.assertIn(text, str(found[index]))
        self.assertEqual([s.score for s in found[3]], [0.0, 1.0])

    def test_what_the_pairs_raise_is_raised(self):
        def pairs():
            yield photo(), photo()
            raise RuntimeError("the loader broke")

        done = []
        with self.assertRaisesRegex(RuntimeError, "the loader broke"):
            done.extend(self.client.score_pairs(pairs(), "mae"))
        with self.assertRaisesRegex(TypeError, "float64"):
            list(self.client.score_pairs([(photo().astype(np.float64), photo())], "mae"))
        for _ in self.client.score_pairs([(photo(), photo())] * 200, "mae"):
            break  # and the server goes on
        self.assertEqual(self.client.score(photo(), photo(), "mae")[0].score, 0.0)


if __name__ == "__main__":
    unittest.main()
