#!/usr/bin/env python3
"""Times likeness beside scikit-image, PyTorch and blazediff-ssim in one run, and prints ratios.

    tests/bench/peers.py BUILD_DIR [--seconds 2]

BUILD_DIR holds walk_bench, lpips_bench (make bench builds them). The Python needs tools/parity/requirements.txt and
tests/bench/requirements.txt. Everything runs on one thread, except LPIPS, which has all cores on both sides.

What each computes:
  likeness        SSIM of Wang et al. on uint8 RGB, 11x11 Gaussian, windows inside the image, every channel, full size
  scikit-image    the same score (gaussian_weights=True, sigma=1.5, use_sample_covariance=False), float32 RGB
  PyTorch         the same score by five grouped 11-tap convolutions a side, float32 RGB; what torch SSIM packages do
  blazediff-ssim  MATLAB's ssim.m on luma: ONE channel, and above 256 pixels on the shorter side a picture that is first
                  reduced to about 256. Another and smaller job: its rate is given in samples of the RGB pair that it was
                  handed, and its score differs
A sample is one channel value of one pixel of the pair.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "1")

import blazediff_ssim  # noqa: E402
import numpy as np  # noqa: E402
import skimage  # noqa: E402
import skimage.metrics  # noqa: E402
import torch  # noqa: E402
from lpips_pytorch import best_seconds  # noqa: E402

SIZES = {"256x256": (256, 256), "1080p": (1080, 1920), "4K": (2160, 3840)}
HERE = pathlib.Path(__file__).resolve().parent


def pair(height, width):
    random = np.random.default_rng(1)
    reference = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise = random.integers(-8, 9, reference.shape)
    return reference, np.clip(reference + noise, 0, 255).astype(np.uint8)


def torch_ssim(reference, distorted):
    distance = torch.arange(11) - 5.0
    taps = torch.exp(-(distance**2) / 4.5)
    taps = taps / taps.sum()
    down = taps.view(1, 1, 11, 1).repeat(3, 1, 1, 1)
    across = taps.view(1, 1, 1, 11).repeat(3, 1, 1, 1)

    def blur(x):
        return torch.nn.functional.conv2d(torch.nn.functional.conv2d(x, across, groups=3), down, groups=3)

    r = torch.from_numpy(reference).permute(2, 0, 1)[None].float() / 255
    d = torch.from_numpy(distorted).permute(2, 0, 1)[None].float() / 255

    def run():
        with torch.no_grad():
            mu_r, mu_d = blur(r), blur(d)
            rr, dd, rd = blur(r * r) - mu_r**2, blur(d * d) - mu_d**2, blur(r * d) - mu_r * mu_d
            s = (2 * mu_r * mu_d + 1e-4) * (2 * rd + 9e-4) / ((mu_r**2 + mu_d**2 + 1e-4) * (rr + dd + 9e-4))
            return s.mean().item()

    return run


def skimage_ssim(reference, distorted):
    r, d = reference.astype(np.float32) / 255, distorted.astype(np.float32) / 255
    return lambda: skimage.metrics.structural_similarity(
        r, d, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=2)


def blazediff(reference, distorted):
    height, width, _ = reference.shape
    alpha = np.full((height, width, 1), 255, np.uint8)
    r = np.concatenate([reference, alpha], 2).tobytes()
    d = np.concatenate([distorted, alpha], 2).tobytes()
    return lambda: blazediff_ssim.compare_rgba(r, d, width, height).score


def numpy_mae(reference, distorted):
    r, d = reference.astype(np.float32), distorted.astype(np.float32)
    return lambda: float(np.abs(r - d).mean()) / 255


def ours(binary, names, seconds):
    """Best rate of each benchmark in `names`, in samples a second."""
    pattern = "|".join(f"^{name}$" for name in names)
    text = subprocess.run(
        [binary, f"--benchmark_filter={pattern}", "--benchmark_format=json", f"--benchmark_min_time={seconds / 3}",
         "--benchmark_repetitions=3"], check=True, capture_output=True, text=True).stdout
    best = {}
    for row in json.loads(text)["benchmarks"]:
        if row.get("run_type") == "iteration":
            rate = row["MSample/s"] * 1e6
            best[row["run_name"]] = max(best.get(row["run_name"], 0.0), rate)
    missing = set(names) - set(best)
    if missing:
        sys.exit(f"{binary} has no benchmark {sorted(missing)}")
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    walk_bench = arguments.build / "walk_bench"
    listed = subprocess.run([walk_bench, "--benchmark_list_tests"], check=True, capture_output=True, text=True).stdout
    instruction_set = listed.split()[-1].rsplit("/", 1)[1]  # slowest first, the best of this processor last
    suffix = f"/uint8/hwc/{instruction_set}"
    rates = ours(walk_bench, [f"{what}/{size}{suffix}" for what in ("ssim", "mae") for size in SIZES], arguments.seconds)
    print(f"scikit-image {skimage.__version__}, PyTorch {torch.__version__}, blazediff-ssim {version('blazediff-ssim')}; "
          f"one thread, {instruction_set}")
    print(f"{'':8}{'':10}{'likeness':>12}{'peer':>24}{'its Msample/s':>15}{'ratio':>8}")
    for what, peers in (
            ("ssim", {"scikit-image": skimage_ssim, "PyTorch": torch_ssim, "blazediff-ssim (luma, ~256)": blazediff}),
            ("mae", {"NumPy float32": numpy_mae})):
        for size, (height, width) in SIZES.items():
            images = pair(height, width)
            mine = rates[f"{what}/{size}{suffix}"]
            for name, make in peers.items():
                rate = height * width * 3 / best_seconds(make(*images), arguments.seconds)
                print(f"{what:8}{size:10}{mine / 1e6:12.1f}{name:>30}{rate / 1e6:9.1f}{mine / rate:8.2f}")
    sys.stdout.flush()
    print("LPIPS, all cores, pairs a second:")
    sys.stdout.flush()
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    subprocess.run([arguments.build / "lpips_bench"], check=True, env=environment)
    subprocess.run([sys.executable, HERE / "lpips_pytorch.py", "--threads", str(os.cpu_count())], check=True, env=environment)


if __name__ == "__main__":
    main()
