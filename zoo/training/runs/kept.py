"""The last checkpoints of a run and its best one, in its folder.

`checkpoint.safetensors` is the newest, `checkpoint-0000400.safetensors` an older one
(of update 400), and `best.safetensors` the one of the best evaluation. Wherever a
process is killed, all of them are whole.
"""

import contextlib
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

from zoo.engine.current import engine
from zoo.files.atomic import replacing
from zoo.training.runs.checkpoint import HostState, read_extra

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
OLDER = re.compile(r"^checkpoint-(\d+)\.safetensors$")


class KeptCheckpoints:
    """Writes checkpoints into a folder and deletes those beyond the last few.

    Args:
        folder: the run's folder.
        count: how many to keep, besides the best.

    Attributes:
        update: the update of `checkpoint.safetensors`; None if that file is not of
            this run, or is damaged.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self.update: int | None = None
        self._older: list[int] = []
        self._new = True

    def resumed(self, path: Path, update: int) -> None:
        """Says which of the checkpoints the run continues from."""
        self._new = False
        self.update = update if path.name == CHECKPOINT else None
        self._older = [n for n in older_updates(self.folder) if n <= update]

    def write(self, state: HostState, update: int, *, best: bool) -> None:
        """Writes the newest checkpoint; the one before becomes an older one.

        Args:
            state: what to write.
            update: the number of the update that it was taken after.
            best: whether to keep it as the best one too.
        """
        if not engine().is_main:
            return
        newest, before = self.folder / CHECKPOINT, self.update

        def set_aside() -> None:
            if self.count > 1 and before is not None and before < update:
                _also_as(newest, self.folder / older_name(before))
                self._older.append(before)

        state.write(newest, set_aside)
        self.update = update
        if best:
            _also_as(newest, self.folder / BEST)
        elif self._new:  # of another run
            (self.folder / BEST).unlink(missing_ok=True)
        self._new = False
        own = sorted({n for n in self._older if n < update}, reverse=True)
        self._older = own[: self.count - 1]
        for number in {*older_updates(self.folder)} - {*self._older}:
            (self.folder / older_name(number)).unlink(missing_ok=True)


def newest_whole(folder: Path) -> tuple[Path, dict[str, Any], list[str]] | None:
    """The newest whole checkpoint in a folder and its plain values.

    Returns:
        The file, what is stored with it, and what is wrong with newer ones; None if
        there is no checkpoint.

    Raises:
        ValueError: there are checkpoints, but none is whole.
    """
    older = sorted(older_updates(folder), reverse=True)
    files = [folder / CHECKPOINT, *(folder / older_name(number) for number in older)]
    damaged: list[ValueError] = []
    for file in files:
        if not file.exists():
            continue
        try:
            return file, read_extra(file), [str(error) for error in damaged]
        except ValueError as error:
            damaged.append(error)
    if damaged:
        raise damaged[0]
    return None


def older_updates(folder: Path) -> list[int]:
    """The updates of the older checkpoints in a folder."""
    found = (OLDER.match(file.name) for file in folder.glob("checkpoint-*.safetensors"))
    return [int(match[1]) for match in found if match]


def older_name(update: int) -> str:
    """The name of an older checkpoint."""
    return f"checkpoint-{update:07d}.safetensors"


def delete_all(folder: Path) -> None:
    """Deletes all checkpoints in a folder."""
    names = [CHECKPOINT, BEST, *map(older_name, older_updates(folder))]
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _also_as(file: Path, other: Path) -> None:
    """Gives a file a second name, at which it replaces what is there, atomically."""
    temporary = other.with_name(f".{other.name}.{secrets.token_hex(8)}.tmp")
    try:
        os.link(file, temporary)
    except OSError:  # not all file systems have links
        with open(file, "rb") as source, replacing(other) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        return
    try:
        os.replace(temporary, other)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
