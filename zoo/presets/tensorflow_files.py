"""TensorFlow's checkpoints, read without TensorFlow.

Such a checkpoint is `PREFIX.index`, a sorted table (of LevelDB's format) of protocol
buffers that say where each tensor lies, and `PREFIX.data-00000-of-00001`, its numbers
(tensorflow/core/util/tensor_bundle). Nothing of it is run.
"""

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
# Of tensorflow/core/framework/types.proto.
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


@dataclass(frozen=True)
class Entry:
    """A tensor, and where it lies: in which file, from which byte on."""

    shape: tuple[int, ...]
    dtype: np.dtype
    file: Path
    offset: int

    @property
    def num_bytes(self) -> int:
        """How many bytes it takes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self) -> np.ndarray:
        """The tensor; raises if its file is shorter than the index says."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            data = file.read(self.num_bytes)
        if len(data) < self.num_bytes:
            raise ValueError(f"{self.file} is incomplete. Copy it anew.")
        return np.frombuffer(data, self.dtype).reshape(self.shape).copy()


def entries(prefix: str | os.PathLike[str]) -> dict[str, Entry]:
    """The tensors of a checkpoint by name.

    Args:
        prefix: the path of its files without `.index`.

    Raises:
        ValueError: it is damaged, or holds something other than arrays of numbers.
    """
    index = Path(f"{os.fspath(prefix)}.index")
    try:
        table = dict(_table(index.read_bytes()))
        num_shards = _fields(table.pop(b"")).get(1, [0])[0]
        pattern = f"{Path(prefix).name}.data-{{:05d}}-of-{num_shards:05d}"
        return {
            name.decode(): _entry(name.decode(), value, index.parent, pattern)
            for name, value in table.items()
        }
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise ValueError(
            f"{index} is no index of a TensorFlow checkpoint that can be read: "
            f"{error}. Expected what tf.train.Saver writes."
        ) from error


def _entry(name: str, value: bytes, folder: Path, pattern: str) -> Entry:
    fields = _fields(value)
    kind = fields.get(1, [0])[0]
    if kind not in DTYPES or 7 in fields:
        raise ValueError(f"{name} is in parts, or of TensorFlow's type {kind}")
    dims = _fields(fields.get(2, [b""])[0]).get(2, [])
    entry = Entry(
        tuple(_fields(dim).get(1, [0])[0] for dim in dims),
        np.dtype(DTYPES[kind]),
        folder / pattern.format(fields.get(3, [0])[0]),
        fields.get(4, [0])[0],
    )
    if entry.num_bytes != fields.get(5, [0])[0]:
        raise ValueError(f"{name} of {entry.shape} has {fields.get(5)} bytes")
    return entry


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a sorted table: blocks, and a block that says where."""
    footer = data[-FOOTER:]
    if len(footer) < FOOTER or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("it does not end as such a table does")
    _, place = _handle(footer, 0)
    handle, _ = _handle(footer, place)
    for _, value in _block(data, handle):
        yield from _block(data, _handle(value, 0)[0])


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    offset, place = _varint(data, place)
    size, place = _varint(data, place)
    return (offset, size), place


def _block(data: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key is told by how it differs from the last."""
    offset, size = handle
    if data[offset + size] != 0:
        raise ValueError("its table is compressed")
    block = data[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    place, end, key = 0, len(block) - 4 * (restarts + 1), b""
    while place < end:
        shared, place = _varint(block, place)
        unshared, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + unshared]
        place += unshared
        yield key, block[place : place + length]
        place += length


def _fields(message: bytes) -> dict[int, list]:
    """A protocol buffer's values by the number of their field."""
    fields: dict[int, list] = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == 0:
            value, place = _varint(message, place)
        else:
            size = {1: 8, 5: 4}.get(wire)
            if size is None:
                size, place = _varint(message, place)
            value, place = message[place : place + size], place + size
        fields.setdefault(number, []).append(value)
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
