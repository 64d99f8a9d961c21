"""Picture files of a folder or of a .zip archive, which are found alike."""

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
# Pictures too, but of kinds that are not read.
OTHERS = (".avif", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".pgm", ".ppm", ".tga")

# Folders of these names are parts of a dataset, even if there is one alone.
HELD_OUT = ("test", "val", "valid", "validation")
UNPAIRED = ("trainA", "trainB", "testA", "testB")
PARTS = {"train", *HELD_OUT, *UNPAIRED}

# Pictures by their places in the folder or archive, in this order.
Found = dict[PurePosixPath, Picture]


@contextlib.contextmanager
def picture_files(place: Path) -> Iterator[Found]:
    """The pictures in a folder or archive, by their places in it, in order.

    Hidden files and folders and __MACOSX are left out, and so is a folder around all
    others. A backslash in a name stands for a slash: archives are made on Windows too.
    Symbolic links are followed. Pictures of kinds that are not read are warned of.

    Yields:
        The pictures; those of an archive can be decoded until the context ends.

    Raises:
        FileNotFoundError: There is no such place, or no picture in it, or a link leads
            nowhere.
        ValueError: The archive is none, or encrypted, or grows beyond its limit.
    """
    if not place.exists():
        raise FileNotFoundError(
            f"there is no folder or archive {place}; pass one of pictures as data_dir"
        )
    with contextlib.ExitStack() as stack:
        every = _in_folder(place) if place.is_dir() else _in_archive(place, stack)
        found = {path: every[path] for path in sorted(every) if _is(path, SUFFIXES)}
        others = [every[path].name for path in sorted(every) if _is(path, OTHERS)]
        expected = f"expected files that end in one of {' '.join(SUFFIXES)}"
        if not found:
            raise FileNotFoundError(
                f"{place} holds no picture{f', but {others[0]}' if others else ''}; "
                f"{expected}"
            )
        if others:
            warnings.warn(
                f"{len(others)} files such as {others[0]} are left out; {expected}",
                stacklevel=4,
            )
        yield _without_outer_folders(found)


def by_folder(found: Found) -> dict[str, Found]:
    """Maps each outermost folder to what it holds, or "" to all if there are none.

    Raises:
        ValueError: Pictures lie beside the folders.
    """
    folders: dict[str, Found] = {}
    for path, picture in found.items():
        name = path.parts[0] if len(path.parts) > 1 else ""
        folders.setdefault(name, {})[path.relative_to(name)] = picture
    if "" in folders and len(folders) > 1:
        loose = next(iter(folders[""].values()))
        raise ValueError(
            f"{loose.name} lies beside the folders {sorted(folders)[1:]}; move it into "
            "one of them"
        )
    return folders


def by_part(found: Found, place: Path) -> list[tuple[str, Found]]:
    """The pictures to train on, then those to test on, with the names of their folders.

    All together, with no name, if the folders are no such parts.

    Raises:
        ValueError: There is nothing to train on.
    """
    folders = {path.parts[0] for path in found if len(path.parts) > 1}
    held_out = [name for name in HELD_OUT if name in folders]
    if folders and folders == set(held_out):
        raise ValueError(
            f"{place} has pictures in {', '.join(held_out)} and none in train"
        )
    # A class may be called "train", or "val" beside others.
    if "train" not in folders or not (
        "test" in folders or folders <= {"train", *HELD_OUT}
    ):
        return [("", found)]
    names = ["train", *held_out[:1]]
    if others := sorted({path.parts[0] for path in found} - set(names)):
        warnings.warn(
            f"{place} is read as {' and '.join(names)}; left out is what lies beside: "
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
    """Seen from within the folders that hold one folder of folders and no more."""
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
    # With the real places of the folders above, to see a link that leads back to one.
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
                    f"{path} is a symbolic link to {os.readlink(path)}, which is not "
                    "there; mend it or take it away"
                )
            elif not any(map(_is_hidden, place.parts)):
                found[place] = Picture(path, str(path), 0)
    return found


# === Archives ===


def _in_archive(archive: Path, stack: contextlib.ExitStack) -> Found:
    if not archive.is_file():
        raise ValueError(f"{archive} is no plain file; expected a folder or a .zip")
    file = stack.enter_context(open(archive, "rb"))
    if not zipfile.is_zipfile(file):
        raise ValueError(
            f"{archive} is not a .zip archive; expected one or a folder of pictures"
        )
    with reading(archive, "a .zip archive", "Make it anew, or unpack it."):
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
                f"{name} is a symbolic link; pack the files themselves, or unpack it "
                "and pass the folder"
            )
        if member.filename.endswith(("/", "\\")) or not _is(place, SUFFIXES + OTHERS):
            continue
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"{name} is a place outside of the archive; pack it anew")
        if member.flag_bits & 1:
            raise ValueError(f"{name} is encrypted; unpack it and pass the folder")
        claimed += member.file_size
        read = partial(_read, opened, member, name)
        found[place] = Picture(read, name, 0, min(member.compress_size, size))
    if claimed > (limit := grown_limit(size)):
        raise ValueError(
            f"the pictures in {archive} take {claimed:,} bytes unpacked; at most "
            f"{limit:,} are read of an archive of its size (the limits are in "
            "zoo/files/limits.py). Unpack it and pass the folder."
        )
    return found


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    with reading(name, "a file that the archive holds whole", "Make it anew."):
        return opened.read(member)
