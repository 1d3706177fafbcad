"""`likeness compare`: scores, gates, exit codes, and the three formats."""

import csv
import io
import json
import unittest

import numpy as np

from support import CHELSEA, NOT_MEASURED, OVER_THE_LINE, PASSED, CommandTest, likeness, mae, write_png


class Scores(CommandTest):
    def test_mae_is_what_numpy_says(self):
        self.assertAlmostEqual(
            self.score(self.reference, self.distorted, "mae"), mae(self.clean, self.grainy), delta=1e-7
        )

    def test_equal_images_give_the_identity_value_of_every_metric(self):
        answer = self.compare_json(self.reference, CHELSEA, "--metric", "mae,mse,psnr,gmsd")
        self.assertEqual(
            {s["metric"]: s["score"] for s in answer["scores"]}, {"mae": 0.0, "mse": 0.0, "psnr": "inf", "gmsd": 0.0}
        )

    def test_order_is_that_of_the_command_line(self):
        answer = self.compare_json(self.reference, self.distorted, "-m", "psnr,mae", "-m", "gmsd")
        self.assertEqual([s["metric"] for s in answer["scores"]], ["psnr", "mae", "gmsd"])

    def test_all_measures_every_available_metric(self):
        answer = self.compare_json(self.reference, self.distorted, "--metric", "all")
        listed = self.run_json("metrics")["metrics"]
        self.assertEqual([s["metric"] for s in answer["scores"]], [m["id"] for m in listed if m["available"] and not m["needs_convention"]])

    def test_threads_do_not_change_a_score(self):
        one = self.compare_json(self.reference, self.distorted, "--metric", "all", "--threads", 1)["scores"]
        self.assertEqual(
            one, self.compare_json(self.reference, self.distorted, "--metric", "all", "--threads", 3)["scores"]
        )

    def test_parameters_change_the_score_and_are_told(self):
        wide = self.compare_json(self.reference, self.distorted, "-m", "huber", "-p", "huber.delta=1")["scores"][0]
        narrow = self.compare_json(self.reference, self.distorted, "-m", "huber", "-p", "huber.delta=0.004")["scores"][
            0
        ]
        self.assertEqual(wide["parameters"]["delta"], 1)
        self.assertEqual(narrow["parameters"]["delta"], 0.004)
        self.assertLess(narrow["score"], wide["score"])
        mse = self.score(self.reference, self.distorted, "mse")
        self.assertAlmostEqual(wide["score"], mse / 2, delta=1e-7)  # no error on this scale exceeds 1

    def test_convention_is_told_by_name(self):
        answer = self.compare_json(self.reference, self.distorted, "-m", "gmsd,gmsd:pyiqa")
        default, other = answer["scores"]
        self.assertEqual((default["metric"], other["metric"], other["convention"]), ("gmsd", "gmsd", "pyiqa"))
        self.assertNotEqual(default["convention"], "pyiqa")
        self.assertNotEqual(default["score"], other["score"])


