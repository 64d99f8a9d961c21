"""GGUF files, llama.cpp's: metadata, and arrays in many quantised forms.

The `gguf` library parses the header and dequantises. Arrays are read from a file that
is opened once, one at a time.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.extras import optional
from zoo.files.binary import opened
from zoo.files.damaged import reading
from zoo.files.limits import check_plain
from zoo.files.stored_arrays import LazyArrays

EXPECTED = "a GGUF file"


@dataclass(frozen=True)
class Stored:
    """An array in the file.

    Attributes:
        shape: its shape, rows first as in NumPy.
        kind: the library's number of its quantised form.
        offset: its first byte.
        size: its bytes.
    """

    shape: tuple[int, ...]
    kind: int
    offset: int
    size: int


@functools.lru_cache(maxsize=1)
def _parsed(file: Path, changed: tuple[int, ...]) -> Any:
    """The library's reader, kept: it takes seconds to parse a vocabulary."""
    del changed
    return optional("gguf", "Reading a GGUF file", "gguf").GGUFReader(file)


class GGUF:
    """What a GGUF file holds.

    Args:
        file: the file.

    Attributes:
        stored: where each array is, by name.

    Raises:
        ValueError: the file is damaged, or `gguf` is not installed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        check_plain(file)
        with reading(file, EXPECTED):
            now = file.stat()
            if not now.st_size:
                raise ValueError(f"{file} is empty.")
            state = (now.st_ino, now.st_size, now.st_mtime_ns)
            reader = _parsed(file.resolve(), state)
            self._fields = reader.fields
            self.stored = {
                tensor.name: Stored(
                    tuple(int(n) for n in reversed(tensor.shape)),
                    int(tensor.tensor_type),
                    int(tensor.data_offset),
                    int(tensor.n_bytes),
                )
                for tensor in reader.tensors
            }

    def get(self, name: str, default: Any = None) -> Any:
        """A value of the metadata: a number, a text, or a list of either."""
        if name not in self._fields:
            return default
        with reading(self.file, EXPECTED):
            return self._fields[name].contents()

    def arrays(self) -> LazyArrays:
        """The arrays by name, each read and dequantised to float32 on access."""
        # Opened here, so that the arrays outlive a file that is replaced.
        held = opened(self.file)

        def maker(stored: Stored) -> Callable[[], np.ndarray]:
            return lambda: self._array(held, stored)

        return LazyArrays(
            {name: maker(stored) for name, stored in self.stored.items()},
            {name: stored.shape for name, stored in self.stored.items()},
        )

    def _array(self, held: Any, stored: Stored) -> np.ndarray:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        with reading(self.file, EXPECTED):
            held.seek(stored.offset)
            data = held.read(stored.size)
            if len(data) != stored.size:
                raise ValueError(f"{self.file} ends within an array.")
            kind = GGMLQuantizationType(stored.kind)
            rows = math.prod(stored.shape[:-1])
            raw = np.frombuffer(data, "uint8").reshape(rows, -1)
            try:
                x = dequantize(raw, kind)
            except NotImplementedError as error:
                raise ValueError(
                    f"{self.file} has arrays in the form {kind.name}, which the gguf "
                    "library can't dequantise. Use a file in Q8_0, F16 or a K-quant."
                ) from error
            return np.array(x.reshape(stored.shape), "float32", order="C")
