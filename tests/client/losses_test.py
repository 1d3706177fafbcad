"""`likeness compare` with masks, regions and losses, and `likeness explain --metrics`."""

import csv
import io
import unittest

import numpy as np

from support import OVER_THE_LINE, CommandTest, likeness, mae, start_server, stop, write_png


class Masked(CommandTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        height, width = cls.clean.shape[:2]
        cls.face = np.zeros((height, width), np.uint8)
        cls.face[30:150, 40:240] = 255
        cls.face[100:, :] //= 2
        cls.eyes = np.zeros((height, width), np.uint8)
        cls.eyes[50:80, 60:220] = 204
        cls.mask = write_png(cls.folder / "face.png", cls.face)
        cls.region = write_png(cls.folder / "eyes:3.png", cls.eyes)  # a colon in the path is not the flag's
        cls.error = np.abs(cls.clean.astype(np.float64) - cls.grainy).mean(axis=2) / 255

    def masked(self, *flags, metric="mae"):
        return self.score(self.reference, self.distorted, metric, *flags)

    def test_weights_follow_the_formula(self):
        mask, eyes = self.face / 255.0, self.eyes / 255.0
        cases = [
            (("--mask", self.mask), mask),
            (("--region", f"{self.region}:3"), 1 + 3 * eyes),
            (
                ("--mask", self.mask, "--region", f"{self.region}:3", "--region", f"{self.mask}:0.5"),
                mask * (1 + 3 * eyes + 0.5 * mask),
            ),
        ]
        for flags, weights in cases:
            with self.subTest(len(flags)):
                total = float((weights * self.error).sum())
                for averaging, divisor in (None, weights.size), ("pixels", weights.size), ("weights", weights.sum()):
                    score = self.masked(*flags, *(("--averaging", averaging) if averaging else ()))
                    self.assertAlmostEqual(score, total / divisor, delta=1e-7)

    def test_server_and_local_agree(self):
        process, address = start_server()
        try:
            flags = ("--mask", self.mask, "--region", f"{self.region}:2", "--loss", "l=mae+2*dssim-0.5*ssim")
            answers = [
                self.compare_json(self.reference, self.distorted, *flags, *where)
                for where in (("--server", address), ("--local",))
            ]
        finally:
            self.assertEqual(stop(process), 0)
        self.assertEqual(*answers)

    def test_metrics_that_take_no_mask_are_not_measured(self):
        pair = (self.reference, self.distorted, "-m", "mae,sse", "--mask", self.mask)
        done = likeness("compare", *pair, "--format", "csv")
        self.assertEqual(done.returncode, 2)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        self.assertEqual([bool(row["score"]) for row in rows], [True, False])
        self.assertIn("sse", done.stderr)

    def test_flags_that_make_no_sense(self):
        pair = ("compare", self.reference, self.distorted, "-m", "mae")
        small = write_png(self.folder / "small.png", self.face[1:])
        for flags, says in (
            (("--mask", small), (f"{small} (mask) is 301x196", "SIZE_MISMATCH")),
            (("--mask", self.reference), f"{self.reference} (mask) has 3 channels"),
            (("--region", f"{self.mask}:1", "--region", f"{small}:2"), f"{small} (region) is 301x196"),
            (("--mask", self.folder / "none.png"), "none.png"),
            (("--region", str(self.mask)), "FILE:MULTIPLIER"),
            (("--region", f"{self.mask}:"), "FILE:MULTIPLIER"),
            (("--region", f"{self.mask}:much"), "multiplier"),
            (("--region", f"{self.mask}:-1"), "BAD_PARAMETER"),
            (("--averaging", "weights"), "--mask"),
            (("--mask", self.mask, "--averaging", "both"), "--averaging"),
        ):
            self.assert_not_measured(*pair, *flags, says=says)


class Losses(CommandTest):
    def loss(self, text, *flags, code=0):
        return self.compare_json(self.reference, self.distorted, "--loss", text, *flags, code=code)

    def test_a_loss_is_the_sum_of_its_terms(self):
        apart = ["mae", "dssim", "ssim:torchmetrics"]
        answer = self.loss("face=1*dssim + 0.5*faceswap/mae-1e-1*ssim:torchmetrics", "-m", ",".join(apart))
        scores = {s["name"]: s["score"] for s in answer["scores"]}
        self.assertEqual(list(scores), [*apart, "face"])
        expected = scores["dssim"] + 0.5 * scores["mae"] - 0.1 * scores["ssim:torchmetrics"]
        self.assertAlmostEqual(scores["face"], expected, delta=1e-12)
        face = answer["scores"][3]
        self.assertEqual((face["metric"], face["direction"]), ("composition", "lower_is_better"))
        self.assertEqual([t["weight"] for t in face["terms"]], [1, 0.5, -0.1])
        self.assertEqual([t["metric"] for t in face["terms"]], ["dssim", "mae", "ssim"])
        self.assertEqual(face["terms"][2]["convention"], "torchmetrics")
        self.assertEqual([t["score"] for t in face["terms"]], [scores[apart[i]] for i in (1, 0, 2)])

    def test_a_loss_alone_is_all_that_is_measured(self):
        answer = self.loss("face=mae+mse")
        self.assertEqual([s["name"] for s in answer["scores"]], ["face"])
        self.assertAlmostEqual(
            answer["scores"][0]["score"],
            mae(self.clean, self.grainy) + self.score(self.reference, self.distorted, "mse"),
            delta=1e-7,
        )

    def test_gates_know_losses(self):
        score = self.loss("face=mae+mse")["scores"][0]["score"]
        answer = self.loss("face=mae+mse", "--fail-over", f"face={score!r}")
        self.assertIs(answer["scores"][0]["passed"], True)
        gates = ("--fail-over", f"face={np.nextafter(score, 0)!r}", "--fail-under", "psnr=1")
        answer = self.loss("face=mae+mse", *gates, code=OVER_THE_LINE)
        self.assertEqual([(s["name"], s["passed"]) for s in answer["scores"]], [("psnr", True), ("face", False)])

    def test_parameters_reach_terms(self):
        narrow = self.loss("h=huber+mae", "-p", "huber.delta=0.004")["scores"][0]
        self.assertEqual(narrow["terms"][0]["parameters"]["delta"], 0.004)
        self.assertEqual(
            narrow["terms"][0]["score"],
            self.score(self.reference, self.distorted, "huber", "-p", "huber.delta=0.004"),
        )

    def test_gradients_and_maps_are_written(self):
        files = ("--gradient", self.folder / "g.npy", "--map", self.folder / "m.npy")
        self.loss("face=2*mae-mse", "-m", "mae,mse", *files)
        for kind in "gm":
            face, first, second = (np.load(self.folder / f"{kind}-{name}.npy") for name in ("face", "mae", "mse"))
            np.testing.assert_allclose(face, 2 * first - second, rtol=1e-5, atol=1e-9)
            self.assertGreater(np.abs(face).max(), 0)

    def test_text_and_csv(self):
        arguments = ("compare", self.reference, self.distorted, "--loss", "face=mae-0.5*ssim")
        lines = self.run_ok(*arguments).stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["face", "1", "-0.5"])
        self.assertIn("mae:standard", lines[1])
        row = next(csv.DictReader(io.StringIO(self.run_ok(*arguments, "--format", "csv").stdout)))
        self.assertEqual((row["metric"], row["convention"], row["score"]), ("face", "composition", lines[0].split()[1]))

    def test_an_alias_is_a_name(self):
        name = "faceswap/mae"
        answer = self.compare_json(self.reference, self.distorted, "-m", name, "--fail-over", f"{name}=1")
        self.assertEqual((answer["scores"][0]["name"], answer["scores"][0]["metric"]), (name, "mae"))
        self.assertIs(answer["scores"][0]["passed"], True)

    def test_losses_that_make_no_sense(self):
        for text, says in (
            ("face", "nothing is summed"),
            ("=mae", "name"),
            ("a b=mae", "name"),
            ("face=", "nothing is summed"),
            ("face=mae+", "names no metric"),
            ("face=1*", "names no metric"),
            ("face=2mae", "lacks its *"),
            ("face=1.2.3*mae", "1.2.3"),
            ("face=mae mse", "joined by"),
            ("face=mae*2", "joined by"),
            ("face=nonsense", "known metrics"),
            ("ssim=mae", "taken by a metric"),
            ("face=1e9*mae", "BAD_PARAMETER"),
            ("face=" + "+".join(["mae"] * 17), "17 terms"),
        ):
            self.assert_not_measured("compare", self.reference, self.distorted, "--loss", text, says=says)
        self.assert_not_measured(
            "compare", self.reference, self.distorted, "--loss", "a=mae", "--loss", "a=mse", says="another loss"
        )

    def test_a_term_that_fails_is_named(self):
        done = likeness("compare", self.reference, self.distorted, "-m", "mae", "--loss", "face=mae+ssim:nonsense")
        self.assertEqual(done.returncode, 2)
        self.assertIn("face was not measured: term 2 (ssim:nonsense)", done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 1)