class Gates(CommandTest):
    def gate(self, *flags, metrics="mae,psnr"):
        return likeness("compare", self.reference, self.distorted, "--metric", metrics, *flags).returncode

    def test_passing_and_failing(self):
        self.assertEqual(self.gate("--fail-over", "mae=0.5"), PASSED)
        self.assertEqual(self.gate("--fail-over", "mae=0.001"), OVER_THE_LINE)
        self.assertEqual(self.gate("--fail-under", "psnr=10"), PASSED)
        self.assertEqual(self.gate("--fail-under", "psnr=60"), OVER_THE_LINE)

    def test_every_gate_counts(self):
        self.assertEqual(self.gate("--fail-over", "mae=0.5", "--fail-under", "psnr=60"), OVER_THE_LINE)
        self.assertEqual(self.gate("--fail-over", "mae=0.001", "--fail-under", "psnr=10"), OVER_THE_LINE)
        self.assertEqual(self.gate("--fail-over", "mae=0.5", "--fail-under", "psnr=10"), PASSED)
        self.assertEqual(self.gate("--fail-over", "mae=0.5", "--fail-over", "mae=0.001"), OVER_THE_LINE)

    def test_a_score_on_the_line_passes(self):
        score = self.score(self.reference, self.distorted, "mae")
        self.assertEqual(self.gate("--fail-over", f"mae={score!r}"), PASSED)
        self.assertEqual(self.gate("--fail-under", f"mae={score!r}"), PASSED)
        self.assertEqual(self.gate("--fail-over", f"mae={np.nextafter(score, 0)!r}"), OVER_THE_LINE)
        self.assertEqual(self.gate("--fail-under", f"mae={np.nextafter(score, 1)!r}"), OVER_THE_LINE)

    def test_infinite_scores_and_limits(self):
        same = ("compare", self.reference, self.reference, "--metric", "psnr", "--fail-under")
        self.run_ok(*same, "psnr=1000")
        self.run_ok(*same, "psnr=inf")
        self.assertEqual(self.gate("--fail-under", "psnr=inf"), OVER_THE_LINE)

    def test_a_gate_alone_names_its_metric(self):
        answer = self.compare_json(self.reference, self.distorted, "--fail-over", "mae=0.5")
        self.assertEqual([s["metric"] for s in answer["scores"]], ["mae"])

    def test_a_bare_name_means_the_convention_that_was_asked_for(self):
        self.assertEqual(self.gate("--fail-over", "gmsd=0", metrics="gmsd:pyiqa"), OVER_THE_LINE)
        # With both asked for, the bare name is the default convention's.
        answer = self.compare_json(
            self.reference, self.distorted, "-m", "gmsd,gmsd:pyiqa", "--fail-over", "gmsd=0", code=OVER_THE_LINE
        )
        self.assertEqual(["passed" in s for s in answer["scores"]], [True, False])

    def test_what_was_not_measured_cannot_pass(self):
        for flags in (("--fail-under", "ssim=0.1"), ("--fail-over", "mae:nonsense=1"), ("--fail-over", "nonsense=1")):
            done = likeness("compare", self.reference, self.distorted, "--metric", "mae", *flags)
            self.assertEqual(done.returncode, NOT_MEASURED, flags)
            self.assertEqual(done.stdout, "")

    def test_bad_gates(self):
        for text in ("mae", "mae=", "=1", "mae=low", "mae=nan", "mae=0.1x"):
            self.assert_not_measured(
                "compare", self.reference, self.distorted, "-m", "mae", "--fail-over", text, says="--fail-over"
            )

    def test_a_gate_that_fails_better_images_is_remarked_on(self):
        done = self.run_ok("compare", self.reference, self.distorted, "-m", "mae", "--fail-under", "mae=0.001")
        self.assertIn("lower mae is better", done.stderr)


