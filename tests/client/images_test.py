"""`likeness compare`: what images it takes and refuses, and the files that it writes."""

import struct
import unittest
import zlib

import numpy as np
from PIL import Image

from support import COFFEE, CommandTest, likeness, mae, noisy, photo, write_png


class Kinds(CommandTest):
    def assert_mae(self, reference, distorted, expected):
        self.assertAlmostEqual(self.score(reference, distorted, "mae"), expected, delta=2e-7)

    def test_odd_and_tiny_sizes(self):
        for height, width in ((1, 1), (1, 7), (5, 3), (33, 17), (64, 65), (197, 301)):
            clean, grainy = self.clean[:height, :width], self.grainy[:height, :width]
            a = write_png(self.folder / "odd_a.png", clean)
            b = write_png(self.folder / "odd_b.png", grainy)
            with self.subTest(f"{width}x{height}"):
                self.assert_mae(a, b, mae(clean, grainy))

    def test_gray(self):
        a = write_png(self.folder / "gray_a.png", self.clean[:, :, 1])
        b = write_png(self.folder / "gray_b.png", self.grainy[:, :, 1])
        self.assert_mae(a, b, mae(self.clean[:, :, 1], self.grainy[:, :, 1]))

    def test_gray_beside_colour_is_taken_as_equal_channels(self):
        gray = self.clean[:, :, 1]
        a = write_png(self.folder / "mixed_gray.png", gray)
        self.assert_mae(a, self.distorted, mae(np.repeat(gray[:, :, None], 3, axis=2), self.grainy))

    def test_16_bit_is_read_at_full_depth(self):
        a = self.clean.astype(np.uint16) * 257
        b = np.clip(a.astype(np.int64) + 3, 0, 65535).astype(np.uint16)  # lost if it were cut to 8 bits
        self.assert_mae(
            write_png(self.folder / "deep_a.png", a), write_png(self.folder / "deep_b.png", b), mae(a, b, 65535)
        )
        # The same picture in 8 and in 16 bits is the same picture.
        self.assertEqual(self.score(self.reference, self.folder / "deep_a.png", "mae"), 0.0)

    def test_alpha_is_composited_over_the_background(self):
        alpha = np.tile(np.linspace(0, 255, self.clean.shape[1]).round().astype(np.uint8), (self.clean.shape[0], 1))
        a = write_png(self.folder / "alpha_a.png", np.dstack([self.clean, alpha]))
        b = write_png(self.folder / "alpha_b.png", np.dstack([self.grainy, alpha]))
        opacity = alpha[:, :, None] / 255.0
        difference = np.abs(self.clean.astype(float) - self.grainy.astype(float)) / 255.0
        self.assert_mae(a, b, float(np.mean(difference * opacity)))  # the same background on both sides cancels
        for background in (0.0, 0.25, 1.0):
            over = self.clean / 255.0 * opacity + background * (1 - opacity)
            expected = float(np.mean(np.abs(over - self.clean / 255.0)))
            score = self.score(a, self.reference, "mae", "--alpha-background", background)
            self.assertAlmostEqual(score, expected, delta=2e-7)

    def test_jpeg_and_webp(self):
        self.assertEqual(self.score(COFFEE, COFFEE, "mae"), 0.0)
        webp = self.folder / "lossless.webp"
        Image.fromarray(self.clean).save(webp, lossless=True, exact=True)
        self.assertEqual(self.score(self.reference, webp, "mae"), 0.0)
        coffee = write_png(self.folder / "coffee.png", photo(COFFEE))
        # Two JPEG decoders may differ by a level where they round the inverse transform.
        self.assertLess(self.score(COFFEE, coffee, "mae"), 1.0 / 255)


