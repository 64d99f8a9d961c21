"""PyTorch's weight files (`.pth`), read without torch and without running their code.

Such a file is a pickle, which may name any function to call on loading. Here its names
stand for what follows and nothing else: ordered dicts, tensors and their storages.
"""

import collections
import io
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C  # of files before torch 1.6
DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


@dataclass
class _Storage:
    """A run of numbers, which files keep apart from the pickle."""

    key: str
    dtype: np.dtype
    count: int
    data: bytes = b""


@dataclass
class _Tensor:
    """A view of a storage; sizes and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """A copy of what it shows; raises if it reaches beyond its storage."""
        flat = np.frombuffer(self.storage.data, self.storage.dtype)
        last = self.offset + sum(
            (n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)
        )
        negative = min((self.offset, *self.shape, *self.strides)) < 0
        if negative or (0 not in self.shape and last >= len(flat)):
            raise ValueError(f"a tensor of {self.shape} reaches beyond its storage")
        strides = [s * flat.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides)
        return view.copy()


class _Reader(pickle.Unpickler):
    """Knows a few names, and makes nothing but dicts, tensors and numbers."""

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, tuple(shape), tuple(strides)
            )
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise ValueError(f"it names {module}.{name}, which is no part of weights")

    def persistent_load(self, pid: Any) -> _Storage:
        # In old files a sixth entry follows, for storages within storages.
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or any(v is not None for v in view):
            raise ValueError(f"it refers to {pid!r}")
        return self.storages.setdefault(key, _Storage(key, np.dtype(dtype), count))


def read_state_dict(file: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The weights of a file that `torch.save(module.state_dict(), file)` wrote.

    Raises:
        ValueError: it holds anything but named arrays, or is damaged.
    """
    path = Path(file).expanduser()
    with open(path, "rb") as opened:
        try:
            zipped = zipfile.is_zipfile(opened)
            opened.seek(0)
            found = _from_zip(opened) if zipped else _from_stream(opened)
            if not isinstance(found, dict):
                raise ValueError(f"it holds a {type(found).__name__}")
            return {name: _array(name, value) for name, value in found.items()}
        except Exception as error:
            _refuse(path, error)


def _from_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            # torch compresses nothing; a small file could ask for all memory there is.
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its {member.filename} is compressed")
        (pickled,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        storages: dict[str, _Storage] = {}
        found = _Reader(io.BytesIO(archive.read(pickled)), storages).load()
        for key, storage in storages.items():
            storage.data = archive.read(f"{folder}data/{key}")
        return found


def _from_stream(file: BinaryIO) -> Any:
    """Of torch before 1.6: magic number, version, platform, object, storages."""
    storages: dict[str, _Storage] = {}
    if _Reader(file, storages).load() != MAGIC:
        raise ValueError("it does not begin as weights do")
    for _ in range(2):
        _Reader(file, storages).load()
    found = _Reader(file, storages).load()
    for key in _Reader(file, storages).load():
        storage = storages[key]
        (count,) = np.frombuffer(file.read(8), "<i8")
        if count != storage.count:
            raise ValueError(f"storage {key} has {count} elements, not {storage.count}")
        storage.data = file.read(storage.count * storage.dtype.itemsize)
    return found


def _array(name: Any, value: Any) -> np.ndarray:
    if not isinstance(name, str) or not isinstance(value, _Tensor):
        raise ValueError(f"{name!r} is a {type(value).__name__}, not an array")
    return value.array()


def _refuse(path: Path, error: Exception) -> NoReturn:
    raise ValueError(
        f"{path} is no file of weights that can be read: {error}. Expected what "
        "torch.save(module.state_dict(), file) writes."
    ) from error