class Formats(CommandTest):
    def test_text_has_scores_on_stdout_and_reasons_on_stderr(self):
        done = self.run_ok(
            "compare", self.reference, self.distorted, "-m", "mae,psnr", "--fail-over", "mae=0", code=OVER_THE_LINE
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual([line[0] for line in lines], ["mae", "psnr"])
        self.assertEqual(float(lines[0][1]), self.score(self.reference, self.distorted, "mae"))
        self.assertIn("FAIL", lines[0])
        self.assertNotIn("FAIL", lines[1])
        self.assertIn(f"mae is {lines[0][1]}, above 0 (--fail-over mae=0)", done.stderr)
        done = likeness("compare", self.reference, self.distorted, "--fail-under", "ssim=0.9999")
        self.assertIn(", below 0.9999 (--fail-under ssim=0.9999)", done.stderr)

    def test_json_schema(self):
        answer = self.compare_json(self.reference, self.distorted, "-m", "mae,psnr", "--fail-over", "mae=0.5")
        self.assertEqual(list(answer), ["version", "reference", "distorted", "scores", "passed", "provenance"])
        self.assertEqual(answer["version"], 1)
        self.assertEqual(answer["reference"], str(self.reference))
        self.assertEqual(answer["distorted"], str(self.distorted))
        self.assertIs(answer["passed"], True)
        first, second = answer["scores"]
        self.assertIs(first["passed"], True)
        self.assertNotIn("passed", second)
        for entry, direction in ((first, "lower_is_better"), (second, "higher_is_better")):
            self.assertEqual(entry["direction"], direction)
            self.assertIsInstance(entry["score"], float)
            self.assertIsInstance(entry["version"], int)
            self.assertIsInstance(entry["parameters"], dict)
            self.assertTrue(entry["convention"])
            self.assertEqual(entry["precision"], "exact")
        self.assertEqual(answer["provenance"]["backend"], "cpu")
        self.assertTrue(all(answer["provenance"][key] for key in ("instruction_set", "build")))

    def test_json_says_failed_gates_and_infinities(self):
        answer = self.compare_json(
            self.reference, self.reference, "-m", "psnr,mae", "--fail-under", "mae=1", code=OVER_THE_LINE
        )
        self.assertIs(answer["passed"], False)
        self.assertEqual(answer["scores"][0]["score"], "inf")
        self.assertIs(answer["scores"][1]["passed"], False)

    def test_csv(self):
        path = write_png(self.folder / 'with, comma and "quote".png', self.grainy)
        done = self.run_ok(
            "compare", self.reference, path, "-m", "mae,psnr", "--fail-over", "mae=0.5", "--format", "csv"
        )
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        self.assertEqual([row["metric"] for row in rows], ["mae", "psnr"])
        self.assertEqual({row["distorted"] for row in rows}, {str(path)})
        self.assertEqual([row["passed"] for row in rows], ["true", ""])
        self.assertEqual(float(rows[0]["score"]), self.score(self.reference, self.distorted, "mae"))
        self.assertEqual([row["error"] for row in rows], ["", ""])

    def test_csv_writes_infinity_as_inf(self):
        done = self.run_ok("compare", self.reference, self.reference, "-m", "psnr", "--format", "csv")
        self.assertEqual(next(csv.DictReader(io.StringIO(done.stdout)))["score"], "inf")

    def test_one_failing_metric_leaves_the_others_their_scores(self):
        tiny = write_png(self.folder / "tiny.png", self.clean[:1, :1])
        arguments = ("compare", tiny, tiny, "-m", "mae,gmsd")  # gmsd needs 2x2
        done = likeness(*arguments, "--format", "json")
        self.assertEqual(done.returncode, NOT_MEASURED)
        answer = json.loads(done.stdout)
        self.assertEqual([s["metric"] for s in answer["scores"]], ["mae"])
        self.assertEqual([(e["metric"], e["code"]) for e in answer["errors"]], [("gmsd", "INVALID_ARGUMENT")])
        self.assertIn("gmsd was not measured", done.stderr)
        rows = list(csv.DictReader(io.StringIO(likeness(*arguments, "--format", "csv").stdout)))
        self.assertEqual([bool(row["score"]) for row in rows], [True, False])
        self.assertTrue(rows[1]["error"])
        text = likeness(*arguments).stdout.splitlines()
        self.assertEqual(len(text), 1)
        self.assertTrue(text[0].startswith("mae"))

    def test_a_gate_on_a_failed_metric_is_not_a_pass(self):
        tiny = write_png(self.folder / "tiny_gate.png", self.clean[:1, :1])
        done = likeness("compare", tiny, tiny, "-m", "mae,gmsd", "--fail-over", "gmsd=1", "--format", "json")
        self.assertEqual(done.returncode, NOT_MEASURED)
        self.assertIs(json.loads(done.stdout)["passed"], False)


if __name__ == "__main__":
    unittest.main()
