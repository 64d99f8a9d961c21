"""Reads PyTorch weight files (`.pth`, `.bin`) without torch and without running code.

Such a file is a pickle, which may name any function to call on loading. Here only the
names of dicts, tensors and their storages are allowed. At first only the pickle is
read; an array's numbers are read when it is asked for. A tensor that claims more
numbers than its storage has is refused.
"""

import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import ml_dtypes
import numpy as np

from zoo.files.binary import opened
from zoo.files.damaged import reading
from zoo.files.limits import MAX_AXES, MAX_PICKLE_BYTES
from zoo.files.stored_arrays import LazyArrays, read_array

MAGIC = 0x1950A86A20F9469CFC6C  # in files from before torch 1.6
DTYPES: dict[str, Any] = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


@dataclass
class _Storage:
    """A run of numbers, stored outside of the pickle.

    Attributes:
        dtype: of the numbers.
        count: how many.
        place: where they start: an offset in the file, or the name of a zip member.
    """

    dtype: np.dtype
    count: int
    place: int | str = 0

    @property
    def num_bytes(self) -> int:
        return self.count * self.dtype.itemsize


@dataclass
class _Tensor:
    """A view of a storage; sizes and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def check(self) -> None:
        """Raises ValueError if the view is invalid or reaches beyond its storage."""
        numbers = (self.offset, *self.shape, *self.strides)
        if not all(isinstance(x, int) for x in numbers) or min(numbers) < 0:
            raise ValueError("a tensor's shape and strides must be whole numbers.")
        if len(self.shape) > MAX_AXES:
            raise ValueError(
                f"a tensor must have at most {MAX_AXES} axes, got {len(self.shape)}."
            )
        last = self.offset + sum(
            (n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)
        )
        empty = 0 in self.shape
        if not empty and max(last + 1, math.prod(self.shape)) > self.storage.count:
            raise ValueError(
                f"a tensor of shape {self.shape} reaches beyond its storage."
            )

    def array(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor's values, from the storage's numbers."""
        strides = [s * numbers.itemsize for s in self.strides]
        offset = self.offset * numbers.itemsize
        if 0 in self.shape:
            return np.empty(self.shape, numbers.dtype)
        raw = numbers.view("u1")
        view = np.ndarray(self.shape, numbers.dtype, raw, offset, strides)
        # Copied: strides may visit a number twice, and a write to a view changes both.
        return np.ascontiguousarray(view).reshape(self.shape)


def _named(items: Iterable[Any] = ()) -> dict[Any, Any]:
    """Stands for `OrderedDict`: a dict with checked keys."""
    return {_key(key): value for key, value in items}


def _key(key: Any) -> Any:
    # Hashing nested tuples takes exponential time, and may exhaust the stack.
    if not isinstance(key, str | int):
        raise ValueError(f"it names something by a {type(key).__name__}.")
    return key


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage.")
    tensor = _Tensor(storage, offset, tuple(shape), tuple(strides))
    tensor.check()
    return tensor


KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _named,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    **{("torch", name): np.dtype(dtype) for name, dtype in DTYPES.items()},
}


def _readers(*names: str) -> dict[int, Callable[..., Any]]:
    """The methods that read the opcodes with these names."""
    codes = [getattr(pickle, name)[0] for name in names]
    return {code: pickle._Unpickler.dispatch[code] for code in codes}


