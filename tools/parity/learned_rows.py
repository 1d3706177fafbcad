#!/usr/bin/env python3
"""Prints the rows of tests/unit/lpips_test.cc and tests/unit/dists_test.cc: PyTorch in float64 on the scene pairs.

    build/parity/metrics-venv/bin/python tools/parity/learned_rows.py [--weights build/weights]

The environment is that of metrics.py. A row is a pair of tests/support/pairs.h and a request with the score; then of
the gradient d(score)/d(distorted) the sum, the sum of magnitudes and the sample at channel 0, row 10, column 20; then
of the map, where there is one, the mean and the sample at the same place. The synthetic weights are those of
tests/support/weights.h, the real ones the files of --weights. LPIPS comes from the package lpips, for convention
torchmetrics with the normalisation of that package, DISTS from dists-pytorch. faceswap's form is ours, on
torchvision's trunks, after the definition in kernels/metrics/lpips/lpips_math.h: its own is written for other
frameworks and under the GPL.
"""

import argparse
import pathlib
from unittest import mock

import lpips
import numpy as np
import torch
import torchvision
from torchmetrics.functional.image.lpips import _normalize_tensor as torchmetrics_normalize

import dists_reference
import lpips_reference
import models

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAIRS = {"B": (67, 45), "C": (64, 64)}  # width, height

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

# faceswap: the module of torchvision's trunk behind which each tap is, and the samples cut off each side of the tap.
FACESWAP = {
    "lpips_alex": ((1, 4, 7, 9, 10), (2, 2, 1, 1, 1)),  # the last tap is in front of its ReLU
    "lpips_vgg": ((3, 8, 15, 22, 29), (1,) * 5),
    "lpips_squeeze": ((1, 4, 7, 9, 10, 11, 12), (1,) * 7),
}
FACESWAP_NAMES = {"lpips_vgg": "lpips_vgg16"}


def triangle(n, period):
    return np.abs(n % (2 * period) - period)


