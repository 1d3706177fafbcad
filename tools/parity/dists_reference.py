"""The authors' PyTorch DISTS (package dists-pytorch) with convolutions of ours: the other side of a parity check."""

import pathlib
import sys
from unittest import mock

import DISTS_pytorch.DISTS_pt as dists_pt
import torch
import torchvision

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "weights"))
import models  # noqa: E402
import safetensors_file  # noqa: E402

TRUNK = models.BY_METRIC["dists"]


def make_network(tensors, dtype):
    """Builds the package's network from tensors named and shaped as in our files."""
    models.checked(TRUNK, tensors)
    vgg16 = torchvision.models.vgg16
    with mock.patch.object(torchvision.models, "vgg16", lambda pretrained: vgg16(weights=None)):  # it would download
        network = dists_pt.DISTS(load_weights=False)
    convs = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    rows = torch.cat([torch.tensor(tensors[f"head{i}.weight"]) for i in range(len(TRUNK.head_sizes))], dim=1)
    with torch.no_grad():
        for i, conv in enumerate(convs):
            conv.weight.copy_(torch.tensor(tensors[f"conv{i}.weight"]))
            conv.bias.copy_(torch.tensor(tensors[f"conv{i}.bias"]))
        for parameter, row in zip((network.alpha, network.beta), rows):
            parameter.copy_(row.reshape(parameter.shape))
    network = network.to(dtype)
    # The package rounds these to float32.
    network.mean = torch.tensor([0.485, 0.456, 0.406], dtype=dtype).view(1, 3, 1, 1)
    network.std = torch.tensor([0.229, 0.224, 0.225], dtype=dtype).view(1, 3, 1, 1)
    return network.eval()


def load_network(path, dtype):
    """The same from our file, whose alpha and beta must be those that the package ships."""
    tensors, _ = safetensors_file.decode(path.read_bytes())
    network = make_network(tensors, dtype)
    packaged = torch.load(pathlib.Path(dists_pt.__file__).with_name("weights.pt"))
    for name in ("alpha", "beta"):
        if not torch.equal(getattr(network, name).float(), packaged[name].float()):
            sys.exit(f"dists_reference: {name} of {path} is not the one that the package dists-pytorch ships")
    return network