class _Reader(pickle._Unpickler):
    """Knows a few names, and makes only dicts, lists, tensors and numbers.

    This is Python's own unpickler, slower than the one in C. It is limited to the
    opcodes that torch needs, and lets us restrict keys.
    """

    dispatch: ClassVar[dict[int, Callable[..., Any]]] = _readers(
        *("PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE"),
        *("BINPERSID", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1"),
        *("BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "EMPTY_TUPLE", "TUPLE"),
        *("TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
        "EMPTY_DICT",
    )

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self.storages = storages

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][_key(key)] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        pairs = zip(items[::2], items[1::2], strict=True)
        self.stack[-1].update(_named(pairs))

    def load_build(self) -> None:
        """Ignores attributes, such as modules' versions."""
        self.stack.pop()

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise ValueError(f"it names {module}.{name}, which no weight file needs.")
        return KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        # Old files have a sixth entry, for storages within storages.
        kind, dtype, key, _, count, *view = pid
        right = (kind, type(key), type(count)) == ("storage", str, int)
        if not right or not isinstance(dtype, np.dtype) or any(view):
            raise ValueError("it must refer to storages of numbers only.")
        return self.storages.setdefault(key, _Storage(dtype, count))


def read_state_dict(file: str | os.PathLike[str]) -> LazyArrays:
    """The weights in a file written by `torch.save(module.state_dict(), file)`.

    Raises:
        ValueError: the file holds anything but named arrays, or is damaged. Also raised
            later, when an array is asked for.
    """
    path = Path(file).expanduser()
    expected = "weights as torch.save(module.state_dict(), file) writes them"
    source = opened(path)
    with reading(path, expected):
        zipped = zipfile.is_zipfile(source)
        source.seek(0)
        found, numbers = (_from_zip if zipped else _from_stream)(source)
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}.")
        for name, value in found.items():
            if not isinstance(name, str) or not isinstance(value, _Tensor):
                raise ValueError(f"{name!r} is a {type(value).__name__}, not an array.")

    def maker(tensor: _Tensor) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            with reading(path, expected):
                return tensor.array(numbers(tensor.storage))

        return read

    return LazyArrays(
        {name: maker(tensor) for name, tensor in found.items()},
        {name: tensor.shape for name, tensor in found.items()},
    )


Found = tuple[Any, Callable[[_Storage], np.ndarray]]


def _from_zip(file: BinaryIO) -> Found:
    """The pickled object, and a function that reads a storage."""
    archive = zipfile.ZipFile(file)
    members = {member.filename: member for member in archive.infolist()}
    for member in members.values():
        # torch does not compress; a small compressed file could fill all memory.
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its {member.filename} is compressed.")
    if sum(member.file_size for member in members.values()) > _size(file):
        raise ValueError("its members are larger than the file.")
    (pickled,) = (name for name in members if name.endswith("/data.pkl"))
    if members[pickled].file_size > MAX_PICKLE_BYTES:
        raise ValueError(
            f"its pickle must have at most {MAX_PICKLE_BYTES:,} bytes, got "
            f"{members[pickled].file_size:,}."
        )
    storages: dict[str, _Storage] = {}
    found = _Reader(io.BytesIO(archive.read(pickled)), storages).load()
    folder = pickled.removesuffix("data.pkl")
    for key, storage in storages.items():
        storage.place = f"{folder}data/{key}"
        if members[storage.place].file_size != storage.num_bytes:
            raise ValueError(
                f"storage {key} must have {storage.count} elements, got "
                f"{members[storage.place].file_size} bytes."
            )

    def numbers(storage: _Storage) -> np.ndarray:
        array = np.empty(storage.count, storage.dtype)
        with archive.open(str(storage.place)) as member:
            array.view("u1")[:] = np.frombuffer(member.read(), "u1")
        return array

    return found, numbers


def _from_stream(file: BinaryIO) -> Found:
    """As `_from_zip`, before torch 1.6: magic, version, platform, object, storages."""
    storages: dict[str, _Storage] = {}
    pickles = io.BytesIO(file.read(min(_size(file), MAX_PICKLE_BYTES)))
    if _Reader(pickles, storages).load() != MAGIC:
        raise ValueError("it does not start as a weight file must.")
    for _ in range(2):
        _Reader(pickles, storages).load()
    found = _Reader(pickles, storages).load()
    keys = _Reader(pickles, storages).load()
    place = pickles.tell()
    for key in keys:
        storage = storages[_key(key)]
        (count,) = read_array(file, place, (1,), np.dtype("<i8"))
        if count != storage.count:
            raise ValueError(
                f"storage {key} must have {storage.count} elements, got {count}."
            )
        storage.place = place + 8
        place += 8 + storage.num_bytes
    if place > _size(file) or set(keys) != set(storages):
        raise ValueError("it is cut short.")

    def numbers(storage: _Storage) -> np.ndarray:
        return read_array(file, int(storage.place), (storage.count,), storage.dtype)

    return found, numbers


def _size(file: BinaryIO) -> int:
    place, size = file.tell(), file.seek(0, os.SEEK_END)
    file.seek(place)
    return size