class Sharing(CommandTest):
    def plan(self, metrics, *flags):
        return self.run_json("explain", "--metrics", metrics, *flags)

    def test_every_metric_is_in_one_place(self):
        answer = self.plan("mae,ssim,gmsd,laploss,nlpd", "--size", "640x480")
        self.assertEqual((answer["width"], answer["height"]), (640, 480))
        self.assertEqual(answer["metrics"], ["mae", "ssim", "gmsd", "laploss", "nlpd"])
        self.assertEqual(
            sorted(answer["walks"] + answer["programs"]), sorted(answer["metrics"])
        )
        self.assertTrue({"gmsd", "laploss", "nlpd"} <= set(answer["programs"]))
        self.assertTrue(answer["shares"])
        loads = [step for step in answer["shared_steps"] if step["op"] == "Load"]
        self.assertIn({"gmsd", "laploss", "nlpd"}, [set(step["metrics"]) for step in loads])
        for key in ("bytes_moved", "operations"):
            self.assertLess(answer["together"][key], answer["apart"][key])

    def test_outputs_and_weights_cost(self):
        plain = self.plan("gmsd,laploss")["apart"]
        self.assertGreater(self.plan("gmsd,laploss", "--gradient")["apart"]["operations"], plain["operations"])
        # A fused walk knows no weights: the program runs.
        self.assertIn("mae", self.plan("mae,mse")["walks"])
        self.assertIn("mae", self.plan("mae,mse", "--weighted")["programs"])

    def test_text(self):
        text = self.run_ok("explain", "--metrics", "mae,ssim,gmsd,laploss").stdout
        for word in ("fused walks", "mae, ssim", "programs", "Load", "workspace", "apart", "together", "ratio"):
            self.assertIn(word, text)

    def test_flags_that_make_no_sense(self):
        self.assert_not_measured("explain", says="--metrics")
        self.assert_not_measured("explain", "mae", "--metrics", "mae,mse", says="excludes")
        self.assert_not_measured("explain", "mae", "--size", "3x3", says="--metrics")
        self.assert_not_measured("explain", "--metrics", "mae", "--server", "a:1", says="--server")
        self.assert_not_measured("explain", "--metrics", "mae,nonsense", says="nonsense")
        self.assert_not_measured("explain", "--metrics", "mae,sse", "--weighted", says="sse")
        for size in ("3", "3x", "0x3", "3x-1", "axb", "70000x3", "3x3x3"):
            self.assert_not_measured("explain", "--metrics", "mae", "--size", size, says="--size")

    def test_listings_show_aliases_and_who_takes_weights(self):
        metrics = {m["id"]: m for m in self.run_json("metrics")["metrics"]}
        self.assertIn({"name": "faceswap/mae", "convention": "standard"}, metrics["mae"]["aliases"])
        self.assertEqual((metrics["mae"]["takes_weights"], metrics["sse"]["takes_weights"]), (True, False))
        self.assertTrue(all(c["takes_weights"] for c in metrics["mae"]["conventions"]))
        self.assertIn("faceswap/mae", self.run_ok("metrics").stdout)
        self.assertIn("faceswap/mae is mae:standard", self.run_ok("explain", "faceswap/mae").stdout)
        self.assertIn("takes none", self.run_ok("explain", "sse").stdout)


if __name__ == "__main__":
    unittest.main()
