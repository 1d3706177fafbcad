"""Writes and reads safetensors files of float32 tensors, always the same bytes for the same tensors.

Layout: 8 bytes with the header's length (little-endian), a JSON header {name: {dtype, shape, data_offsets}}, the data.
The header is padded with spaces so that the data starts on a 64-byte boundary, where a loader may map it.
"""

import json
import math

import numpy as np

DATA_ALIGNMENT_BYTES = 64


def encode(tensors, metadata):
    """Returns the file's bytes; tensors keep the order of the dict `tensors`."""
    header = {"__metadata__": metadata}
    chunks = []
    offset = 0
    for name, tensor in tensors.items():
        chunk = np.ascontiguousarray(tensor, dtype="<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": [int(size) for size in tensor.shape],
            "data_offsets": [offset, offset + len(chunk)],
        }
        offset += len(chunk)
        chunks.append(chunk)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-(8 + len(text)) % DATA_ALIGNMENT_BYTES)
    return b"".join([len(text).to_bytes(8, "little"), text, *chunks])


def decode(content):
    """Returns (tensors, metadata) from a file's bytes."""
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if entry["dtype"] != "F32" or end - begin != 4 * math.prod(entry["shape"]):
            raise ValueError(f"{name}: {entry} is not a float32 tensor")
        data = content[8 + header_bytes + begin : 8 + header_bytes + end]
        tensors[name] = np.frombuffer(data, dtype="<f4").reshape(entry["shape"])
    return tensors, metadata
