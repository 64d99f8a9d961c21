"""Datasets of labelled texts: what an example is, and how parts are made."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from zoo.files.text_files import BadLines

T = TypeVar("T")


@dataclass(frozen=True)
class LabelledText:
    """A text, or two, and its class.

    Attributes:
        text: The text, or the first of two.
        label: The number of its class, or its value; None if that is not known.
        pair: The second text, or None.
    """

    text: str
    label: int | float | None
    pair: str | None = None


@dataclass(frozen=True)
class TaggedWords:
    """A sentence and the number of each word's tag."""

    words: tuple[str, ...]
    tags: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """A question about a text that holds its answer, or none.

    Attributes:
        name: What the dataset calls it, its id.
        question: The question.
        context: The text.
        answers: Answers that are taken to be right, maybe the same one several times;
            empty if the text does not answer it.
        starts: The character of the text at which each begins.
    """

    name: str
    question: str
    context: str = field(repr=False)
    answers: tuple[str, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True)
class TaskDataset:
    """Examples of a task in three parts. `==` compares checksums in place of examples.

    Attributes:
        name: The name that `load` was given.
        train: `LabelledText`, `TaggedWords` or `Question` to train on.
        validation: Those to choose by.
        test: Those to report on; may be empty, or without labels, as GLUE's.
        class_names: What labels or tags count; empty for questions and values.
        sha256: Of the files read, training first: report it with every figure.
        origin: Where they came from.
        licence: What is known of their licence.
        left_out: How many bad lines or questions were left out (`on_bad="skip"`).
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
        """The part to report on: "validation" if there is no test part with labels."""
        known = self.test and getattr(self.test[0], "label", 0) is not None
        return "test" if known else "validation"

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
        """From the examples of `train`, maybe `validation` and `test`, and their files.

        A tenth of training is for validation if there is no other part of it. Says
        what was left out of the files.

        Raises:
            ValueError: A part is empty.
        """
        if empty := [part for part, examples in parts.items() if not examples]:
            raise ValueError(
                f"{name!r} ({files[0].parent}) has no examples in the part "
                f"{empty[0]!r}; expected some in each file. {bad.first}".rstrip(". ")
            )
        train, validation = parts["train"], parts.get("validation")
        if validation is None:
            train, validation = held_out(train, 0.1)
        if not train or not validation:
            raise ValueError(
                f"{name!r} ({files[0].parent}) has {len(train)} examples to train on "
                f"and {len(validation)} for validation; expected some of both"
            )
        bad.warn(name)
        return cls(
            name,
            tuple(train),
            tuple(validation),
            tuple(parts.get("test", ())),
            class_names,
            _sha256(files),
            str(files[0].parent),
            licence,
            bad.count,
        )


def parts_in(
    name: str, data_dir: Path | None, suffixes: Sequence[str], test: str = "test"
) -> dict[str, Path]:
    """Finds the files of a dataset's parts in a folder, or in its subfolder `name`.

    Args:
        name: Of the dataset.
        data_dir: The folder.
        suffixes: What their names may end in, as ".tsv".
        test: What the name of the test's file begins with.

    Returns:
        The files of `train` and, if they are there, `validation` (which may also be
        called `valid`, `val` or `dev`) and `test`.

    Raises:
        FileNotFoundError: There is no file to train on.
    """
    folder = folder_of(name, data_dir)
    stems = {
        "train": ("train",),
        "validation": ("validation", "valid", "val", "dev"),
        "test": (test,),
    }
    found = {}
    for part, names in stems.items():
        files = (folder / f"{stem}{suffix}" for stem in names for suffix in suffixes)
        if file := next((file for file in files if file.is_file()), None):
            found[part] = file
    if "train" not in found:
        expected = " or ".join(f"train{suffix}" for suffix in suffixes)
        raise FileNotFoundError(
            f"the folder {folder} holds no {expected}; pass one that does as data_dir"
        )
    return found


def folder_of(name: str, data_dir: Path | None) -> Path:
    """`data_dir/name` if there is one, else `data_dir`; ValueError if that is None."""
    if data_dir is None:
        raise ValueError(f"{name!r} reads your own files: pass data_dir=FOLDER")
    folder = data_dir / name
    return folder if folder.is_dir() else data_dir


def held_out(
    examples: Sequence[T], share: float
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Examples but a share of them, and that share, drawn always alike."""
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
