"""Distortions of one photograph, all with about the same mean squared error.

The error to reach is that of the one distortion without a knob, the shift by one pixel; the others find theirs by
bisection, or by trying every step where there are only whole ones. MSE is over all samples of 8-bit RGB, as a viewer sees the picture: rounded and clipped.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

NOISE_SEED = 20260101


@dataclass
class Distortion:
    id: str
    name: str
    setting: str  # "sigma 1.32 pixels"
    look: str  # what the eye says
    mse: float
    path: Path


def mse(a, b):
    difference = a.astype(np.float64) - b.astype(np.float64)
    return float(np.mean(difference * difference))


def to_bytes(pixels):
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def shift(image):
    """One pixel to the right; the first column stays."""
    return np.concatenate([image[:, :1], image[:, :-1]], axis=1)


def stretch(image, gain):
    mean = image.mean()
    return to_bytes((image - mean) * gain + mean)


def add(image, offset):
    # As floats: bytes would wrap around at 256.
    return to_bytes(image.astype(np.float64) + offset)


def blur(image, sigma):
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def noise(image, sigma):
    grain = np.random.default_rng(NOISE_SEED).standard_normal(image.shape)
    return to_bytes(image + sigma * grain)


def jpeg_file(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def decode(file):
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def bisect(image, distort, low, high, target):
    """The knob between low and high at which the error is `target`; the error must rise from low to high."""
    for _ in range(40):
        middle = (low + high) / 2
        if mse(image, distort(image, middle)) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def make_all(photo, folder):
    """Writes reference.png and every distorted picture to `folder`; returns (reference path, distortions)."""
    image = np.asarray(Image.open(photo).convert("RGB"))
    folder.mkdir(parents=True, exist_ok=True)
    reference = folder / "reference.png"
    Image.fromarray(image).save(reference)

    shifted = shift(image)
    target = mse(image, shifted)
    distortions = []

    def keep(name_id, name, setting, look, pixels, file=None):
        path = folder / (f"{name_id}.png" if file is None else f"{name_id}.jpg")
        if file is None:
            Image.fromarray(pixels).save(path)
        else:
            path.write_bytes(file)
        distortions.append(Distortion(name_id, name, setting, look, mse(image, pixels), path))

    gain = bisect(image, stretch, 1, 4, target)
    keep(
        "contrast",
        "Contrast stretch",
        f"gain {gain:.3f} about the mean",
        "punchier, nothing lost to the eye",
        stretch(image, gain),
    )
    # Whole steps only, as for JPEG's quality below: the nearest is taken.
    offset = min(range(1, 129), key=lambda step: abs(mse(image, add(image, step)) - target))
    keep("mean_shift", "Mean shift", f"{offset:+d} of 255 on every sample", "a little brighter", add(image, offset))
    keep("pixel_shift", "Shift by a pixel", "one pixel to the right", "the same picture", shifted)
    sigma = bisect(image, noise, 0, 128, target)
    keep("noise", "Noise", f"Gaussian, sigma {sigma:.1f} of 255", "grainy everywhere", noise(image, sigma))
    sigma = bisect(image, blur, 0, 16, target)
    keep("blur", "Blur", f"Gaussian, sigma {sigma:.2f} pixels", "out of focus", blur(image, sigma))
    files = {quality: jpeg_file(image, quality) for quality in range(1, 96)}
    quality = min(files, key=lambda q: abs(mse(image, decode(files[q])) - target))
    keep("jpeg", "JPEG", f"quality {quality}", "blocks and false colours", decode(files[quality]), files[quality])
    return reference, distortions
