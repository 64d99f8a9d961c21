"""Opens HDF5 files from anywhere.

The HDF5 library trusts the list of free blocks in a group's heap of names: if the list
leads back into itself, the library takes memory until none is left. So such lists are
followed here first.

Format: "HDF5 File Format Specification Version 3.0", III.D (local heaps) and II.A (the
superblock).
"""

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

import h5py

from zoo.files.binary import opened

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP = re.compile(rb"HEAP\0\0\0\0")  # of version 0, with three reserved bytes
_END = 1  # marks the last free block: offsets are multiples of 8
_CHUNK = 1 << 24  # bytes read at a time


def open_hdf5(file: Path) -> h5py.File:
    """Opens a file to be read.

    Raises:
        ValueError: its superblock is not as h5py writes it, or the free blocks of a
            heap form a loop.
        OSError: the library can't open it.
    """
    source = opened(file)
    if not _is_plain(source.read(32)):
        raise ValueError(
            "it must begin with an HDF5 superblock that starts at byte 0 and has "
            "offsets and lengths of 8 bytes, as h5py writes it."
        )
    size = source.seek(0, os.SEEK_END)
    for place in _heaps(source, size):
        source.seek(place + 8)
        _check_heap(source, source.read(24), place, size)
    source.seek(0)
    return h5py.File(source, "r")


def _is_plain(head: bytes) -> bool:
    """Whether addresses count from byte 0 and take 8 bytes, as is assumed below."""
    if len(head) < 32 or head[:8] != _SIGNATURE or head[8] > 3:
        return False
    sizes, base = (13, 24) if head[8] < 2 else (9, 12)
    return head[sizes : sizes + 2] == b"\x08\x08" and not any(head[base : base + 8])


def _heaps(source: BinaryIO, size: int) -> list[int]:
    """Where heaps begin; arrays may contain bytes that look like one."""
    found: set[int] = set()
    overlap = len(b"HEAP") + 3
    for start in range(0, size, _CHUNK):
        source.seek(start)
        data = source.read(_CHUNK + overlap)
        found.update(start + match.start() for match in _HEAP.finditer(data))
    return sorted(found)


def _check_heap(source: BinaryIO, header: bytes, place: int, size: int) -> None:
    """Follows a heap's free blocks as the library will; stops where it will."""
    if len(header) < 24:
        return
    length, free, segment = struct.unpack("<QQQ", header)
    seen = set()
    while free != _END and free + 16 <= length and segment + free + 16 <= size:
        if free in seen:
            raise ValueError(
                f"the free blocks of the heap at byte {place:,} must form a list, got "
                f"a loop at offset {free}."
            )
        seen.add(free)
        source.seek(segment + free)
        (free,) = struct.unpack("<Q", source.read(8))
