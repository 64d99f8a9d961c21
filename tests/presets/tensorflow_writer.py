"""Writes TensorFlow checkpoints as bytes: valid ones, and ones it never writes."""

import struct
from pathlib import Path

import numpy as np

from zoo.files.tensorflow_files import MAGIC

HEAD = (b"", b"\x08\x01")  # one shard
KINDS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}


def varint(number: int) -> bytes:
    data = b""
    while number > 127:
        data, number = data + bytes([number & 127 | 128]), number >> 7
    return data + bytes([number])


def block(items, shared=0) -> bytes:
    """Encodes keys, which share `shared` bytes with the one before, and values."""
    data = b"".join(
        varint(shared if place else 0) + varint(len(key)) + varint(len(value)) + key
        + value
        for place, (key, value) in enumerate(items)
    )  # fmt: skip
    return data + struct.pack("<I", 0)


def write_index(prefix: Path, inner: bytes, handles=()) -> Path:
    """Writes an index of one block and one that points to it; checksums are zero."""
    handles = handles or [varint(0) + varint(len(inner))]
    outer = block([(b"", handle) for handle in handles])
    foot = varint(0) * 2 + varint(len(inner) + 5) + varint(len(outer))
    foot += bytes(40 - len(foot)) + struct.pack("<Q", MAGIC)
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(inner + bytes(5) + outer + bytes(5) + foot)
    return index


def message(*fields) -> bytes:
    """Encodes a protocol buffer from (field number, integer or bytes) pairs."""
    data = b""
    for number, value in fields:
        if isinstance(value, int):
            data += varint(number << 3) + varint(value)
        else:
            data += varint(number << 3 | 2) + varint(len(value)) + value
    return data


def tensor(shape, num_bytes: int, offset: int = 0, kind: int = 1) -> bytes:
    """Encodes a tensor's entry in the index."""
    dims = message(*((2, message((1, dim))) for dim in shape))
    return message((1, kind), (2, dims), (4, offset), (5, num_bytes))


def write(prefix: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a complete checkpoint."""
    items, data = [HEAD], b""
    for name, x in sorted(arrays.items()):
        kind = KINDS[str(x.dtype)]
        items.append((name.encode(), tensor(x.shape, x.nbytes, len(data), kind)))
        data += np.ascontiguousarray(x).tobytes()
    write_index(prefix, block(items))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
