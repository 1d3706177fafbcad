#!/usr/bin/env python3
"""Holds every metric that has a reference implementation to it, on real photographs, and prints a table.

    apt-get install python3-torch python3-torchvision python3-scipy python3-skimage libjxl-devtools
    /usr/bin/python3 -m venv --system-site-packages build/parity/metrics-venv
    build/parity/metrics-venv/bin/pip install --no-deps -r tools/parity/requirements-metrics.txt
    build/parity/metrics-venv/bin/python tools/parity/metrics.py build/cpu/likeness [--write docs/parity.md]

The program ssimulacra2 must be on the path; no package has it. From https://github.com/cloudinary/ssimulacra2, commit
81feacf6a5b0bbd7ec11b4a881a4615033ab0b10, with libhwy-dev, liblcms2-dev, libjpeg-dev and libpng-dev:

    cmake -S src -B build -DCMAKE_BUILD_TYPE=Release -DJPEGXL_FORCE_SYSTEM_HWY=ON -DJPEGXL_FORCE_SYSTEM_LCMS2=ON
    cmake --build build --target ssimulacra2

dists needs build/weights (make weights). Six photographs that scikit-image carries (public domain or CC0), cropped to
even and odd sizes, each with six distortions; both sides read the same 8-bit PNG. References compute in float64 where
they can, we in float32. Passes when no score of a metric is off by more than its tolerance below, relative to the
reference's score or to 0.01, whichever is larger. run.py does the same for LPIPS with gradients.
"""

import argparse
import importlib.metadata
import io
import json
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import skimage.data
import torch
from PIL import Image, ImageFilter

import references

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOISE_SEED = 20260101
SCORE_FLOOR = 0.01

# Photograph, left, top, width, height. camera is gray.
CROPS = (
    ("astronaut", 96, 0, 320, 256),
    ("chelsea", 0, 0, 451, 300),
    ("coffee", 57, 43, 333, 251),
    ("rocket", 101, 11, 301, 401),
    ("camera", 120, 30, 257, 255),
    ("hubble_deep_field", 300, 200, 289, 353),
)

# Looser than 1e-4 for a reason each.
TOLERANCES = {
    # Rounds luma to whole numbers: a tie falls either way by the last bit of float, and GMSD is a small difference.
    "gmsd:pyiqa": 1e-3,
    # The program computes in float32 and loses digits where colour is flat: 0.05 points on the gray photograph, where
    # ours is within 1e-4 points of float64.
    "ssimulacra2": 2e-3,
}


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


def contrast(image):
    pixels = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.clip(np.rint(0.75 * (pixels - 128) + 140), 0, 255).astype(np.uint8))


def shift(image):
    return Image.fromarray(np.roll(np.asarray(image), (1, 2), (0, 1)))


def rescale(image):
    return image.resize((image.width // 2, image.height // 2), Image.BICUBIC).resize(image.size, Image.BICUBIC)


DISTORTIONS = (jpeg, blur, noise, contrast, shift, rescale)


def make_pairs(folder):
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for photo, left, top, width, height in CROPS:
        pixels = getattr(skimage.data, photo)()
        image = Image.fromarray(pixels).convert("RGB").crop((left, top, left + width, top + height))
        reference = folder / f"{photo}.png"
        image.save(reference)
        for distortion in DISTORTIONS:
            distorted = folder / f"{photo}-{distortion.__name__}.png"
            distortion(image).save(distorted)
            pairs.append((reference, distorted))
    return pairs


def tensor(path):
    return torch.from_numpy(np.asarray(Image.open(path))).permute(2, 0, 1)[None].double() / 255


def likeness(command, arguments):
    arguments = [*arguments, "--local", "--weights", references.WEIGHTS, "--format", "json"]
    done = subprocess.run([str(a) for a in (command, *arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"parity: {' '.join(map(str, arguments))} failed with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def known_requests(command):
    known = set()
    for metric in likeness(command, ["metrics"])["metrics"]:
        if metric.get("unavailable"):
            continue
        known.add(metric["id"])
        known.update(f"{metric['id']}:{c['name']}" for c in metric["conventions"] if "unavailable" not in c)
    return known


def table(worst, pair_count):
    lines = ["| metric | reference | pairs | worst difference | relative | on | tolerance |", "|---" * 7 + "|"]
    failed = 0
    for name, (relative, difference, where) in worst.items():
        tolerance = TOLERANCES.get(name, 1e-4)
        bad = not relative <= tolerance
        failed += bad
        lines.append(
            f"| `{name}` | {references.package(name)} | {pair_count} | {difference:.1e} | {relative:.1e} | {where} |"
            f" {tolerance:.0e}{' **FAILED**' if bad else ''} |"
        )
    return lines, failed


def versions(names):
    """The installed versions of the packages among the references; the two programs have none to ask for."""
    found = []
    for package in dict.fromkeys(references.package(name) for name in names):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def page(lines, names, provenance):
    return (
        "# Parity with other implementations\n\n"
        "Written by `tools/parity/metrics.py`, whose first lines say how to run it and which photographs and"
        " distortions these are. `relative` is the difference over the reference's score or over"
        f" {SCORE_FLOOR}, whichever is larger; `on` names the pair that is off most. Where a tolerance is not 1e-04,"
        " the script says why. LPIPS: [lpips.md](lpips.md).\n\n"
        f"Ours: {provenance['backend']}, {provenance['instruction_set']}, {provenance['build']}."
        f" References: {versions(names)}.\n\n" + "\n".join(lines) + "\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("likeness", type=pathlib.Path, help="the built command")
    parser.add_argument("--metrics", default=",".join(references.NAMES))
    parser.add_argument("--write", type=pathlib.Path, help="also write the page there")
    parser.add_argument("--into", type=pathlib.Path, default=ROOT / "build" / "parity" / "photographs")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    names = arguments.metrics.split(",")
    known = known_requests(arguments.likeness)
    unknown = [name for name in names if name not in known or name not in references.NAMES]
    if unknown:
        sys.exit(f"parity: no {', '.join(unknown)} in this build or in references.py (dists needs make weights)")
    pairs = make_pairs(arguments.into)
    worst = {name: (-1.0, 0.0, "") for name in names}
    provenance = {}
    for reference, distorted in pairs:
        answer = likeness(arguments.likeness, ["compare", reference, distorted, "--metric", ",".join(names)])
        provenance = answer["provenance"]
        tensors = tensor(reference), tensor(distorted)
        for name, row in zip(names, answer["scores"], strict=True):
            expected = references.score(name, tensors, (reference, distorted))
            difference = float(row["score"]) - expected
            relative = abs(difference) / max(abs(expected), SCORE_FLOOR)
            if not relative <= worst[name][0]:
                worst[name] = (relative, difference, distorted.stem)
        print(f"{distorted.stem}: done", file=sys.stderr, flush=True)
    lines, failed = table(worst, len(pairs))
    print("\n".join(lines))
    print(f"{len(names) - failed} metrics passed, {failed} failed")
    if arguments.write:
        arguments.write.write_text(page(lines, names, provenance))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
