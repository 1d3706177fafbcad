"""The reference implementations of all metrics but LPIPS that have one to run, by our request's name.

Each takes two float64 tensors, 1x3xHxW on [0, 1], and returns a number. `files` are the same images as 8-bit PNG, for
tools that read files.

Without one: what is a formula of a line that would only be typed twice (charbonnier, quantile, ...), what exists in
faceswap alone (GPL, and for other frameworks; tests/golden has rows of it), and fused-ssim, which needs a GPU. For
SSIMULACRA 2 the authors' program is asked: the Python package ssimulacra2 0.3.0 blurs otherwise at borders and stops
a scale early on sides under 256, which makes 57 points on pair B of tests/golden.
"""

import functools
import pathlib
import re
import subprocess

import flip_evaluator
import numpy as np
import piq
import skimage.metrics
import torch

torch.__version__ = torch.__version__.replace("a0", "")  # focal_frequency_loss cannot read Debian's "1.13.0a0"
import focal_frequency_loss  # noqa: E402
import kornia  # noqa: E402
import torchmetrics.functional as tm  # noqa: E402
import torchmetrics.functional.image as tmi  # noqa: E402
from pyiqa.archs import gmsd_arch, nlpd_arch, psnr_arch, ssim_arch  # noqa: E402
from torchmetrics.functional.image.vif import visual_information_fidelity  # noqa: E402

import dists_reference  # noqa: E402

WEIGHTS = pathlib.Path(__file__).resolve().parents[2] / "build" / "weights"
BUTTERAUGLI = "butteraugli_main"
SSIMULACRA2 = "ssimulacra2"


def image(x):
    return x[0].permute(1, 2, 0).numpy()


def skimage_ssim(r, d, **more):
    return skimage.metrics.structural_similarity(image(r), image(d), data_range=1.0, channel_axis=2, **more)


