"""Pictures, files and processes for the command's tests."""

import json
import os
import re
import signal
import struct
import subprocess
import tempfile
import unittest
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

COMMAND = os.environ.get("LIKENESS_COMMAND", "build/likeness")
PHOTOS = Path(__file__).resolve().parent.parent / "photos"
CHELSEA = PHOTOS / "chelsea_301x197.png"
COFFEE = PHOTOS / "coffee_299x199.jpg"

LISTENING = r"likeness: serving on (\S+:\d+)"
PASSED, OVER_THE_LINE, NOT_MEASURED = 0, 1, 2


def likeness(*arguments, environment=None):
    """Runs the command with no LIKENESS_SERVER set unless `environment` sets one."""
    variables = {k: v for k, v in os.environ.items() if k != "LIKENESS_SERVER"} | (environment or {})
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, env=variables, timeout=120)


def write_png(path, pixels):
    """8 and 16 bit; gray, gray + alpha, RGB, RGBA. Pillow writes no 16-bit colour."""
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    height, width, channels = pixels.shape
    bits = pixels.dtype.itemsize * 8
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = pixels.astype(">u2" if bits == 16 else "u1").reshape(height, -1)
    packed = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    )
    return path


def photo(path=CHELSEA):
    return np.asarray(Image.open(path).convert("RGB"))


def noisy(pixels, sigma=6.0, seed=1):
    """The same picture with grain, in the same type; `sigma` is in 8-bit levels."""
    pixels = np.asarray(pixels)
    one = 65535 if pixels.dtype == np.uint16 else 255
    grain = np.random.default_rng(seed).normal(0, sigma * one / 255, pixels.shape)
    return np.clip(np.rint(pixels + grain), 0, one).astype(pixels.dtype)


def mae(a, b, one=255.0):
    return float(np.mean(np.abs(a.astype(np.float64) - b.astype(np.float64))) / one)


def start_server(extra=()):
    """Starts a server process; returns (process, address)."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--port", "0", "--telemetry-port", "-1", "--log-level", "warning", *extra],
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = []
    for line in process.stdout:  # ends when the server does; a server that hangs is the test's time limit to catch
        seen.append(line)
        found = re.search(LISTENING, line)
        if found:
            return process, found.group(1)
    process.wait()
    raise AssertionError(f"the server ended with {process.returncode} and told no address: " + "".join(seen))


class CommandTest(unittest.TestCase):
    """A temporary folder, and two pictures in it: a photograph and the same with grain."""

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.folder = Path(cls._folder.name)
        cls.clean = photo()
        cls.grainy = noisy(cls.clean)
        cls.reference = write_png(cls.folder / "reference.png", cls.clean)
        cls.distorted = write_png(cls.folder / "distorted.png", cls.grainy)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def run_ok(self, *arguments, code=PASSED):
        done = likeness(*arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def run_json(self, *arguments, code=PASSED):
        return json.loads(self.run_ok(*arguments, "--format", "json", code=code).stdout)

    def compare_json(self, *arguments, code=PASSED):
        return self.run_json("compare", *arguments, code=code)

    def score(self, reference, distorted, metric, *arguments):
        answer = self.compare_json(reference, distorted, "--metric", metric, *arguments)
        self.assertEqual(len(answer["scores"]), 1)
        return answer["scores"][0]["score"]

    def assert_not_measured(self, *arguments, says=(), environment=None):
        """Exit code 2, nothing on stdout that could be taken for a score, and the reason on stderr, signed."""
        done = likeness(*arguments, environment=environment)
        self.assertEqual(done.returncode, NOT_MEASURED, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        for line in done.stderr.splitlines():
            self.assertTrue(line.startswith("likeness: "), done.stderr)
        for word in [says] if isinstance(says, str) else says:
            self.assertIn(word, done.stderr)
        return done


def stop(process):
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    process.stdout.close()
    return code
