"""`manifest.toml`: what a checkpoint is, and the hashes of its files.

Read without importing a backend, so that `zoo list` answers at once.
"""

import contextlib
import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

PACKAGE = Path(__file__).parents[1]
# Beside the installed package's modules, or in a checkout.
PRETRAINED = (PACKAGE / "pretrained", PACKAGE.parent / "pretrained")
MANIFEST = "manifest.toml"
# How names of files end that may be read.
READ = (".json", ".safetensors", ".txt", ".bin", ".h5", ".index")


@dataclass(frozen=True)
class Checked:
    """A file of the checkpoint.

    Attributes:
        name: in its folder.
        bytes: its size.
        sha256: of its bytes, in hexadecimal digits.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Evaluation:
    """A measurement that can be repeated.

    Attributes:
        command: that measures.
        figures: what it found, by their names in `summary.json`.
        tolerances: how far another machine or backend may be from each.
    """

    command: str
    figures: dict[str, float]
    tolerances: dict[str, float]


@dataclass(frozen=True)
class Manifest:
    """A checkpoint, without its weights.

    Attributes:
        folder: that it was read from.
        architecture: the model class.
        summary: what it is, in one line.
        parameters: how many.
        source: the command that made it, with backend and seed.
        license: of the weights, and of the data behind them.
        preprocessing: what data must look like.
        zoo_version: that it was made with.
        files: all that it needs.
        evaluation: how good it is.
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
        """Of a checkpoint's folder.

        Raises:
            FileNotFoundError: it has none.
            ValueError: it is damaged.
        """
        # Here, since `zoo.data` imports this module, and is large.
        from zoo.configs.checks import check_fields
        from zoo.files.damaged import reading
        from zoo.files.limits import MAX_CONFIG_BYTES, read_bytes

        file = folder / MANIFEST
        data = read_bytes(file, MAX_CONFIG_BYTES)
        with reading(file, "what a checkpoint is and the hashes of its files"):
            said: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
            said["files"] = tuple(Checked(**each) for each in said["files"])
            for each in said["files"]:
                check_fields(each, most=sys.maxsize)
                _check_inside(folder, each.name)
            if "evaluation" in said:
                said["evaluation"] = Evaluation(**said["evaluation"])
                check_fields(said["evaluation"])
            manifest = cls(folder, **said)
            check_fields(manifest, most=sys.maxsize)
            return manifest

    @contextlib.contextmanager
    def checking(self) -> Iterator[None]:
        """Within, files of the folder are checked as they are read.

        Raises:
            FileNotFoundError: one that is listed is not there.
            ValueError: one is not what the manifest says, or is read and not listed.
        """
        from zoo.files import checked_reads

        for file in self.files:
            self._check_size(file)
        with checked_reads.checking(self._check):
            yield

    def verify(self) -> None:
        """Raises unless all files are there, and byte for byte what they were."""
        for file in self.files:
            self._check_size(file)
            self._compare(file, checked(self.folder / file.name, file.name))

    def _check_size(self, file: Checked) -> None:
        path = self.folder / file.name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing. Get the checkpoint anew.")
        if (size := path.stat().st_size) != file.bytes:
            raise ValueError(
                f"{path} is not the file that {MANIFEST} names: it has {size:,} bytes "
                f"of {file.bytes:,}. It is damaged or was changed; get the checkpoint "
                "anew."
            )

    def _check(self, path: Path, data: bytes) -> None:
        """Raises for a file of the folder that is not what is listed, or not listed."""
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
                f"{self.folder / file.name} is not the file that {MANIFEST} names: its "
                f"sha256 is {found.sha256[:12]}... and not {file.sha256[:12]}... It is "
                "damaged or was changed; get the checkpoint anew."
            )


@contextlib.contextmanager
def checking(folder: Path) -> Iterator[None]:
    """Within, what is read of a folder is checked by its manifest, if it has one."""
    if not (folder / MANIFEST).is_file():
        yield
        return
    with Manifest.read(folder).checking():
        yield


def _check_inside(folder: Path, name: str) -> None:
    """Raises for a file outside of its folder, whose hash is nobody's business."""
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{folder / MANIFEST} names {name!r}, outside of its folder.")


def checked(path: Path, name: str) -> Checked:
    """A file's size and hash."""
    with path.open("rb") as file:
        return Checked(
            name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
        )


def checkpoints() -> dict[str, Path]:
    """The folders of the checkpoints at hand, by name."""
    files = (file for root in PRETRAINED for file in root.glob("*.*/config.json"))
    return {file.parent.name: file.parent for file in sorted(files)}


def with_hashes(text: str, folder: Path) -> str:
    """A manifest's text with the files that the folder holds now at its end."""
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
    # python -m zoo.store.manifest pretrained/NAME ...: sizes and hashes anew.
    for name in sys.argv[1:]:
        manifest = Path(name) / MANIFEST
        new = with_hashes(manifest.read_text("utf-8"), Path(name))
        manifest.write_text(new, "utf-8")
        Manifest.read(Path(name)).verify()
