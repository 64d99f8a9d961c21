"""Datasets of labelled texts: their examples, and how the three parts are made."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from zoo.files.text_files import BadLines

T = TypeVar("T")

# The parts of a dataset, and the names that others give them.
PARTS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True)
class LabelledText:
    """A text, or a pair of texts, and its label.

    Attributes:
        text: the text, or the first of two.
        label: the number of its class, or its value; None if unknown.
        pair: the second text, or None.
    """

    text: str
    label: int | float | None
    pair: str | None = None


@dataclass(frozen=True)
class TaggedWords:
    """A sentence, and the number of each word's tag."""

    words: tuple[str, ...]
    tags: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """A question about a text, which may hold the answer.

    Attributes:
        name: its id in the dataset.
        question: the question.
        context: the text.
        answers: the accepted answers, possibly with repetitions; empty if the text does
            not answer the question.
        starts: the character of the text at which each answer begins.
    """

    name: str
    question: str
    context: str = field(repr=False)
    answers: tuple[str, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True)
class TaskDataset:
    """Examples of a task in three parts; `==` compares checksums, not examples.

    Attributes:
        name: the name passed to `load`.
        train: the examples to train on: `LabelledText`, `TaggedWords` or `Question`.
        validation: the examples to select models by.
        test: the examples to report on; may be empty, or have no labels, as in GLUE.
        class_names: the names of the classes or tags, indexed by label; empty for
            questions and values.
        sha256: the hash of the files read, training first. Report it with every figure.
        origin: where the examples came from.
        licence: their licence, as far as it is known.
        left_out: the number of bad lines or questions that were skipped
            (`on_bad="skip"`).
    """

    name: str
    train: tuple = field(repr=False, compare=False)
    validation: tuple = field(repr=False, compare=False)
    test: tuple = field(repr=False, compare=False)
    class_names: tuple[str, ...]
    sha256: str
    origin: str
    licence: str
    left_out: int = 0

    @property
    def tested(self) -> str:
        """The part to report on: "test" if it has labels, else "validation"."""
        known = self.test and getattr(self.test[0], "label", 0) is not None
        return "test" if known else "validation"

    def first(self, count: int) -> "TaskDataset":
        """The same dataset with only the first `count` examples of each part."""
        parts = ("train", "validation", "test")
        return replace(self, **{part: getattr(self, part)[:count] for part in parts})

    @classmethod
    def of(
        cls,
        name: str,
        parts: Mapping[str, Sequence],
        files: Sequence[Path],
        bad: BadLines,
        class_names: tuple[str, ...] = (),
        licence: str = "unknown",
    ) -> "TaskDataset":
        """Makes a dataset of examples and the files they were read from.

        Warns of the bad lines that were left out.

        Args:
            name: the name of the dataset.
            parts: the examples of `train` and optionally `validation` and `test`.
                Without `validation`, a tenth of `train` is used.
            files: the files that were read, training first.
            bad: the bad lines that were met.
            class_names: the names of the classes or tags.
            licence: the licence.

        Raises:
            ValueError: a part is empty.
        """
        return cls.of_parts(
            name,
            parts,
            bad,
            origin=str(files[0].parent),
            sha256=_sha256(files),
            class_names=class_names,
            licence=licence,
        )

    @classmethod
    def of_parts(
        cls,
        name: str,
        parts: Mapping[str, Sequence],
        bad: BadLines,
        *,
        origin: str,
        sha256: str,
        class_names: tuple[str, ...] = (),
        licence: str = "unknown",
    ) -> "TaskDataset":
        """Makes a dataset of examples from any source; see `of`."""
        if empty := [part for part, examples in parts.items() if not examples]:
            raise ValueError(
                f"{name!r} ({origin}) must have examples in each file, got "
                f"none in the part {empty[0]!r}. {bad.first}".rstrip(". ")
            )
        train, validation = parts["train"], parts.get("validation")
        if validation is None:
            train, validation = held_out(train, 0.1)
        if not train or not validation:
            raise ValueError(
                f"{name!r} ({origin}) must have examples to train on and for "
                f"validation, got {len(train)} and {len(validation)}."
            )
        bad.warn(name)
        return cls(
            name,
            tuple(train),
            tuple(validation),
            tuple(parts.get("test", ())),
            class_names,
            sha256,
            origin,
            licence,
            bad.count,
        )


def parts_in(
    name: str, data_dir: Path | None, suffixes: Sequence[str], test: str = "test"
) -> dict[str, Path]:
    """Finds the files of a dataset's parts in a folder, or in its subfolder `name`.

    Args:
        name: the name of the dataset.
        data_dir: the folder.
        suffixes: the possible suffixes of the files, such as ".tsv".
        test: the stem of the test file.

    Returns:
        The files of `train` and, if present, `validation` (the file may also be named
        `valid`, `val` or `dev`) and `test`.

    Raises:
        FileNotFoundError: there is no file to train on.
    """
    folder = folder_of(name, data_dir)
    stems = {**PARTS, "test": (test,)}
    found = {}
    for part, names in stems.items():
        files = (folder / f"{stem}{suffix}" for stem in names for suffix in suffixes)
        if file := next((file for file in files if file.is_file()), None):
            found[part] = file
    if "train" not in found:
        expected = " or ".join(f"train{suffix}" for suffix in suffixes)
        raise FileNotFoundError(
            f"The folder {folder} holds no {expected}. Pass one that does as data_dir."
        )
    return found


def folder_of(name: str, data_dir: Path | None) -> Path:
    """Returns `data_dir/name` if that is a folder, else `data_dir`.

    Raises:
        ValueError: `data_dir` is None.
    """
    if data_dir is None:
        raise ValueError(f"{name!r} reads your own files. Pass data_dir=FOLDER.")
    folder = data_dir / name
    return folder if folder.is_dir() else data_dir


def held_out(
    examples: Sequence[T], share: float
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Splits off a fixed random share of examples; returns (the rest, the share)."""
    order = np.random.default_rng(0).permutation(len(examples))
    out = set(order[: round(share * len(examples))].tolist())
    return (
        tuple(x for i, x in enumerate(examples) if i not in out),
        tuple(x for i, x in enumerate(examples) if i in out),
    )


def _sha256(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
