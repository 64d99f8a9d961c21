"""Arrays that stay in their file until they are asked for, one by one.

The file is mapped into memory, each array by itself: nothing is copied, processes that
load one file share its pages, and what is changed becomes a process's own. A file must
not be written over in place meanwhile; zoo replaces files whole.

The format is safetensors': eight bytes that say how long the header is, the header,
which is JSON, and the bytes.
"""

import json
import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

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


class LazyArrays(Mapping[str, np.ndarray]):
    """Arrays by name, each made anew whenever it is asked for.

    Args:
        makers: what gives each.
        shapes: of each.
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


def is_own(array: np.ndarray) -> bool:
    """Whether a change of it changes nothing but it: its memory, or its mapping."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.flags.owndata or isinstance(array.base, mmap.mmap)


def shape_of(arrays: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
    """The shape of one, without reading it where that can be."""
    shapes = getattr(arrays, "shapes", None)
    return tuple(arrays[name].shape if shapes is None else shapes[name])


def of_file(file: Path) -> LazyArrays:
    """Those of a safetensors file, whose header is checked and nothing else is read.

    Raises:
        ValueError: the file is incomplete or damaged, or holds numbers of a kind that
            NumPy has not.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # Checks lengths, offsets and that no byte is of two arrays, or of none.
        with safe_open(file, framework="np"):
            pass
    except SafetensorError as error:
        raise ValueError(
            f"{file} is incomplete or damaged ({error}). Copy or save it anew."
        ) from error
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header: dict[str, Any] = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    if unknown := sorted({x["dtype"] for x in header.values()} - set(DTYPES)):
        raise ValueError(
            f"{file} holds numbers of {', '.join(unknown)}; read are "
            f"{', '.join(DTYPES)}."
        )

    def maker(entry: dict[str, Any]) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            start, end = entry["data_offsets"]
            dtype = np.dtype(DTYPES[entry["dtype"]])
            if start == end:
                return np.empty(entry["shape"], dtype)
            try:
                found = np.memmap(
                    file, dtype, "c", 8 + length + start, tuple(entry["shape"])
                )
            except ValueError as error:
                raise ValueError(f"{file} became shorter while it was read.") from error
            return found.view(np.ndarray)

        return read

    return LazyArrays(
        {name: maker(entry) for name, entry in header.items()},
        {name: tuple(entry["shape"]) for name, entry in header.items()},
    )