def scene_pair(width, height):
    """The pair of tests/support/pairs.h as 1x3xHxW in float64 on [0, 1]; a gradient can be asked of the second."""
    y, x, c = np.mgrid[:height, :width, :3]

    def reference(x):
        squares = 60 * ((x // 16 + y // 16) & 1)
        return np.clip(40 + triangle(x * (c + 2) + y, 64) + triangle(3 * y + 17 * c, 48) + squares, 0, 255)

    mixed = ((x * 73856093) ^ (y * 19349663) ^ (c * 83492791)) & 0xFFFFFFFF
    noise = ((mixed * 2654435761) & 0xFFFFFFFF) >> 24 & 15
    distorted = np.clip(7 * reference(np.minimum(x + 1, width - 1)) // 8 + 12 + noise - 8, 0, 255)
    pair = [torch.from_numpy(image / 255).permute(2, 0, 1)[None].contiguous() for image in (reference(x), distorted)]
    pair[1].requires_grad_(True)
    return pair


def uniform(start, count, salt):
    """u(k, salt) of tests/support/weights.h for k from start."""
    mask = np.uint64(0xFFFFFFFF)
    h = np.arange(start, start + count, dtype=np.uint64) * np.uint64(2654435761)
    h = (h + np.uint64(salt * 2654404609 & 0xFFFFFFFF)) & mask
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    return h / 2.0**32


def synthetic_tensors(trunk, first_version=False):
    tensors = {}
    for i, shape in enumerate(trunk.conv_shapes):
        weights = (2 * uniform(0, np.prod(shape), i + 1) - 1) * np.sqrt(6 / np.prod(shape[1:]))
        tensors[f"conv{i}.weight"] = weights.reshape(shape)
        tensors[f"conv{i}.bias"] = (2 * uniform(0, shape[0], i + 1001) - 1) * 0.1
    seen = 0
    for i, size in enumerate(trunk.head_sizes):
        if trunk.head_rows == 2:
            tensors[f"head{i}.weight"] = np.stack([uniform(seen, size, salt) for salt in (3001, 3002)])
        else:
            tensors[f"head{i}.weight"] = uniform(0, size, i + (4001 if first_version else 2001)) * 2 / size
        seen += size
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def print_row(pair, request, score, distorted, map_plane=None):
    (gradient,) = torch.autograd.grad(score, distorted)
    numbers = [score, gradient.sum(), gradient.abs().sum(), gradient[0, 0, 10, 20]]
    if map_plane is not None:
        numbers += [map_plane.mean(), map_plane[0, 0, 10, 20]]
    print(f"{pair}, {request}:", ", ".join(f"{number.item():.12g}" for number in numbers), flush=True)


def lpips_rows(network, request, pairs):
    for pair in pairs:
        reference, distorted = scene_pair(*PAIRS[pair])
        network.spatial = True
        with torch.no_grad():
            map_plane = network(reference, distorted, normalize=True)
        network.spatial = False
        print_row(pair, request, network(reference, distorted, normalize=True).sum(), distorted, map_plane)


def exact_lpips(trunk, tensors):
    """The package rounds shift and scale to float32, which moves a score by 1e-8: not on synthetic weights."""
    network = lpips_reference.make_network(trunk, tensors, torch.float64)
    shift = [2 * mean - 1 for mean in IMAGENET_MEAN]
    scale = [2 * deviation for deviation in IMAGENET_DEVIATION]
    network.scaling_layer.shift = torch.tensor(shift, dtype=torch.float64).view(1, 3, 1, 1)
    network.scaling_layer.scale = torch.tensor(scale, dtype=torch.float64).view(1, 3, 1, 1)
    return network


def faceswap_row(trunk, tensors, pair):
    modules = list(getattr(torchvision.models, trunk.torchvision_name)(weights=None).features)
    convs = [part for module in modules for part in module.modules() if isinstance(part, torch.nn.Conv2d)]
    for i, conv in enumerate(convs):
        conv.weight.data = torch.from_numpy(tensors[f"conv{i}.weight"]).double()
        conv.bias.data = torch.from_numpy(tensors[f"conv{i}.bias"]).double()
    for part in (part for module in modules for part in module.modules()):
        if isinstance(part, torch.nn.ReLU):
            part.inplace = False  # a tap in front of it must stay as it is
    taps, crops = FACESWAP[trunk.metric]
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64).view(1, 3, 1, 1)
    deviation = torch.tensor(IMAGENET_DEVIATION, dtype=torch.float64).view(1, 3, 1, 1)

    def unit_features(image):
        x = (image - mean) / deviation
        for i, module in enumerate(modules):
            x = module(x)
            if i in taps:
                yield x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)

    reference, distorted = scene_pair(*PAIRS[pair])
    map_plane = 0
    for i, (r, d) in enumerate(zip(unit_features(reference), unit_features(distorted))):
        head = torch.from_numpy(tensors[f"head{i}.weight"]).double().view(1, -1, 1, 1)
        plane = ((r - d).square() * head).sum(1, keepdim=True)
        cut = crops[i]
        plane = plane[:, :, cut:-cut, cut:-cut]
        size = reference.shape[2:]
        map_plane = map_plane + torch.nn.functional.interpolate(plane, size, mode="bilinear", align_corners=False)
    map_plane = 0.1 * map_plane
    request = f"faceswap/{FACESWAP_NAMES.get(trunk.metric, trunk.metric)}"
    print_row(pair, request, map_plane.mean(), distorted, map_plane)


def dists_rows(network, pairs):
    for pair in pairs:
        reference, distorted = scene_pair(*PAIRS[pair])
        print_row(pair, "dists", network(reference, distorted, require_grad=True), distorted)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=pathlib.Path, default=ROOT / "build" / "weights")
    arguments = parser.parse_args()
    trunks = [models.BY_METRIC[metric] for metric in ("lpips_alex", "lpips_vgg", "lpips_squeeze")]

    print("Synthetic weights")
    for trunk in trunks:
        lpips_rows(exact_lpips(trunk, synthetic_tensors(trunk)), trunk.metric, "C")
    for trunk in trunks:
        network = lpips_reference.make_network(trunk, synthetic_tensors(trunk, first_version=True), torch.float64, "0.0")
        lpips_rows(network, f"{trunk.metric}:v0.0", "C")
    for trunk in trunks:
        faceswap_row(trunk, synthetic_tensors(trunk), "C")
    dists_rows(dists_reference.make_network(synthetic_tensors(dists_reference.TRUNK), torch.float64), "CB")

    print("Synthetic weights, first convolution scaled by 2^-12")
    small = synthetic_tensors(trunks[0])
    for name in ("conv0.weight", "conv0.bias"):
        small[name] /= 4096
    network = exact_lpips(trunks[0], small)
    lpips_rows(network, "lpips_alex:v0.1", "C")
    with mock.patch.object(lpips, "normalize_tensor", torchmetrics_normalize):
        lpips_rows(network, "lpips_alex:torchmetrics", "C")

    print("Real weights")
    for metric in ("lpips_alex", "lpips_vgg"):
        _, network = lpips_reference.load_network(arguments.weights / f"{metric}.safetensors", torch.float64)
        lpips_rows(network, metric, "CB")
        _, network = lpips_reference.load_network(arguments.weights / f"{metric}.safetensors", torch.float64, "0.0")
        lpips_rows(network, f"{metric}:v0.0", "CB")
    dists_rows(dists_reference.load_network(arguments.weights / "dists.safetensors", torch.float64), "CB")


if __name__ == "__main__":
    main()
