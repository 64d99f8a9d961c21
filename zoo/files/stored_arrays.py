"""Arrays that stay in their file until they are asked for, one by one.

Each is read into its own memory, from a file that is opened once: later changes to the
file can't change a model or crash the process, as they could if the file was mapped
into memory. At most one array is in memory beside the model.

The format is safetensors: eight bytes that give the length of the header, the header as
JSON, and the data. The header is checked here, not by the library, which would open the
file by name: by then that may be another file.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from zoo.files.binary import opened
from zoo.files.damaged import reading
from zoo.files.limits import MAX_AXES, MAX_CONFIG_BYTES

DTYPES: dict[str, Any] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": ml_dtypes.bfloat16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}

EXPECTED = "a safetensors file"


class LazyArrays(Mapping[str, np.ndarray]):
    """Arrays by name, each made again whenever it is asked for.

    Args:
        makers: functions that return the arrays, by name.
        shapes: the arrays' shapes, by name.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], np.ndarray]],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.makers, self.shapes = dict(makers), dict(shapes)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)

    def renamed(self, names: Mapping[str, str]) -> "LazyArrays":
        """Some of the arrays, under new names.

        Args:
            names: their present names, by the new ones.
        """
        return LazyArrays(
            {new: self.makers[name] for new, name in names.items()},
            {new: self.shapes[name] for new, name in names.items()},
        )


def is_own(array: np.ndarray) -> bool:
    """Whether the memory of an array, or of the array it views, is NumPy's own."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.flags.owndata


def shape_of(arrays: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
    """The shape of one array, without reading the array if possible."""
    shapes = getattr(arrays, "shapes", None)
    return tuple(arrays[name].shape if shapes is None else shapes[name])


def read_array(
    file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """Reads an array from a file's bytes at `offset` into its own memory.

    Raises:
        ValueError: the file is too short; nothing is allocated then.
    """
    num_bytes = math.prod(shape) * dtype.itemsize
    size = file.seek(0, os.SEEK_END)
    if offset + num_bytes > size:
        raise ValueError(f"it must have {offset + num_bytes:,} bytes, got {size:,}.")
    array = np.empty(shape, dtype)
    file.seek(offset)
    if file.readinto(array.reshape(-1).view("u1").data) != num_bytes:  # type: ignore[attr-defined]
        raise ValueError("it shrank while it was being read.")
    return array


@dataclass(frozen=True)
class _Entry:
    """An array's shape and type, and where its data start after the header."""

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def of_file(file: Path) -> LazyArrays:
    """The arrays of a safetensors file; only its header is read and checked.

    Raises:
        ValueError: the file is damaged, or holds a type that NumPy lacks. Also raised
            later, when an array is asked for.
    """
    source = opened(file)
    with reading(file, EXPECTED):
        size = source.seek(0, os.SEEK_END)
        (length,) = read_array(source, 0, (1,), np.dtype("<u8")).tolist()
        if length > MAX_CONFIG_BYTES:
            raise ValueError(
                f"its header must have at most {MAX_CONFIG_BYTES:,} bytes, got "
                f"{length:,}."
            )
        header = read_array(source, 8, (length,), np.dtype("u1"))
        entries = _entries(header.tobytes(), size - 8 - length)

    def maker(entry: _Entry) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            with reading(file, EXPECTED):
                start = 8 + length + entry.start
                return read_array(source, start, entry.shape, entry.dtype)

        return read

    return LazyArrays(
        {name: maker(entry) for name, entry in entries.items()},
        {name: entry.shape for name, entry in entries.items()},
    )


def _entries(header: bytes, size: int) -> dict[str, _Entry]:
    """The header's entries; together they must cover `size` bytes exactly once."""
    described = json.loads(header)
    described.pop("__metadata__", None)
    entries, ends = {}, {}
    for name, entry in described.items():
        kind, shape, (start, end) = (
            entry[key] for key in ("dtype", "shape", "data_offsets")
        )
        if kind not in DTYPES:
            raise ValueError(
                f"the type of {name} must be one of {', '.join(DTYPES)}, got {kind}."
            )
        numbers = (*shape, start, end)
        if any(type(x) is not int or x < 0 for x in numbers) or len(shape) > MAX_AXES:
            raise ValueError(f"the shape or offsets of {name} are invalid.")
        entries[name] = _Entry(tuple(shape), np.dtype(DTYPES[kind]), start)
        ends[name] = end
        if entries[name].num_bytes != end - start:
            raise ValueError(
                f"{name} of shape {tuple(shape)} must have {entries[name].num_bytes} "
                f"bytes, got {end - start}."
            )
    place = 0
    for name in sorted(entries, key=lambda name: (entries[name].start, ends[name])):
        if entries[name].start != place:
            raise ValueError(f"{name} does not start where the array before it ends.")
        place = ends[name]
    if place != size:
        raise ValueError(
            f"{place:,} bytes must follow its header, but {size:,} bytes do."
        )
    return entries
