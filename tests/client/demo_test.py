"""The demo's parts that need no server: distortions of equal error, ranks, scales, and the page."""

import re
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
from PIL import Image

from support import PHOTOS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools/demo"))

import distort  # noqa: E402
import page  # noqa: E402

PHOTO = PHOTOS / "astronaut_480x480.png"


class Distortions(unittest.TestCase):
    def test_all_have_about_the_same_error(self):
        with tempfile.TemporaryDirectory() as folder:
            reference, distortions = distort.make_all(PHOTO, Path(folder))
            self.assertEqual(
                [d.id for d in distortions], ["contrast", "mean_shift", "pixel_shift", "noise", "blur", "jpeg"]
            )
            original = np.asarray(Image.open(reference))
            np.testing.assert_array_equal(original, np.asarray(Image.open(PHOTO).convert("RGB")))
            target = next(d.mse for d in distortions if d.id == "pixel_shift")
            for d in distortions:
                with self.subTest(d.id):
                    self.assertAlmostEqual(d.mse / target, 1, delta=0.1)
                    self.assertAlmostEqual(
                        d.mse, distort.mse(original, np.asarray(Image.open(d.path).convert("RGB"))), 6
                    )


class Ranks(unittest.TestCase):
    def test_directions_ties_and_gaps(self):
        self.assertEqual(page.ranks([0.3, 0.1, 0.2], "lower_is_better"), [3, 1, 2])
        self.assertEqual(page.ranks([0.3, 0.1, 0.2], "higher_is_better"), [1, 3, 2])
        self.assertEqual(page.ranks([-0.3, 0.1, 0.2], "zero_is_best"), [3, 1, 2])
        self.assertEqual(page.ranks([1, 2, 1, 3], "lower_is_better"), [1, 3, 1, 4])
        self.assertEqual(page.ranks([1, None, 0], "lower_is_better"), [2, None, 1])
        self.assertEqual(page.ranks(["inf", 40.0], "higher_is_better"), [1, 2])

    def test_rows_that_see_the_same_damage_everywhere(self):
        self.assertTrue(page.holds_equal([0.0038, 0.0036, 0.0039], 0.0))
        self.assertTrue(page.holds_equal([24.1, 24.4], "inf"))
        self.assertFalse(page.holds_equal([0.9026, 0.9978], 1.0))  # near in score, far in distance from 1
        self.assertFalse(page.holds_equal(["inf", 24.4], "inf"))
        self.assertTrue(page.holds_equal([0.5, None, 0.5], 0.0))
        self.assertFalse(page.holds_equal([None], None))

    def test_scores_as_text(self):
        self.assertEqual(
            [page.text(s) for s in (0.0, 0.5, 31.25, 1e-7, 2.5e9, "inf", "-inf")],
            ["0.0000", "0.5000", "31.25", "1.00e-07", "2.50e+09", "\u221e", "-\u221e"],
        )

    def test_scale_runs_from_no_difference_to_much(self):
        low = np.zeros((10, 100))
        high = np.tile(np.linspace(0, 1, 100), (10, 1))
        dark, bright = page.common_scale(low, [low, high])
        self.assertEqual(dark, 0)
        self.assertTrue(0.9 < bright <= 1)
        dark, bright = page.common_scale(1 - low, [1 - low, 1 - high])  # a map of similarities
        self.assertEqual(dark, 1)
        self.assertTrue(0 <= bright < 0.1)
        dark, bright = page.common_scale(low, [low])  # nothing differs: a scale nevertheless
        self.assertLess(dark, bright)


class Page(unittest.TestCase):
    METRICS = [
        {"id": "mae", "family": "pointwise", "summary": "s", "direction": "lower_is_better"},
        {
            "id": "lpips",
            "family": "learned",
            "summary": "s",
            "direction": "lower_is_better",
            "unavailable": "no weights; run <make weights>",
        },
        {"id": "gmsd", "family": "gradient", "summary": "s", "direction": "lower_is_better"},
    ]

    def rows(self, distortions):
        results = {
            d.id: {"mae": {"score": i / 10}, "gmsd": {"score": 1.0} if i else {"error": "too small"}}
            for i, d in enumerate(distortions)
        }
        return page.build_rows(self.METRICS, {"mae": {"score": 0.0}, "gmsd": {"score": 0.0}}, results, distortions)

    def distortions(self):
        return [distort.Distortion(f"d{i}", f"Name {i}", "setting", "look", 10.0 + i, Path("x.png")) for i in range(3)]

    def test_rows(self):
        mae, lpips, gmsd = self.rows(self.distortions())
        self.assertEqual([c["rank"] for c in mae["cells"]], [1, 2, 3])
        self.assertEqual([c["extreme"] for c in mae["cells"]], [True, False, True])
        self.assertNotIn("cells", lpips)
        self.assertEqual(gmsd["cells"][0], {"error": "too small"})
        self.assertEqual([c["extreme"] for c in gmsd["cells"][1:]], [False, False])  # a tie has no best

    def test_page_is_whole_and_self_contained(self):
        distortions = self.distortions()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.html"
            page.write(
                path,
                count_word="Three",
                mse_low=10.0,
                mse_high=12.0,
                findings=[],
                reference_image="data:,",
                reference_thumbnail="data:,",
                photo_credit="somebody",
                distortions=[
                    {
                        "name": d.name,
                        "setting": d.setting,
                        "look": d.look,
                        "mse": d.mse,
                        "image": "data:,",
                        "thumbnail": "data:,",
                        "maps": [],
                    }
                    for d in distortions
                ],
                scales=[],
                map_notes=[{"metric": "lpips", "reason": "no weights"}],
                scale_colors=[],
                rows=self.rows(distortions),
                provenance={"build": "b", "backend": "cpu", "instruction_set": "avx2"},
                pair_count=4,
                metric_count=2,
            )
            text = path.read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)[^"']*""", text), [])
        self.assertNotIn("url(", text)
        self.assertIn("no weights; run &lt;make weights&gt;", text)
        self.assertIn("No heat map of lpips: no weights", text)
        self.assertIn("failed: too small", text)


if __name__ == "__main__":
    unittest.main()