class Limits(CommandTest):
    """What a server refuses by default and the command, which serves nobody else, has no reason to."""

    def test_long_sides(self):
        pixels = np.tile(self.clean[:3, :200], (1, 100, 1))
        a = write_png(self.folder / "long_a.png", pixels)
        b = write_png(self.folder / "long_b.png", noisy(pixels))
        self.assertAlmostEqual(self.score(a, b, "mae"), mae(pixels, photo(b)), delta=2e-7)

    def test_large_files(self):
        noise = np.random.default_rng(3).integers(0, 256, (4800, 4800, 3), np.uint8)
        a = write_png(self.folder / "large.png", noise)
        self.assertGreater(a.stat().st_size, 64 << 20)
        self.assertEqual(self.score(a, a, "mae"), 0.0)

    def test_many_metrics(self):
        terms = "+".join(["mae"] * 16)
        losses = [flag for i in range(5) for flag in ("--loss", f"l{i}={terms}")]
        answer = self.compare_json(self.reference, self.distorted, *losses)
        self.assertEqual(len(answer["scores"]), 5)


class Refusals(CommandTest):
    def refuse(self, path, *says):
        self.assert_not_measured("compare", path, self.distorted, "-m", "mae", says=(f"{path} (reference)", *says))
        self.assert_not_measured("compare", self.reference, path, "-m", "mae", says=(f"{path} (distorted)", *says))

    def test_missing_files_and_folders(self):
        self.assert_not_measured("compare", self.folder / "nowhere.png", self.distorted, says="nowhere.png")
        self.assert_not_measured("compare", self.reference, self.folder, says=str(self.folder))
        empty = self.folder / "empty.png"
        empty.write_bytes(b"")
        self.assert_not_measured("compare", empty, self.distorted, says="empty.png is empty")

    def test_sizes_that_differ(self):
        smaller = write_png(self.folder / "smaller.png", self.clean[:-1])
        self.assert_not_measured(
            "compare",
            self.reference,
            smaller,
            says=f"{self.reference} (reference) is 301x197, {smaller} (distorted) is 301x196; sizes must match",
        )

    def test_what_is_no_image(self):
        text = self.folder / "text.png"
        text.write_text("P3 1 1 255 0 0 0 but not a PNG")
        self.refuse(text)

    def test_truncated_and_corrupt_files(self):
        good = self.reference.read_bytes()
        bad = self.folder / "bad.png"
        for name, bytes_ in (
            ("cut", good[: len(good) // 2]),
            ("header only", good[:33]),
            ("signature only", good[:8]),
            ("flipped bits", good[:5000] + bytes([good[5000] ^ 0xFF]) + good[5001:]),
        ):
            bad.write_bytes(bytes_)
            with self.subTest(name):
                self.refuse(bad)
        cut = self.folder / "cut.jpg"
        cut.write_bytes(COFFEE.read_bytes()[:9000])
        self.assert_not_measured("compare", COFFEE, cut, "-m", "mae", says="distorted")

    def test_a_header_that_promises_too_much(self):
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        huge = self.folder / "huge.png"
        for width, height in ((100_000, 100_000), (0x7FFFFFFF, 1), (0, 5)):
            huge.write_bytes(
                b"\x89PNG\r\n\x1a\n"
                + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(b"\0" * 100))
                + chunk(b"IEND", b"")
            )
            with self.subTest(f"{width}x{height}"):
                self.refuse(huge, f"is {width}x{height} pixels")

    def test_what_is_no_picture_to_the_command(self):
        bitmap = self.folder / "picture.bmp"
        Image.fromarray(self.clean).save(bitmap)
        done = self.assert_not_measured("compare", bitmap, self.distorted, says="convert it to PNG")
        self.assertNotIn("raw", done.stderr)

    def test_memory(self):
        pair = ("compare", self.reference, self.distorted)
        for flags in (("-m", "flip"), ("-m", "mse", "--gradient", self.folder / "large.npy")):
            self.assert_not_measured(*pair, *flags, "--memory", "1M", says=("1048576", "--memory"))
            self.run_ok(*pair, *flags, "--memory", "64MiB")
        for text in ("lots", "5", "-1", "1e99"):
            self.assert_not_measured(*pair, "--memory", text, says="--memory")
        self.assert_not_measured("explain", "--metrics", "flip", "--memory", "1M", says="--memory")

    def test_missing_weights_are_told_once(self):
        done = likeness(
            *("compare", self.reference, self.distorted, "-m", "mae,lpips_squeeze"),
            environment={"LIKENESS_WEIGHTS": str(self.folder)},
        )
        self.assertEqual(done.returncode, 2)
        said = f"lpips_squeeze was not measured: there is no lpips_squeeze.safetensors in {self.folder}:"
        self.assertIn(said, done.stderr)

    def test_metrics_and_parameters_that_are_not(self):
        pair = ("compare", self.reference, self.distorted)
        self.assert_not_measured(*pair, "-m", "nonsense", says=('"nonsense"', "known metrics are", "mae", "lpips_vgg"))
        self.assert_not_measured(*pair, "-m", "gmsd:nonsense", says="nonsense")
        self.assert_not_measured(*pair, "-m", "mae,,psnr", says="--metric")
        self.assert_not_measured(*pair, "-m", "mae,mae", says="twice")
        self.assert_not_measured(*pair, "-m", "huber", "-p", "huber.delta", says="METRIC.PARAMETER=VALUE")
        self.assert_not_measured(*pair, "-m", "huber", "-p", "huber.gamma=1", says=("gamma", "delta"))
        self.assert_not_measured(*pair, "-m", "huber", "-p", "huber.delta=wide", says="wide")
        self.assert_not_measured(*pair, "-m", "huber", "-p", "huber.delta=-1", says="delta")
        self.assert_not_measured(
            *pair, "-m", "huber", "-p", "huber.delta=0.1", "-p", "huber.delta=0.2", says="a second time"
        )
        self.assert_not_measured(*pair, "-m", "mae", "-p", "huber.delta=1", says="not asked for")

    def test_misspelt_metrics_get_suggestions(self):
        pair = ("compare", self.reference, self.distorted)
        for name, suggested in (
            ("sssim", "did you mean ssim or dssim or ms_ssim?"),
            ("SSIM", "did you mean ssim?"),
            ("Ms_SSIM:pyiqa", "did you mean ms_ssim?"),
            ("gmds", "did you mean gmsd?"),
            ("lpips", "did you mean lpips_alex or lpips_vgg or lpips_squeeze?"),
            ("faceswap_ssim", "did you mean faceswap/ssim?"),
        ):
            told = {
                self.assert_not_measured(*arguments, says=("there is no metric", suggested)).stderr
                for arguments in (
                    (*pair, "-m", name),
                    (*pair, "--loss", f"x=mae+{name}"),
                    ("explain", name),
                    ("explain", "--metrics", f"mae,{name}"),
                )
            }
            self.assertEqual(len(told), 1, told)
        self.assert_not_measured(*pair, "-m", "ms-ssim", says="did you mean ms_ssim?")
        self.assert_not_measured(*pair, "-m", "s" * 5000, says="known metrics are")

    def test_empty_values(self):
        """What an unset variable of a shell script leaves: to go on without the flag would gate on another score."""
        pair = ("compare", self.reference, self.distorted)
        for flag in (
            *("--metric", "--loss", "--parameter", "--alpha-background", "--mask", "--region", "--averaging"),
            *("--fail-under", "--fail-over", "--map", "--map-scale", "--gradient", "--format"),
            *("--server", "--timeout", "--threads", "--weights"),
        ):
            self.assert_not_measured(*pair, flag, "", says=flag)
            self.assert_not_measured(*pair, f"{flag}=", says=flag)
        self.assert_not_measured("compare", "", self.distorted, says="REFERENCE")
        self.assert_not_measured("explain", "", says="METRIC")
        self.assert_not_measured("explain", "--metrics", "", says="--metrics")

    def test_bad_flags(self):
        pair = ("compare", self.reference, self.distorted)
        self.assert_not_measured()
        self.assert_not_measured("compare", self.reference)
        self.assert_not_measured("nonsense", says="nonsense")
        self.assert_not_measured(*pair, "--nonsense", says="--nonsense")
        self.assert_not_measured(*pair, "--format", "yaml", says="yaml")
        for path in ("map.gif", "map", ".png", self.folder / ".npy"):
            self.assert_not_measured(*pair, "--map", path, says=("--map", ".png"))
        for path in ("gradient.png", ".npy"):
            self.assert_not_measured(*pair, "--gradient", path, says=("--gradient", ".npy"))
        for flags in ((), ("--map", self.folder / "unscaled.npy")):
            self.assert_not_measured(*pair, "-m", "mae", "--map-scale", "0,1", *flags, says="--map-scale")
        for scale in ("1", "0,1,2", "0,inf", "nan,1", "ssim=0,1", "a,b"):
            self.assert_not_measured(*pair, "-m", "mae", "--map", "map.png", "--map-scale", scale, says="--map-scale")
        self.assert_not_measured(*pair, "--alpha-background", "2", says="alpha")
        self.assert_not_measured(*pair, "--map", "/no/such/folder/map.png", "-m", "mae", says="/no/such/folder/map.png")


class Overwriting(CommandTest):
    def test_what_is_read_is_not_written(self):
        gray = write_png(self.folder / "gray.png", self.clean[:, :, 0])
        kept = self.reference.read_bytes()
        link, hard = self.folder / "link.png", self.folder / "hard.png"
        link.symlink_to(self.reference)
        hard.hardlink_to(self.reference)
        pair = ("compare", self.reference, self.distorted, "-m", "mae")
        for path, says in (
            (self.reference, "REFERENCE"),
            (link, "REFERENCE"),
            (hard, "REFERENCE"),
            (f"{self.folder}/nowhere/../reference.png", "REFERENCE"),
            (self.distorted, "DISTORTED"),
            (gray, "--mask"),
        ):
            self.assert_not_measured(*pair, "--mask", gray, "--map", path, says=("--map", says))
        self.assert_not_measured(*pair, "--region", f"{gray}:2", "--map", gray, says=("--map", "--region"))
        self.assertEqual(self.reference.read_bytes(), kept)
        # A file of a metric's own, and an array as an image's name.
        named = self.folder / "map-mae.png"
        named.write_bytes(kept)
        several = ("compare", named, self.distorted, "-m", "mae,gmsd", "--map", self.folder / "map.png")
        self.assert_not_measured(*several, says="REFERENCE")
        array = self.folder / "image.npy"
        array.write_bytes(kept)
        self.assert_not_measured("compare", array, self.distorted, "-m", "mae", "--gradient", array, says="--gradient")
        self.assertEqual(array.read_bytes(), kept)
        # What is only in the way is written over.
        self.run_ok(*several[:1], self.reference, *several[2:])
        self.assertNotEqual(named.read_bytes(), kept)

    def test_two_outputs_do_not_share_a_file(self):
        pair = ("compare", self.reference, self.distorted, "-m")
        file, same = self.folder / "both.npy", f"{self.folder}/./both.npy"
        for metrics in ("mae", "mae,mse"):
            self.assert_not_measured(*pair, metrics, "--map", file, "--gradient", same, says=("--gradient", "--map"))
        self.assertEqual(list(self.folder.glob("both*")), [])


class Files(CommandTest):
    def lightness(self, path):
        return np.asarray(Image.open(path).convert("RGB")).astype(float) @ np.array([0.2126, 0.7152, 0.0722])

    def test_extensions_are_taken_in_any_case(self):
        files = self.folder / "UPPER.PNG", self.folder / "UPPER.NPY"
        self.run_ok("compare", self.reference, self.distorted, "-m", "mae", "--map", files[0], "--gradient", files[1])
        self.assertTrue(files[0].read_bytes().startswith(b"\x89PNG"))
        self.assertEqual(np.load(files[1]).shape, self.clean.shape)

    def test_map_as_array(self):
        path = self.folder / "mae.npy"
        self.run_ok("compare", self.reference, self.distorted, "-m", "mae", "--map", path)
        samples = np.load(path)
        self.assertEqual((samples.dtype, samples.shape), (np.float32, self.clean.shape))
        expected = np.abs(self.clean.astype(np.float64) - self.grainy) / 255.0
        np.testing.assert_allclose(samples, expected, atol=1e-6)

    def test_heat_map_rises_in_lightness_with_the_map(self):
        ramp = np.zeros((4, 256, 3), np.uint8)
        steps = ramp + np.arange(256, dtype=np.uint8)[None, :, None]
        a, b = write_png(self.folder / "flat.png", ramp), write_png(self.folder / "ramp.png", steps)
        path = self.folder / "ramp_map.png"
        answer = self.compare_json(a, b, "-m", "mae", "--map", path)
        told = answer["scores"][0]["map"]
        self.assertEqual((told["file"], told["low"], told["width"], told["height"]), (str(path), 0.0, 256, 4))
        self.assertAlmostEqual(told["high"], 1.0, delta=1e-6)
        light = self.lightness(path)
        self.assertEqual(light.shape, (4, 256))
        # Rounding to bytes may take a level off one channel where another gains it.
        self.assertTrue(np.all(np.diff(light[0]) > -0.5))
        self.assertLess(light[0, 0], 20)
        self.assertGreater(light[0, -1], 220)
        self.assertEqual(len(np.unique(np.asarray(Image.open(path))[0], axis=0)), 256)

    def test_heat_map_scale_and_its_reverse(self):
        paths = [self.folder / f"scale_{i}.png" for i in range(3)]
        for path, scale in zip(paths, ("0,0.2", "mae=0.2,0", "-1,-0.5")):
            self.run_ok("compare", self.reference, self.distorted, "-m", "mae", "--map", path, f"--map-scale={scale}")
        forward, reverse, above = map(self.lightness, paths)
        self.assertLess(np.corrcoef(forward.ravel(), reverse.ravel())[0, 1], -0.9)
        self.assertEqual(len(np.unique(above)), 1)  # every sample is past the bright end
        self.assertGreater(above[0, 0], 220)

    def test_equal_images_give_a_dark_map(self):
        path = self.folder / "same.png"
        self.run_ok("compare", self.reference, self.reference, "-m", "mae", "--map", path)
        self.assertLess(self.lightness(path).max(), 20)

    def test_several_maps_and_gradients_get_names_of_their_own(self):
        self.run_ok(
            "compare",
            self.reference,
            self.distorted,
            "-m",
            "mae,gmsd,gmsd:pyiqa",
            "--map",
            self.folder / "m.png",
            "--gradient",
            self.folder / "g.npy",
        )
        for stem in ("mae", "gmsd", "gmsd-pyiqa"):
            self.assertTrue((self.folder / f"m-{stem}.png").is_file(), stem)
            self.assertEqual(np.load(self.folder / f"g-{stem}.npy").shape, self.clean.shape)
        self.assertFalse((self.folder / "m.png").exists())

    def test_gradient_of_mse(self):
        path = self.folder / "mse_gradient.npy"
        self.run_ok("compare", self.reference, self.distorted, "-m", "mse", "--gradient", path)
        gradient = np.load(path)
        error = (self.grainy.astype(np.float64) - self.clean) / 255.0
        self.assertEqual((gradient.dtype, gradient.shape), (np.float32, self.clean.shape))
        np.testing.assert_allclose(gradient, 2 * error / error.size, rtol=1e-5, atol=1e-12)

    def test_gradient_has_the_channels_of_the_distorted_file(self):
        path = self.folder / "gray_gradient.npy"
        gray = write_png(self.folder / "gray.png", noisy(self.clean[:, :, 0]))
        self.run_ok("compare", self.reference, gray, "-m", "mae", "--gradient", path)
        self.assertEqual(np.load(path).shape, (*self.clean.shape[:2], 1))


if __name__ == "__main__":
    unittest.main()