def wang(r, d):
    return skimage_ssim(r, d, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def flip(r, d):
    return flip_evaluator.evaluate(image(r).astype(np.float32), image(d).astype(np.float32), "LDR")[1]


def butteraugli(norm):
    def run(files):
        command = [BUTTERAUGLI, *map(str, files), "--pnorm", "3"]
        numbers = re.findall(r"-?\d+\.\d+", subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return float(numbers[0 if norm == "max" else 1])

    return run


def ssimulacra2(files):
    return subprocess.run([SSIMULACRA2, *map(str, files)], check=True, capture_output=True, text=True).stdout


@functools.cache
def dists_network():
    return dists_reference.load_network(WEIGHTS / "dists.safetensors", torch.float32)


# name: (package, function of two tensors)
OF_TENSORS = {
    "mae": ("torch", lambda r, d: (d - r).abs().mean()),
    "mse": ("torch", lambda r, d: ((d - r) ** 2).mean()),
    "rmse": ("torch", lambda r, d: ((d - r) ** 2).mean().sqrt()),
    "sse": ("torch", lambda r, d: ((d - r) ** 2).sum()),
    "mbe": ("torch", lambda r, d: (d - r).mean()),
    "l_inf_norm": ("torch", lambda r, d: (d - r).abs().amax((2, 3)).mean()),
    "l_inf_norm:max": ("torch", lambda r, d: (d - r).abs().max()),
    "psnr": ("scikit-image", lambda r, d: skimage.metrics.peak_signal_noise_ratio(image(r), image(d), data_range=1.0)),
    "psnr:piq": ("piq", lambda r, d: piq.psnr(d, r)),
    "psnr:psnry": ("pyiqa", lambda r, d: psnr_arch.psnr(d, r, test_y_channel=True)),
    "huber": ("torch", lambda r, d: torch.nn.functional.huber_loss(d, r, delta=8 / 255)),
    "smooth_l1": ("torch", lambda r, d: torch.nn.functional.smooth_l1_loss(d, r, beta=8 / 255)),
    "logcosh": ("torchmetrics", lambda r, d: tm.log_cosh_error(d.flatten(), r.flatten())),
    "mape": ("torchmetrics", lambda r, d: tm.mean_absolute_percentage_error(d.flatten(), r.flatten())),
    "wmape": ("torchmetrics", lambda r, d: tm.weighted_mean_absolute_percentage_error(d.flatten(), r.flatten())),
    "smape": ("torchmetrics", lambda r, d: tm.symmetric_mean_absolute_percentage_error(d.flatten(), r.flatten())),
    "ssim": ("scikit-image", wang),
    "ssim:skimage_default": ("scikit-image", skimage_ssim),
    "ssim:piq": ("piq", lambda r, d: piq.ssim(d, r)),
    "ssim:torchmetrics": ("torchmetrics", lambda r, d: tmi.structural_similarity_index_measure(d, r, data_range=1.0)),
    "ssim:pyiqa": ("pyiqa", lambda r, d: ssim_arch.SSIM()(d, r)),
    "ssim:pyiqa_color": ("pyiqa", lambda r, d: ssim_arch.SSIM(test_y_channel=False)(d, r)),
    "ssim:kornia": ("kornia", lambda r, d: kornia.metrics.ssim(d, r, window_size=11).mean()),
    "ms_ssim:piq": ("piq", lambda r, d: piq.multi_scale_ssim(d, r)),
    "ms_ssim:torchmetrics": (
        "torchmetrics",
        lambda r, d: tmi.multiscale_structural_similarity_index_measure(d, r, data_range=1.0),
    ),
    "ms_ssim:pyiqa": ("pyiqa", lambda r, d: ssim_arch.MS_SSIM()(d, r)),
    "gmsd": ("piq", lambda r, d: piq.gmsd(d, r)),
    "gmsd:pyiqa": ("pyiqa", lambda r, d: gmsd_arch.GMSD()(d, r)),
    "ms_gmsd": ("piq", lambda r, d: piq.multi_scale_gmsd(d, r)),
    "ms_gmsdc": ("piq", lambda r, d: piq.multi_scale_gmsd(d, r, chromatic=True)),
    "vifp:piq": ("piq", lambda r, d: piq.vif_p(d, r)),
    "vifp:torchmetrics": ("torchmetrics", lambda r, d: visual_information_fidelity(d, r)),
    "fsim": ("piq", lambda r, d: piq.fsim(d, r, chromatic=False)),
    "fsimc": ("piq", lambda r, d: piq.fsim(d, r)),
    "vsi": ("piq", lambda r, d: piq.vsi(d, r)),
    "mdsi": ("piq", lambda r, d: piq.mdsi(d, r)),
    "mdsi:mult": ("piq", lambda r, d: piq.mdsi(d, r, combination="mult")),
    "haarpsi": ("piq", lambda r, d: piq.haarpsi(d, r)),
    "nlpd": ("pyiqa", lambda r, d: nlpd_arch.NLPD().to(r)(d, r)),
    "cw_ssim": ("pyiqa", lambda r, d: ssim_arch.CW_SSIM()(d, r)),
    "ffl": ("focal-frequency-loss", lambda r, d: focal_frequency_loss.FocalFrequencyLoss()(d, r)),
    "flip": ("flip-evaluator", flip),
    "dists": ("dists-pytorch", lambda r, d: dists_network()(r.float(), d.float())),
}

# name: (package, function of two paths)
OF_FILES = {
    "ssimulacra2": ("cloudinary/ssimulacra2", ssimulacra2),
    "butteraugli": ("butteraugli_main", butteraugli("max")),
    "butteraugli:pnorm3": ("butteraugli_main", butteraugli("3")),
}


def score(name, tensors, files):
    with torch.no_grad():
        value = OF_TENSORS[name][1](*tensors) if name in OF_TENSORS else OF_FILES[name][1](files)
    return float(value)


def package(name):
    return (OF_TENSORS.get(name) or OF_FILES[name])[0]


NAMES = [*OF_TENSORS, *OF_FILES]
