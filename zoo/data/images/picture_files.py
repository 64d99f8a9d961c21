"""Finds picture files, by the same rules in a folder and in a .zip archive."""

import contextlib
import itertools
import os
import stat
import warnings
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from zoo.data.images.pictures import Picture
from zoo.files.damaged import printable, reading
from zoo.files.limits import grown_limit

SUFFIXES = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".png", ".tif", ".tiff", ".webp"),
)
# Pictures too, but of formats that are not read.
OTHERS = (".avif", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".pgm", ".ppm", ".tga")

# Folders of these names are parts of a dataset, even if there is only one.
HELD_OUT = ("test", "val", "valid", "validation")
UNPAIRED = ("trainA", "trainB", "testA", "testB")
PARTS = {"train", *HELD_OUT, *UNPAIRED}

# Pictures by their paths in the folder or archive, in the order of the paths.
Found = dict[PurePosixPath, Picture]


@contextlib.contextmanager
def picture_files(place: Path) -> Iterator[Found]:
    """Finds the pictures in a folder or archive, in the order of their paths.

    Hidden files and folders and __MACOSX are left out, and an outer folder around all
    others is removed from the paths. A backslash in a name counts as a slash, since
    archives are made on Windows too. Symbolic links are followed. Formats that can't be
    read cause a warning.

    Yields:
        The pictures; those of an archive can be decoded until the context ends.

    Raises:
        FileNotFoundError: there is no such folder or archive, it holds no picture, or a
            link is broken.
        ValueError: the file is not a .zip archive, is encrypted, or unpacks to more
            than its limit.
    """
    if not place.exists():
        raise FileNotFoundError(
            f"There is no folder or archive {place}. Pass one that holds pictures as "
            "data_dir."
        )
    with contextlib.ExitStack() as stack:
        every = _in_folder(place) if place.is_dir() else _in_archive(place, stack)
        found = {path: every[path] for path in sorted(every) if _is(path, SUFFIXES)}
        others = [every[path].name for path in sorted(every) if _is(path, OTHERS)]
        expected = f"Pictures must end in one of {' '.join(SUFFIXES)}"
        if not found:
            raise FileNotFoundError(
                f"{place} holds no picture{f', but {others[0]}' if others else ''}. "
                f"{expected}"
            )
        if others:
            warnings.warn(
                f"{len(others)} files such as {others[0]} are left out. {expected}",
                stacklevel=4,
            )
        yield _without_outer_folders(found)


def by_folder(found: Found) -> dict[str, Found]:
    """Groups pictures by outermost folder; without folders, all have the key "".

    Raises:
        ValueError: pictures lie beside the folders.
    """
    folders: dict[str, Found] = {}
    for path, picture in found.items():
        name = path.parts[0] if len(path.parts) > 1 else ""
        folders.setdefault(name, {})[path.relative_to(name)] = picture
    if "" in folders and len(folders) > 1:
        loose = next(iter(folders[""].values()))
        raise ValueError(
            f"{loose.name} lies beside the folders {sorted(folders)[1:]}. Move it into "
            "one of them."
        )
    return folders


def by_part(found: Found, place: Path) -> list[tuple[str, Found]]:
    """Splits pictures into training and test by the names of their folders.

    Returns:
        (folder, pictures) of training, then of test; or all pictures under the name ""
        if the folders are not parts of a dataset.

    Raises:
        ValueError: there is nothing to train on.
    """
    folders = {path.parts[0] for path in found if len(path.parts) > 1}
    held_out = [name for name in HELD_OUT if name in folders]
    if folders and folders == set(held_out):
        raise ValueError(
            f"{place} must have pictures in train, got some only in "
            f"{', '.join(held_out)}."
        )
    # A class may be called "train", or "val" beside others.
    if "train" not in folders or not (
        "test" in folders or folders <= {"train", *HELD_OUT}
    ):
        return [("", found)]
    names = ["train", *held_out[:1]]
    if others := sorted({path.parts[0] for path in found} - set(names)):
        warnings.warn(
            f"{place} is read as {' and '.join(names)}; the rest is left out: "
            f"{', '.join(others)}",
            stacklevel=3,
        )
    return [
        (
            name,
            {
                path.relative_to(name): picture
                for path, picture in found.items()
                if path.parts[0] == name and len(path.parts) > 1
            },
        )
        for name in names
    ]


def _without_outer_folders(found: Found) -> Found:
    """Removes outer folders that hold nothing but one folder of folders."""
    every = [path.parts for path in found]
    common = os.path.commonprefix(every)[: min(map(len, every)) - 2]
    outer = len(list(itertools.takewhile(lambda name: name not in PARTS, common)))
    return {PurePosixPath(*path.parts[outer:]): found[path] for path in found}


def _place(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX")) and name != ".."


def _is(path: PurePosixPath, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes


# === Folders ===


def _in_folder(folder: Path) -> Found:
    found: Found = {}
    # Each with the real paths of its parents, to notice links that lead back to one.
    waiting = [(folder, frozenset([os.path.realpath(folder)]))]
    while waiting:
        here, above = waiting.pop()
        with os.scandir(here) as entries:
            shown = [entry for entry in entries if not _is_hidden(entry.name)]
        for entry in shown:
            path = here / entry.name
            place = _place(str(path.relative_to(folder)))
            if entry.is_dir():
                real = os.path.realpath(path)
                if real not in above:
                    waiting.append((path, above | {real}))
            elif entry.is_symlink() and not path.exists():
                raise FileNotFoundError(
                    f"{path} is a symbolic link to {os.readlink(path)}, which does not "
                    "exist. Repair or remove the link."
                )
            elif not any(map(_is_hidden, place.parts)):
                found[place] = Picture(path, str(path), 0)
    return found


# === Archives ===


def _in_archive(archive: Path, stack: contextlib.ExitStack) -> Found:
    if not archive.is_file():
        raise ValueError(
            f"{archive} must be a folder or a .zip archive, got no regular file."
        )
    file = stack.enter_context(open(archive, "rb"))
    if not zipfile.is_zipfile(file):
        raise ValueError(
            f"{archive} must be a folder or a .zip archive of pictures, got another "
            "file."
        )
    with reading(archive, "a .zip archive", "Make it again, or unpack it."):
        opened = stack.enter_context(zipfile.ZipFile(file))
    found: Found = {}
    claimed, size = 0, archive.stat().st_size
    for member in opened.infolist():
        place = _place(member.filename)
        if any(map(_is_hidden, place.parts)):
            continue
        name = f"{archive}:{printable(member.filename)}"
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(
                f"{name} is a symbolic link. Pack the files themselves, or unpack it "
                "and pass the folder."
            )
        if member.filename.endswith(("/", "\\")) or not _is(place, SUFFIXES + OTHERS):
            continue
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(
                f"{name} is a path outside of the archive. Make the archive again."
            )
        if member.flag_bits & 1:
            raise ValueError(f"{name} is encrypted. Unpack it and pass the folder.")
        claimed += member.file_size
        read = partial(_read, opened, member, name)
        found[place] = Picture(read, name, 0, min(member.compress_size, size))
    if claimed > (limit := grown_limit(size)):
        raise ValueError(
            f"The pictures in {archive} must unpack to at most {limit:,} bytes, the "
            f"limit for its size (see zoo/files/limits.py), got {claimed:,}. Unpack it "
            "and pass the folder."
        )
    return found


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    with reading(name, "a complete file in the archive", "Make it again."):
        return opened.read(member)
