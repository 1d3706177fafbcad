"""`likeness compare` of two folders."""

import csv
import io
import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
from PIL import Image

from support import COMMAND, NOT_MEASURED, OVER_THE_LINE, CommandTest, likeness, noisy, photo, start_server, stop, write_png


class Folders(CommandTest):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.expected, self.rendered = self.root / "expected", self.root / "rendered"
        picture = photo()
        for name, sigma in (("a", 0), ("sub/b", 4), ("sub/deep/c", 20)):
            self.put(self.expected / f"{name}.png", picture)
            self.put(self.rendered / f"{name}.png", noisy(picture, sigma) if sigma else picture)

    def put(self, path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, pixels)

    def folders(self, *arguments, code=0):
        return self.run_json("compare", self.expected, self.rendered, *arguments, code=code)

    def test_each_pair_has_the_scores_that_it_has_alone(self):
        answer = self.folders("-m", "ssim,mae,psnr")
        self.assertEqual([pair["name"] for pair in answer["pairs"]], ["a", "sub/b", "sub/deep/c"])
        for pair in answer["pairs"]:
            alone = self.compare_json(pair["reference"], pair["distorted"], "-m", "ssim,mae,psnr")
            self.assertEqual(pair["scores"], alone["scores"])
            self.assertEqual(pair["distorted"], str(self.rendered / f"{pair['name']}.png"))
        self.assertNotIn("passed", answer)
        ssim, mae, psnr = answer["summary"]
        self.assertEqual((ssim["measured"], ssim["worst_pair"], mae["worst_pair"]), (3, "sub/deep/c", "sub/deep/c"))
        of_pairs = [pair["scores"][1]["score"] for pair in answer["pairs"]]
        self.assertAlmostEqual(mae["mean"], sum(of_pairs) / 3, places=15)
        self.assertEqual(mae["worst"], max(of_pairs))
        self.assertEqual(ssim["worst"], answer["pairs"][2]["scores"][0]["score"])
        self.assertEqual(psnr["mean"], "inf")

    def test_a_gate_holds_for_every_pair(self):
        done = likeness("compare", self.expected, self.rendered, "--fail-under", "ssim=0.8")
        self.assertEqual(done.returncode, OVER_THE_LINE)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("likeness: sub/deep/c: ssim is 0.", done.stderr)
        lines = done.stdout.splitlines()
        firsts = [line.split()[0] for line in lines if line]
        self.assertEqual(firsts, ["ssim", "a", "sub/b", "sub/deep/c", "mean", "worst", "sub/deep/c"])
        self.assertEqual([line.endswith("FAIL") for line in lines[1:4]], [False, False, True])
        answer = self.folders("--fail-under", "ssim=0.8", code=OVER_THE_LINE)
        self.assertEqual([pair["passed"] for pair in answer["pairs"]], [True, True, False])
        self.assertIs(answer["passed"], False)
        self.assertIs(self.folders("--fail-under", "ssim=0.1")["passed"], True)

    def test_extensions_may_differ_and_other_files_are_left_alone(self):
        (self.rendered / "a.png").unlink()
        Image.fromarray(photo()).save(self.rendered / "a.JPEG", quality=60)
        (self.expected / "notes.txt").write_text("no picture")
        (self.rendered / "sub" / "list.csv").write_text("no,picture")
        answer = self.folders("-m", "mae")
        self.assertEqual(len(answer["pairs"]), 3)
        self.assertTrue(answer["pairs"][0]["distorted"].endswith("a.JPEG"))
        self.assertGreater(answer["pairs"][0]["scores"][0]["score"], 0)

    def test_what_cannot_be_measured_is_named_and_the_rest_is_scored(self):
        picture = photo()
        self.put(self.expected / "lost.png", picture)
        self.put(self.rendered / "new.png", picture)
        self.put(self.expected / "size.png", picture)
        self.put(self.rendered / "size.png", picture[1:])
        self.put(self.expected / "broken.png", picture)
        (self.rendered / "broken.png").write_bytes((self.rendered / "a.png").read_bytes()[:2000])
        self.put(self.expected / "small.png", picture[:8, :8])
        self.put(self.rendered / "small.png", picture[:8, :8])
        asked = ("-m", "mae,ssim", "--fail-over", "mae=0.5")
        done = likeness("compare", self.expected, self.rendered, *asked, "--format", "csv")
        self.assertEqual(done.returncode, NOT_MEASURED)
        for name, says in (
            ("lost", "nothing was found to compare with"),
            ("new", "has no reference"),
            ("size", "sizes must match"),
            ("broken", "truncated"),
            ("small", "ssim was not measured"),
        ):
            lines = [line for line in done.stderr.splitlines() if line.startswith(f"likeness: {name}: ")]
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn(says, lines[0])
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        self.assertEqual(len(rows), 2 * 8)
        self.assertEqual(sum(row["error"] != "" for row in rows), 2 * 4 + 1)
        self.assertEqual(sum(row["passed"] == "true" for row in rows), 4)
        answer = self.folders(*asked, code=NOT_MEASURED)
        self.assertIs(answer["passed"], False)
        self.assertEqual([one["measured"] for one in answer["summary"]], [4, 3])

    def test_maps_and_gradients_go_to_folders(self):
        maps, gradients = self.root / "out" / "maps", self.root / "out" / "gradients"
        answer = self.folders("-m", "ssim,mae", "--map", maps, "--gradient", gradients, "--map-scale", "mae=0,0.5")
        for name in ("a", "sub/b", "sub/deep/c"):
            for metric in ("ssim", "mae"):
                self.assertTrue((maps / f"{name}-{metric}.png").is_file())
                self.assertEqual(np.load(gradients / f"{name}-{metric}.npy").shape, self.clean.shape)
        told = answer["pairs"][2]["scores"][1]
        self.assertEqual(told["map"]["file"], str(maps / "sub/deep/c-mae.png"))
        self.assertEqual((told["map"]["low"], told["map"]["high"]), (0.0, 0.5))
        alone = self.root / "alone.npy"
        one = (self.expected / "sub/b.png", self.rendered / "sub/b.png")
        self.run_ok("compare", *one, "-m", "mae", "--gradient", alone)
        self.assertEqual(alone.read_bytes(), (gradients / "sub/b-mae.npy").read_bytes())
        blocked = self.root / "blocked"
        blocked.write_text("a file where a folder must be")
        done = likeness("compare", self.expected, self.rendered, "-m", "mae", "--map", blocked)
        self.assertEqual(done.returncode, NOT_MEASURED)
        self.assertIn("blocked", done.stderr)

    def test_mistakes_are_named_before_anything_is_scored(self):
        empty = self.root / "empty"
        empty.mkdir()
        pair = ("compare", self.expected, self.rendered, "-m", "mae")
        self.assert_not_measured("compare", self.expected, self.rendered / "a.png", says="is no folder")
        self.assert_not_measured("compare", empty, empty, says="PNG, JPEG or WebP")
        self.assert_not_measured("compare", self.expected, self.root / "nowhere", says="nowhere is no folder")
        for folder in (self.expected, self.rendered / "sub", self.root):
            self.assert_not_measured(*pair, "--map", folder, says="choose a folder apart")
            self.assert_not_measured(*pair, "--gradient", folder, says="choose a folder apart")
        mask = write_png(self.root / "masks.png", photo()[:, :, 0])
        self.assert_not_measured(*pair, "--mask", mask, "--map", mask, says="choose a folder apart")
        self.assert_not_measured(*pair, "--map-scale", "0,1", says="--map-scale")
        Image.fromarray(photo()).save(self.expected / "a.jpg")
        self.assert_not_measured(*pair, says=("a.jpg", "a.png"))

    def test_links_neither_hide_pictures_nor_lead_outputs_back(self):
        (self.expected / "loop.png").symlink_to("loop.png")
        (self.rendered / "gone.png").symlink_to("nowhere.png")
        done = likeness("compare", self.expected, self.rendered, "--fail-under", "ssim=0.1")
        self.assertEqual(done.returncode, NOT_MEASURED)
        self.assertIn("likeness: loop: not measured", done.stderr)
        self.assertIn("likeness: gone: not measured", done.stderr)
        (self.expected / "loop.png").unlink()
        (self.rendered / "gone.png").unlink()
        before = (self.expected / "a.png").read_bytes()
        maps = self.root / "maps"
        maps.mkdir()
        (maps / "a.png").symlink_to(self.expected / "a.png")
        (maps / "sub").symlink_to(self.rendered / "sub")
        done = likeness("compare", self.expected, self.rendered, "-m", "mae", "--map", maps)
        self.assertEqual(done.returncode, NOT_MEASURED)
        self.assertEqual(done.stderr.count("choose a folder apart"), 3, done.stderr)
        self.assertEqual((self.expected / "a.png").read_bytes(), before)

    def test_what_a_server_refuses_leaves_the_rest(self):
        process, address = start_server(["--max-message-bytes", "400000"])
        try:
            large = np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8)
            self.put(self.expected / "large.png", large)
            self.put(self.rendered / "large.png", large)
            done = likeness("compare", self.expected, self.rendered, "-m", "mae", "--server", address)
        finally:
            code = stop(process)
        self.assertEqual(code, 0)
        self.assertEqual(done.returncode, NOT_MEASURED)
        self.assertIn("likeness: large: not measured: ", done.stderr)
        self.assertIn("max_message_bytes", done.stderr)
        self.assertEqual(len([line for line in done.stdout.splitlines() if line.startswith(("a ", "sub/"))]), 3)

    def test_a_busy_server_is_asked_again(self):
        # Room for one pair: of two commands at a time each finds it taken, again and again.
        for i in range(12):
            shutil.copy(self.expected / "a.png", self.expected / f"{i}.png")
            shutil.copy(self.rendered / "sub/b.png", self.rendered / f"{i}.png")
        process, address = start_server(["--max-in-flight-bytes", "1048576"])
        arguments = [COMMAND, "compare", self.expected, self.rendered, "-m", "mae", "--server", address, "--format", "json"]
        try:
            both = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "12"]
            done = [(*one.communicate(timeout=120), one.returncode) for one in both]
        finally:
            code = stop(process)
        self.assertEqual(code, 0)
        for out, err, returned in done:
            self.assertEqual(returned, 0, err)
            self.assertEqual(json.loads(out)["summary"][0]["measured"], 15)

    def test_a_server_scores_them_over_one_stream(self):
        process, address = start_server()
        try:
            where = ("-m", "mae,ssim,nlpd", "--fail-under", "ssim=0.5")
            answers = [self.folders(*where, *to, code=OVER_THE_LINE) for to in (("--server", address), ("--local",))]
        finally:
            code = stop(process)
        self.assertEqual(code, 0)
        self.assertEqual(answers[0], answers[1])
        self.assert_not_measured(
            "compare", self.expected, self.rendered, "-m", "mae", "--server", address, says=(address, "serve")
        )


if __name__ == "__main__":
    unittest.main()
