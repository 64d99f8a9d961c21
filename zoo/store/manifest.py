"""`manifest.toml`: what a checkpoint is, and the hashes of its files.

It is read without importing a backend, so that `zoo list` is fast.
"""

import contextlib
import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from zoo.configs.checks import check_fields
from zoo.files import checked_reads
from zoo.files.damaged import reading
from zoo.files.limits import MAX_CONFIG_BYTES, read_bytes

PACKAGE = Path(__file__).parents[1]
# In the installed package, or in a checkout.
PRETRAINED = (PACKAGE / "pretrained", PACKAGE.parent / "pretrained")
MANIFEST = "manifest.toml"
# Suffixes of the files that may be read.
READ = (".json", ".safetensors", ".txt", ".bin", ".h5", ".index")


@dataclass(frozen=True)
class Checked:
    """A file of the checkpoint.

    Attributes:
        name: path within the checkpoint's folder.
        bytes: size in bytes.
        sha256: hash of its content, in hexadecimal digits.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Evaluation:
    """A reproducible measurement.

    Attributes:
        command: the command that measures.
        figures: its results, by their names in `summary.json`.
        tolerances: how far each may differ on another machine or backend.
    """

    command: str
    figures: dict[str, float]
    tolerances: dict[str, float]


@dataclass(frozen=True)
class Manifest:
    """A checkpoint, without its weights.

    Attributes:
        folder: where the manifest was read.
        architecture: the model's class.
        summary: what the checkpoint is, in one line.
        parameters: how many parameters the model has.
        source: the command that made it, with backend and seed.
        license: of the weights and of the data that they were trained on.
        preprocessing: the form that data must have.
        zoo_version: the version of zoo that made it.
        files: all files that the checkpoint needs.
        evaluation: how good the checkpoint is, if it was measured.
    """

    folder: Path
    architecture: str
    summary: str
    parameters: int
    source: str
    license: str
    preprocessing: str
    zoo_version: str
    files: tuple[Checked, ...]
    evaluation: Evaluation | None = field(default=None)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Reads the manifest of a checkpoint's folder.

        Raises:
            FileNotFoundError: the folder has none.
            ValueError: the manifest is damaged.
        """
        file = folder / MANIFEST
        data = read_bytes(file, MAX_CONFIG_BYTES)
        with reading(file, "what a checkpoint is and the hashes of its files"):
            said: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
            said["files"] = tuple(Checked(**each) for each in said["files"])
            for each in said["files"]:
                check_fields(each, most=sys.maxsize)
                _check_inside(folder, each.name)
                _check_hash(each)
            if "evaluation" in said:
                said["evaluation"] = Evaluation(**said["evaluation"])
                check_fields(said["evaluation"])
            manifest = cls(folder, **said)
            check_fields(manifest, most=sys.maxsize)
            return manifest

    @contextlib.contextmanager
    def checking(self) -> Iterator[None]:
        """Within, the folder's files are checked as they are read.

        Raises:
            FileNotFoundError: a listed file is missing.
            ValueError: a file differs from its entry, or is read but not listed.
        """
        for file in self.files:
            self._check_size(file)
        with checked_reads.checking(self._check):
            yield

    def verify(self) -> None:
        """Checks that all files are present, and the same byte for byte.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file differs from its entry.
        """
        for file in self.files:
            self._check_size(file)
            self._compare(file, checked(self.folder / file.name, file.name))

    def _check_size(self, file: Checked) -> None:
        path = self.folder / file.name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing. Get the checkpoint again.")
        if (size := path.stat().st_size) != file.bytes:
            raise ValueError(
                f"{path} is not the file that {MANIFEST} lists: it must have "
                f"{file.bytes:,} bytes, got {size:,}. It is damaged or was changed; "
                "get the checkpoint again."
            )

    def _check(self, path: Path, data: bytes) -> None:
        """Raises ValueError if a file in the folder is not listed, or differs."""
        if not path.is_relative_to(self.folder) or path == self.folder / MANIFEST:
            return
        name = path.relative_to(self.folder).as_posix()
        listed = next((file for file in self.files if file.name == name), None)
        if listed is None:
            raise ValueError(
                f"{path} would be read, but {self.folder / MANIFEST} does not list it. "
                "Remove one of them, or list all files: python -m zoo.store.manifest "
                f"{self.folder}"
            )
        sha256 = hashlib.sha256(data).hexdigest()
        self._compare(listed, Checked(name, len(data), sha256))

    def _compare(self, file: Checked, found: Checked) -> None:
        if found != file:
            raise ValueError(
                f"{self.folder / file.name} is not the file that {MANIFEST} lists: its "
                f"sha256 must be {file.sha256[:12]}..., got {found.sha256[:12]}... It "
                "is damaged or was changed; get the checkpoint again."
            )


@contextlib.contextmanager
def checking(folder: Path) -> Iterator[None]:
    """Within, a folder's files are checked against its manifest, if it has one."""
    if not (folder / MANIFEST).is_file():
        yield
        return
    with Manifest.read(folder).checking():
        yield


def _check_inside(folder: Path, name: str) -> None:
    """Raises ValueError for a file outside of the folder, which must not be hashed.

    Also for a name that can't be printed, since errors print it.
    """
    if not name.isprintable():
        raise ValueError(
            f"{folder / MANIFEST} lists {name!a:.200}: names must be printable."
        )
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{folder / MANIFEST} lists {name!r}, outside of its folder.")


def _check_hash(file: Checked) -> None:
    """Raises a ValueError unless the hash is one."""
    if not re.fullmatch("[0-9a-f]{64}", file.sha256):
        raise ValueError(
            f"sha256 of {file.name!a} must be 64 hexadecimal digits, got "
            f"{file.sha256!a:.80}."
        )


def checked(path: Path, name: str) -> Checked:
    """A file's entry: its size and hash, under this name."""
    with path.open("rb") as file:
        return Checked(
            name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
        )


def checkpoints() -> dict[str, Path]:
    """The folders of the checkpoints that come with zoo, by name."""
    files = (file for root in PRETRAINED for file in root.glob("*.*/config.json"))
    return {file.parent.name: file.parent for file in sorted(files)}


def with_hashes(text: str, folder: Path) -> str:
    """A manifest's text, with the folder's present files listed at its end."""
    head = text.partition("[[files]]")[0].rstrip()
    parts = [head]
    for path in sorted(folder.rglob("*")):
        if path.suffix in READ:
            file = checked(path, path.relative_to(folder).as_posix())
            parts.append(
                f"[[files]]\nname = {json.dumps(file.name)}\nbytes = {file.bytes}\n"
                f"sha256 = {json.dumps(file.sha256)}"
            )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    # python -m zoo.store.manifest pretrained/NAME ... updates sizes and hashes.
    for name in sys.argv[1:]:
        manifest = Path(name) / MANIFEST
        new = with_hashes(manifest.read_text("utf-8"), Path(name))
        manifest.write_text(new, "utf-8")
        Manifest.read(Path(name)).verify()
