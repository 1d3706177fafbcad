#!/usr/bin/env python3
"""Holds our LPIPS to the PyTorch package `lpips` with the same weights, on real photographs, even and odd sizes.

    python3 -m venv build/parity/venv && build/parity/venv/bin/pip install -r tools/parity/requirements.txt
    build/parity/venv/bin/python tools/parity/run.py build/cpu/likeness [--weights build/weights] [--server HOST:PORT]

Makes distorted pictures of tests/photos (JPEG, blur, noise) as PNG in build/parity, scores each pair on both sides with gradients, and
prints a table. Passes when each score is within 1e-4 (absolute) and each gradient's direction has a cosine over 0.9999; with --fast, which
asks for 16 bits, 1e-3 and 0.98, and it must be a fast score. Without --server the command scores in its own process.
"""

import argparse
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import torch
from PIL import Image, ImageFilter

import lpips_reference

ROOT = pathlib.Path(__file__).resolve().parents[2]
# By precision: the score's absolute difference, and the gradients' cosine.
LIMITS = {"exact": (1e-4, 0.9999), "fast": (1e-3, 0.98)}
NOISE_SEED = 20260101

# Photo, left, top, width, height: whole pictures and crops, even and odd, down to near the smallest that LPIPS takes.
CROPS = (
    ("astronaut_480x480.png", 0, 0, 480, 480),
    ("chelsea_301x197.png", 0, 0, 301, 197),
    ("coffee_299x199.jpg", 0, 0, 299, 199),
    ("astronaut_480x480.png", 150, 40, 256, 256),
    ("astronaut_480x480.png", 161, 33, 123, 66),
    ("chelsea_301x197.png", 91, 51, 64, 65),
    ("coffee_299x199.jpg", 57, 43, 71, 40),
)


def jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=25)
    return Image.open(buffer).convert("RGB")


def blur(image):
    return image.filter(ImageFilter.GaussianBlur(1.5))


def noise(image):
    pixels = np.asarray(image).astype(np.float64)
    grain = np.random.default_rng(NOISE_SEED).standard_normal(pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels + 12 * grain), 0, 255).astype(np.uint8))


DISTORTIONS = (jpeg, blur, noise)


def make_pairs(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for photo, left, top, width, height in CROPS:
        image = Image.open(ROOT / "tests" / "photos" / photo).convert("RGB")
        image = image.crop((left, top, left + width, top + height))
        stem = f"{photo.split('_')[0]}-{width}x{height}"
        reference = folder / f"{stem}.png"
        image.save(reference)
        for distortion in DISTORTIONS:
            distorted = folder / f"{stem}-{distortion.__name__}.png"
            distortion(image).save(distorted)
            yield reference, distorted


def ask_likeness(command, engine, metric, precision, reference, distorted, gradient_path):
    arguments = [command, "compare", reference, distorted, "--metric", metric, "--format", "json"]
    arguments += ["--gradient", gradient_path, *(["--fast"] if precision == "fast" else []), *engine]
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"parity: likeness compare {reference} {distorted} failed with {done.returncode}:\n{done.stderr}")
    (row,) = json.loads(done.stdout)["scores"]
    if row["precision"] != precision:
        sys.exit(f"parity: asked for precision {precision}, {metric} came as {row['precision']}")
    return float(row["score"]), np.load(gradient_path).transpose(2, 0, 1).astype(np.float64)


def cosine(a, b):
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("likeness", type=pathlib.Path, help="the built command")
    parser.add_argument("--weights", type=pathlib.Path, default=ROOT / "build" / "weights")
    parser.add_argument("--server", metavar="HOST:PORT")
    parser.add_argument("--metrics", default="lpips_alex,lpips_vgg")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--into", type=pathlib.Path, default=ROOT / "build" / "parity" / "pictures")
    arguments = parser.parse_args()
    engine = ["--server", arguments.server] if arguments.server else ["--local", "--weights", arguments.weights]
    pairs = list(make_pairs(arguments.into))
    precision = "fast" if arguments.fast else "exact"
    score_tolerance, cosine_minimum = LIMITS[precision]
    failed = 0
    largest, smallest = 0.0, 1.0
    print("| metric | distorted | lpips | likeness | difference | gradient cosine | gradient norm ratio |")
    print("|---|---|---|---|---|---|---|")
    for metric in arguments.metrics.split(","):
        _, network = lpips_reference.load_network(arguments.weights / f"{metric}.safetensors", torch.float32)
        for reference, distorted in pairs:
            images = [lpips_reference.load_image(path, None, torch.float32) for path in (reference, distorted)]
            expected, _, _, expected_gradient = lpips_reference.measure(network, *images)
            expected_gradient = expected_gradient.astype(np.float64)
            gradient_path = arguments.into / f"{distorted.stem}.{metric}.likeness.npy"
            score, gradient = ask_likeness(
                arguments.likeness, engine, metric, precision, reference, distorted, gradient_path
            )
            direction = cosine(gradient, expected_gradient)
            ratio = np.linalg.norm(gradient) / np.linalg.norm(expected_gradient)
            bad = not (abs(score - expected) <= score_tolerance and direction > cosine_minimum)
            failed += bad
            largest, smallest = max(largest, abs(score - expected)), min(smallest, direction)
            print(
                f"| {metric} | {distorted.stem} | {expected:.7f} | {score:.7f} | {score - expected:.1e} | {direction:.8f} |"
                f" {ratio:.6f}{' FAILED' if bad else ''} |",
                flush=True,
            )
    total = len(pairs) * len(arguments.metrics.split(","))
    print(f"{total - failed} passed, {failed} failed; largest difference {largest:.1e}, smallest cosine {smallest:.5f}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
