"""The command with a server process, and the commands that describe metrics."""

import unittest

import numpy as np

from support import COFFEE, CommandTest, likeness, start_server, stop, write_png


class WithServer(CommandTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.process, cls.address = start_server()

    @classmethod
    def tearDownClass(cls):
        code = stop(cls.process)
        super().tearDownClass()
        assert code == 0, f"the server ended with {code}"

    def test_local_and_server_agree_to_the_last_bit(self):
        deep = self.clean.astype(np.uint16) * 257
        alpha = np.dstack([self.grainy, self.clean[:, :, 0]])
        pairs = [
            (self.reference, self.distorted),
            (COFFEE, COFFEE),
            (self.reference, write_png(self.folder / "alpha.png", alpha)),
            (write_png(self.folder / "deep.png", deep), self.distorted),
            (write_png(self.folder / "gray.png", self.clean[:, :, 1]), self.distorted),
        ]
        for reference, distorted in pairs:
            with self.subTest(distorted.name):
                answers = [
                    self.compare_json(reference, distorted, "-m", "all", *where)
                    for where in (("--server", self.address), ("--local",))
                ]
                self.assertEqual(answers[0], answers[1])

    def test_maps_and_gradients_agree_to_the_last_bit(self):
        for name, where in (("server", ("--server", self.address)), ("local", ("--local",))):
            self.run_ok(
                "compare",
                self.reference,
                self.distorted,
                "-m",
                "mae,gmsd",
                "--map",
                self.folder / f"{name}-map.npy",
                "--gradient",
                self.folder / f"{name}-gradient.npy",
                *where,
            )
        for kind in ("map-mae", "map-gmsd", "gradient-mae", "gradient-gmsd"):
            local, server = [(self.folder / f"{name}-{kind}.npy").read_bytes() for name in ("local", "server")]
            self.assertEqual(local, server, kind)

    def test_the_server_may_come_from_the_environment(self):
        pair = ("compare", self.reference, self.distorted, "-m", "mae")
        done = likeness(*pair, environment={"LIKENESS_SERVER": self.address})
        self.assertEqual(done.returncode, 0, done.stderr)
        nobody = {"LIKENESS_SERVER": "127.0.0.1:1"}
        self.assert_not_measured(*pair, environment=nobody, says="127.0.0.1:1")
        self.assertEqual(likeness(*pair, "--local", environment=nobody).returncode, 0)
        self.assertEqual(likeness(*pair, "--server", self.address, environment=nobody).returncode, 0)

    def test_errors_of_the_server_are_told_with_their_reason(self):
        smaller = write_png(self.folder / "smaller.png", self.clean[:-1])
        self.assert_not_measured(
            "compare",
            self.reference,
            smaller,
            "-m",
            "mae",
            "--server",
            self.address,
            says=(self.address, "SIZE_MISMATCH", "301x196"),
        )
        bad = self.folder / "bad.png"
        bad.write_bytes(self.reference.read_bytes()[:500])
        self.assert_not_measured(
            *("compare", bad, self.distorted, "-m", "mae", "--server", self.address),
            says=("BAD_IMAGE", f"{bad} (reference)"),
        )

    def test_metrics_are_the_same_from_both(self):
        texts = [
            self.run_ok("metrics", "--format", "json", *where).stdout
            for where in (("--server", self.address), ("--local",))
        ]
        self.assertEqual(texts[0], texts[1])


class WithoutServer(CommandTest):
    def test_nobody_there(self):
        self.assert_not_measured(
            "compare",
            self.reference,
            self.distorted,
            "--server",
            "127.0.0.1:1",
            says=("127.0.0.1:1", "likeness serve", "--local"),
        )
        self.assert_not_measured("metrics", "--server", "127.0.0.1:1")

    def test_addresses_and_flags_that_make_no_sense(self):
        self.assert_not_measured("metrics", "--weights", "/no/such/folder", says=("--weights", "/no/such/folder"))
        self.assert_not_measured("metrics", "--server", "a:1", "--memory", "1G", says="--memory")
        self.assert_not_measured("metrics", "--memory", "1G", environment={"LIKENESS_SERVER": "a:1"}, says="--memory")
        for address in ("localhost", "::1", "::1:50051", "[::1]"):
            self.assert_not_measured("metrics", "--server", address, says="HOST:PORT")
        self.assert_not_measured("metrics", "--server", "a:1", "--local", says="--local")
        self.assert_not_measured("metrics", "--server", "a:1", "--threads", "2", says="--threads")
        self.assert_not_measured("metrics", "--threads", "2", environment={"LIKENESS_SERVER": "a:1"}, says="--threads")
        self.assert_not_measured("metrics", "--server", "127.0.0.1:1", "--timeout", "0", says="--timeout")
        self.assert_not_measured("metrics", "--timeout", "5", says="--server")
        self.assert_not_measured("explain", "--metrics", "mae", "--timeout", "5", says="--timeout")


class Descriptions(CommandTest):
    def test_metrics_as_json(self):
        answer = self.run_json("metrics")
        self.assertEqual(answer["version"], 1)
        metrics = {m["id"]: m for m in answer["metrics"]}
        self.assertEqual(metrics["psnr"]["range"][1], "inf")
        self.assertEqual(metrics["psnr"]["identity"], "inf")
        self.assertEqual(metrics["psnr"]["direction"], "higher_is_better")
        self.assertEqual([p["name"] for p in metrics["huber"]["parameters"]], ["delta"])
        for metric in metrics.values():
            with self.subTest(metric["id"]):
                self.assertTrue(metric["summary"] and metric["good_values"] and metric["reference"])
                self.assertTrue(metric["conventions"])
                self.assertEqual(metric["available"], "unavailable" not in metric)
                if metric["available"]:
                    self.assertGreater(metric["cost_1080p"]["operations"], 0)

    def test_metrics_as_a_table(self):
        lines = self.run_ok("metrics").stdout.splitlines()
        listed = self.run_json("metrics")["metrics"]
        self.assertEqual([line.split()[0] for line in lines[1:]], [m["id"] for m in listed])

    def test_explain(self):
        text = self.run_ok("explain", "huber").stdout
        for word in ("lower is better", "delta", "--parameter huber.NAME=VALUE", "huber:NAME"):
            self.assertIn(word, text)
        self.assertLessEqual(max(map(len, text.splitlines())), 120)
        self.assertEqual(self.run_json("explain", "huber")["metric"]["id"], "huber")
        self.assert_not_measured("explain", "nonsense", says="known metrics")

    def test_version(self):
        version = self.run_ok("--version").stdout
        self.assertEqual(version, self.run_ok("serve", "--version").stdout)
        build = self.run_json("compare", self.reference, self.distorted)["provenance"]["build"]
        self.assertEqual(version, build + "\n")

    def test_help(self):
        for arguments in (
            ("--help",),
            ("compare", "--help"),
            ("metrics", "--help"),
            ("explain", "--help"),
            ("serve", "--help"),
        ):
            self.assertTrue(self.run_ok(*arguments).stdout, arguments)


if __name__ == "__main__":
    unittest.main()
