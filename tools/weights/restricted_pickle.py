"""Reads arrays out of pickles without running what a pickle asks for.

A pickle names functions for the reader to call, so that plain `pickle.load` on a downloaded file runs that file's
code. The readers here resolve only the globals listed in ALLOWED_GLOBALS, and resolve them to inert stand-ins of our
own: nothing of numpy or torch is imported or called on the file's behalf. Any other name is an error that names it.
"""

import collections
import dataclasses
import io
import pickle
import zipfile

import numpy as np


class RefusedPickle(Exception):
    """The file asks for something that is not on the list, or is not laid out as a known kind of file."""


class Dtype:
    """Stands in for numpy.dtype: keeps the code and byte order, checks that both mean float32."""

    def __init__(self, code="", *_):
        self.code = code
        self.byte_order = "="

    def __setstate__(self, state):
        self.byte_order = state[1]

    def require_float32(self):
        if self.code != "f4" or self.byte_order not in ("<", "|", "="):
            raise RefusedPickle(f"array of dtype {self.byte_order}{self.code}; only little-endian float32 is expected")


class Ndarray:
    """Stands in for numpy.ndarray: keeps the pickled state until `array` turns it into a real array."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.is_fortran, self.content = state

    def array(self):
        self.dtype.require_float32()
        order = "F" if self.is_fortran else "C"
        return np.frombuffer(self.content, dtype="<f4").reshape(self.shape, order=order)


def reconstruct(*_):
    return Ndarray()


@dataclasses.dataclass
class Storage:
    """Stands in for a torch storage; its content arrives after the pickle, in both layouts of torch.save."""

    key: str
    element_count: int
    content: np.ndarray | None = None


class FloatStorage:
    """Stands in for the class torch.FloatStorage, which a pickle only names."""


@dataclasses.dataclass
class Tensor:
    storage: Storage
    offset: int
    shape: tuple
    strides: tuple

    def array(self):
        if self.storage.content is None:
            raise RefusedPickle(f"storage {self.storage.key} is named but has no content")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides))
        if min(self.shape, default=1) < 1 or min(self.strides, default=0) < 0 or not (
            0 <= self.offset <= last < self.storage.element_count
        ):
            raise RefusedPickle(f"a tensor of shape {self.shape} reaches outside of storage {self.storage.key}")
        strides = [4 * stride for stride in self.strides]
        return np.lib.stride_tricks.as_strided(self.storage.content[self.offset :], self.shape, strides, writeable=False)


def rebuild_tensor(storage, offset, shape, strides, *_):
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def rebuild_parameter(tensor, *_):
    return tensor


ALLOWED_GLOBALS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): Ndarray,
    ("numpy.core.multiarray", "_reconstruct"): reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): reconstruct,
    ("torch", "FloatStorage"): FloatStorage,
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
}


class Unpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        try:
            return ALLOWED_GLOBALS[module, name]
        except KeyError:
            raise RefusedPickle(f"the file asks for {module}.{name}, which is not on the allow-list") from None

    def persistent_load(self, pid):
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and pid[1] is FloatStorage):
            raise RefusedPickle(f"the file refers to {pid!r}; only float storages are expected")
        if len(pid) > 5 and pid[5] is not None:
            raise RefusedPickle(f"storage {pid[2]} is a view of another; save the file with a current torch first")
        key, element_count = str(pid[2]), int(pid[4])
        return self.storages.setdefault(key, Storage(key, element_count))


def _load(file):
    unpickler = Unpickler(file)
    try:
        return unpickler.load(), unpickler.storages
    except RefusedPickle:
        raise
    except Exception as error:  # A malformed pickle raises nearly anything; to the caller it is one kind of error.
        raise RefusedPickle(f"not a readable pickle: {error!r}") from error


def load_numpy_pickle(content):
    """Returns the nested dicts of float32 arrays that a pickle of nested dicts of numpy arrays holds."""

    def convert(node):
        if isinstance(node, Ndarray):
            return node.array()
        if isinstance(node, dict):
            return {str(key): convert(value) for key, value in node.items()}
        raise RefusedPickle(f"found a {type(node).__name__} where dicts of arrays are expected")

    tree, _ = _load(io.BytesIO(content))
    return convert(tree)


def _fill(storage, content):
    if len(content) != 4 * storage.element_count:
        raise RefusedPickle(f"storage {storage.key} has {len(content)} bytes, {4 * storage.element_count} expected")
    storage.content = np.frombuffer(content, dtype="<f4")


def _load_torch_zip(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise RefusedPickle(f"a torch archive has one data.pkl, this one has {len(pickles)}")
        top = pickles[0].removesuffix("data.pkl")
        if f"{top}byteorder" in archive.namelist() and archive.read(f"{top}byteorder") != b"little":
            raise RefusedPickle("big-endian torch archives are not read")
        tree, storages = _load(io.BytesIO(archive.read(pickles[0])))
        for storage in storages.values():
            _fill(storage, archive.read(f"{top}data/{storage.key}"))
    return tree


TORCH_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def _load_torch_legacy(content):
    """Before torch 1.6: pickles of magic, protocol, system, object and storage keys, then each storage's bytes."""
    file = io.BytesIO(content)
    magic, _ = _load(file)
    if magic != TORCH_LEGACY_MAGIC:
        raise RefusedPickle("neither a torch archive nor a legacy torch file")
    protocol, _ = _load(file)
    system, _ = _load(file)
    if protocol != 1001 or not system.get("little_endian"):
        raise RefusedPickle(f"legacy torch file of protocol {protocol}, little-endian: {system.get('little_endian')}")
    tree, storages = _load(file)
    keys, _ = _load(file)
    for key in map(str, keys):
        element_count = int.from_bytes(file.read(8), "little")
        if key not in storages or storages[key].element_count != element_count:
            raise RefusedPickle(f"storage {key} has {element_count} elements, which the file's pickle does not expect")
        _fill(storages[key], file.read(4 * element_count))
    return tree


def load_torch_state_dict(content):
    """Returns {name: float32 array} from the bytes of a .pth file, of either layout that torch.save has had."""
    tree = _load_torch_zip(content) if zipfile.is_zipfile(io.BytesIO(content)) else _load_torch_legacy(content)
    if not isinstance(tree, dict) or not all(isinstance(tensor, Tensor) for tensor in tree.values()):
        raise RefusedPickle("the file does not hold a plain state dict of tensors")
    return {str(name): tensor.array() for name, tensor in tree.items()}
