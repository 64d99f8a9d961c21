"""Reads TensorFlow checkpoints without TensorFlow.

A checkpoint is `PREFIX.index`, a sorted table (in LevelDB's format) of protocol buffers
that say where each tensor is stored, and `PREFIX.data-00000-of-00001`, its numbers
(tensorflow/core/util/tensor_bundle). No code in it is run.
"""

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zoo.files.binary import opened
from zoo.files.damaged import reading
from zoo.files.limits import (
    MAX_AXES,
    MAX_CONFIG_BYTES,
    MAX_NAME_EXPANSION,
    MAX_VARINT_BYTES,
    read_bytes,
)
from zoo.files.stored_arrays import read_array

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
# From tensorflow/core/framework/types.proto.
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


@dataclass(frozen=True)
class Entry:
    """A tensor's shape and type, its file, and the byte where it starts."""

    shape: tuple[int, ...]
    dtype: np.dtype
    file: Path
    offset: int

    @property
    def num_bytes(self) -> int:
        """The size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self, file: BinaryIO | None = None) -> np.ndarray:
        """Reads the tensor.

        Args:
            file: its file, if it is already open.

        Raises:
            ValueError: the file is shorter than the index says.
        """
        source = file or opened(self.file)
        with reading(self.file, "the numbers that the index beside it lists"):
            return read_array(source, self.offset, self.shape, self.dtype)


def entries(prefix: str | os.PathLike[str]) -> dict[str, Entry]:
    """The tensors of a checkpoint, by name.

    Args:
        prefix: the path of its files, without `.index`.

    Raises:
        ValueError: the checkpoint is damaged, or holds anything but numeric arrays.
    """
    index = Path(f"{os.fspath(prefix)}.index")
    data = read_bytes(index, MAX_CONFIG_BYTES)
    expected = "an index of a TensorFlow checkpoint, as tf.train.Saver writes it"
    with reading(index, expected):
        table = dict(_table(data))
        num_shards = _fields(table.pop(b"")).get(1, [0])[0]
        pattern = f"{Path(prefix).name}.data-{{:05d}}-of-{num_shards:05d}"
        return {
            name.decode(): _entry(name.decode(), value, index.parent, pattern)
            for name, value in table.items()
        }


def _entry(name: str, value: bytes, folder: Path, pattern: str) -> Entry:
    fields = _fields(value)
    kind = fields.get(1, [0])[0]
    if kind not in DTYPES or 7 in fields:
        raise ValueError(
            f"{name} must be one piece and numeric, but it is in parts or has "
            f"TensorFlow's type {kind}."
        )
    dims = _fields(fields.get(2, [b""])[0]).get(2, [])
    if len(dims) > MAX_AXES:
        raise ValueError(f"{name} must have at most {MAX_AXES} axes, got {len(dims)}.")
    entry = Entry(
        tuple(_fields(dim).get(1, [0])[0] for dim in dims),
        np.dtype(DTYPES[kind]),
        folder / pattern.format(fields.get(3, [0])[0]),
        fields.get(4, [0])[0],
    )
    if entry.num_bytes != fields.get(5, [0])[0]:
        raise ValueError(
            f"{name} of shape {entry.shape} must have {entry.num_bytes} bytes, got "
            f"{fields.get(5)}."
        )
    return entry


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a sorted table: blocks, and a block with their offsets."""
    footer = data[-FOOTER:]
    if len(footer) < FOOTER or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("it does not end as such a table must.")
    _, place = _handle(footer, 0)
    outer, _ = _handle(footer, place)
    handles = [_handle(value, 0)[0] for _, value in _block(data, outer)]
    # Blocks don't overlap. If one were named many times, or keys repeated their
    # prefixes, a small file could make a large table.
    if sum(size for _, size in handles) > len(data):
        raise ValueError("its blocks are larger than the file.")
    names = 0
    for handle in handles:
        for key, value in _block(data, handle):
            names += len(key)
            if names > MAX_NAME_EXPANSION * len(data):
                raise ValueError("its names are many times as long as the file.")
            yield key, value


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    offset, place = _varint(data, place)
    size, place = _varint(data, place)
    return (offset, size), place


def _block(data: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key is stored as its difference from the last."""
    offset, size = handle
    if data[offset + size] != 0:
        raise ValueError("its table is compressed.")
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


def _fields(message: bytes) -> dict[int, list[Any]]:
    """A protocol buffer's values by field number."""
    fields: dict[int, list[Any]] = {}
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
    """A number in 7 bits per byte, and the position after it."""
    value = 0
    for index in range(MAX_VARINT_BYTES):
        byte = data[place + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, place + index + 1
    raise ValueError("it has an integer of more than 64 bits.")
