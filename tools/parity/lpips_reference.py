#!/usr/bin/env python3
"""Scores image pairs with the PyTorch package `lpips` on our converted weights: the other side of a parity check.

    lpips_reference.py --weights build/weights/lpips_alex.safetensors [--crop 123x66] [--gradients DIR] REF DIST [REF DIST ...]

Prints one JSON object a line, one for each pair, with the score, the score of each layer, the mean of the spatial map
and, of the gradient d(score)/d(distorted), sum, sum of magnitudes and the value at channel 0, row 10, column 20. Pixels
are on [0, 1] as in the server: `normalize=True`, so the gradient has the factor 2 of that step. With
--gradients DIR the gradient (3 x H x W) is saved as DIR/<distorted>.<metric>.npy. Needs requirements.txt.
"""

import argparse
import json
import pathlib
import sys

import lpips
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "weights"))
import models  # noqa: E402
import safetensors_file  # noqa: E402

NETS = {"lpips_alex": "alex", "lpips_vgg": "vgg", "lpips_squeeze": "squeeze"}


def make_network(trunk, tensors, dtype, version="0.1"):
    """Builds lpips.LPIPS with no pretrained trunk from tensors named and shaped as in our files."""
    models.checked(trunk, tensors)
    network = lpips.LPIPS(net=NETS[trunk.metric], version=version, pnet_rand=True, verbose=False)
    convs = [module for module in network.net.modules() if isinstance(module, torch.nn.Conv2d)]
    if len(convs) != len(trunk.conv_shapes):
        sys.exit(f"lpips_reference: lpips has {len(convs)} convolutions, {trunk.metric} has {len(trunk.conv_shapes)}")
    with torch.no_grad():
        for i, conv in enumerate(convs):
            conv.weight.copy_(torch.from_numpy(tensors[f"conv{i}.weight"].copy()))
            conv.bias.copy_(torch.from_numpy(tensors[f"conv{i}.bias"].copy()))
        for i, head in enumerate(network.lins):
            head.model[-1].weight.copy_(torch.from_numpy(tensors[f"head{i}.weight"].copy()).reshape(1, -1, 1, 1))
    return network.eval().to(dtype)


def load_network(path, dtype, version="0.1"):
    """The same from our files, whose heads must be those that the package ships; for version 0.0 from lpips_v0.0 beside."""
    tensors, metadata = safetensors_file.decode(path.read_bytes())
    trunk = models.BY_METRIC[metadata["metric"]]
    if version == "0.0":
        heads, _ = safetensors_file.decode((path.parent / "lpips_v0.0.safetensors").read_bytes())
        tensors.update({name: heads[f"{trunk.metric}.{name}"] for name in trunk.head_shapes()})
    network = make_network(trunk, tensors, dtype, version)
    packaged = lpips.LPIPS(net=NETS[trunk.metric], version=version, pnet_rand=True, verbose=False)
    for i, (ours, theirs) in enumerate(zip(network.lins, packaged.lins)):
        if not torch.equal(ours.model[-1].weight.float(), theirs.model[-1].weight):
            sys.exit(f"lpips_reference: head {i} of {path} is not the one that the package lpips ships as version {version}")
    return trunk.metric, network


def load_image(path, crop, dtype):
    image = Image.open(path)
    if image.mode != "RGB":
        sys.exit(f"lpips_reference: {path} is {image.mode}; only 8-bit RGB is compared")
    pixels = np.asarray(image)
    if crop:
        width, height = crop
        if pixels.shape[1] < width or pixels.shape[0] < height:
            sys.exit(f"lpips_reference: {path} is {pixels.shape[1]}x{pixels.shape[0]}, smaller than the crop")
        pixels = pixels[:height, :width]
    return (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(torch.float32) / 255).to(dtype)


def measure(network, reference, distorted):
    distorted = distorted.clone().requires_grad_(True)
    score, layers = network(reference, distorted, retPerLayer=True, normalize=True)
    score.sum().backward()
    network.spatial = True
    with torch.no_grad():
        spatial = network(reference, distorted, normalize=True)
    network.spatial = False
    return score.item(), [layer.item() for layer in layers], spatial.mean().item(), distorted.grad[0].numpy()


def parse_crop(text):
    width, height = text.split("x")
    return int(width), int(height)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, type=pathlib.Path)
    parser.add_argument("--crop", type=parse_crop, metavar="WxH", help="take the top left part only, e.g. for odd sizes")
    parser.add_argument("--double", action="store_true", help="compute in float64 instead of float32")
    parser.add_argument("--gradients", type=pathlib.Path, metavar="DIR")
    parser.add_argument("images", nargs="+", type=pathlib.Path, metavar="IMAGE", help="reference, distorted, ...")
    arguments = parser.parse_args()
    if len(arguments.images) % 2:
        parser.error("images come in pairs: reference, distorted")
    dtype = torch.float64 if arguments.double else torch.float32
    metric, network = load_network(arguments.weights, dtype)
    for reference_path, distorted_path in zip(arguments.images[::2], arguments.images[1::2]):
        reference = load_image(reference_path, arguments.crop, dtype)
        distorted = load_image(distorted_path, arguments.crop, dtype)
        score, layers, spatial_mean, gradient = measure(network, reference, distorted)
        row = {
            "metric": metric,
            "reference": str(reference_path),
            "distorted": str(distorted_path),
            "width": reference.shape[3],
            "height": reference.shape[2],
            "dtype": str(dtype).removeprefix("torch."),
            "score": score,
            "layers": layers,
            "spatial_mean": spatial_mean,
            "gradient_sum": float(gradient.sum(dtype=np.float64)),
            "gradient_sum_abs": float(np.abs(gradient).sum(dtype=np.float64)),
            "torch": torch.__version__,
        }
        if gradient.shape[1] > 10 and gradient.shape[2] > 20:
            row["gradient_c0_y10_x20"] = float(gradient[0, 10, 20])
        if arguments.gradients:
            arguments.gradients.mkdir(parents=True, exist_ok=True)
            saved = arguments.gradients / f"{distorted_path.stem}.{metric}.npy"
            np.save(saved, gradient)
            row["gradient_file"] = str(saved)
        print(json.dumps(row))


if __name__ == "__main__":
    main()
