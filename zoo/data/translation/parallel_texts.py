"""Texts in two languages, line by line, as in Multi30k."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.tasks.labelled import held_out, parts_in
from zoo.files.surrogates import refuse_halves
from zoo.files.text_files import BadLines, OnBad, read_lines

Pair = tuple[str, str]


@dataclass(frozen=True)
class ParallelText:
    """Sentences and their translations in three parts.

    `==` compares checksums, not sentences.

    Attributes:
        name: the name passed to `load`.
        languages: the languages of the sources and of the targets.
        train: the pairs (source, target) to train on.
        validation: the pairs to select models by.
        test: the pairs to report on; may be empty.
        sha256: the hash of all sentences, starting with the sources of training. Report
            it with every figure.
        origin: where the sentences came from.
        licence: their licence, as far as it is known.
        left_out: the number of bad lines that were skipped (`on_bad="skip"`).
    """

    name: str
    languages: Pair
    train: tuple[Pair, ...] = field(repr=False, compare=False)
    validation: tuple[Pair, ...] = field(repr=False, compare=False)
    test: tuple[Pair, ...] = field(repr=False, compare=False)
    sha256: str
    origin: str
    licence: str
    left_out: int = 0

    @classmethod
    def of(
        cls,
        name: str,
        languages: Pair,
        parts: Mapping[str, tuple[Pair, ...]],
        origin: str,
        licence: str,
        left_out: int = 0,
    ) -> "ParallelText":
        """Makes a dataset of the pairs of `train`, `validation` and optionally `test`.

        Raises:
            ValueError: there are no pairs for training, or none for validation.
        """
        train, validation = parts["train"], parts["validation"]
        if not train or not validation:
            raise ValueError(
                f"{name!r} ({origin}) must have pairs to train on and for validation, "
                f"got {len(train)} and {len(validation)}."
            )
        three = (train, validation, parts.get("test", ()))
        digest = hashlib.sha256()
        for part in three:
            for side in zip(*part, strict=True):
                text = "\n".join(side)
                refuse_halves(text, f"the text of {name!r}")
                digest.update(text.encode("utf-8"))
        sha256 = digest.hexdigest()
        return cls(name, languages, *three, sha256, origin, licence, left_out)


def load_multi30k(
    data_dir: Path | None = None,
    *,
    source: str = "en",
    target: str = "de",
    test: str = "test_2016_flickr",
    on_bad: OnBad = "error",
) -> ParallelText:
    """Loads Multi30k, captions of pictures in several languages (Elliott et al. 2016).

    It reads the files of its repository in `data_dir` or `data_dir/multi30k`, such as
    `train.en`, `val.en` and `test_2016_flickr.en`, gzipped (`.gz`) or not.
    """
    return _loaded("multi30k", data_dir, source, target, test, on_bad)


def load_parallel(
    data_dir: Path | None = None,
    *,
    source: str,
    target: str,
    test: str = "test",
    on_bad: OnBad = "error",
) -> ParallelText:
    """Loads your own `train.SOURCE` and `train.TARGET`, line by line translations.

    Files of `validation` (or `valid`, `val`, `dev`) and `test` are read too if present.
    Names may end in `.gz`. Without a validation part, a tenth of the training part is
    used.

    Args:
        data_dir: the folder.
        source: the suffix of the source files, such as "en".
        target: the suffix of the target files, such as "de".
        test: the stem of the test files.
        on_bad: what to do with lines that are empty or not text: "error" raises at the
            first, "skip" leaves them out with their translations.
    """
    return _loaded("parallel", data_dir, source, target, test, on_bad)


def _loaded(
    name: str,
    data_dir: Path | None,
    source: str,
    target: str,
    test: str,
    on_bad: OnBad,
) -> ParallelText:
    sides = {
        language: parts_in(name, data_dir, [f".{language}", f".{language}.gz"], test)
        for language in (source, target)
    }
    bad = BadLines(on_bad)
    parts: dict[str, tuple[Pair, ...]] = {}
    for part, file in sides[source].items():
        if part not in sides[target]:
            raise FileNotFoundError(
                f"The folder {file.parent} holds {file.name}, but no file of that "
                f"part in {target!r}. Add it, or remove {file.name}."
            )
        files = (file, sides[target][part])
        first, second = (_sentences(file, bad) for file in files)
        if len(first) != len(second):
            raise ValueError(
                f"{files[0]} and {files[1].name} must have the same number of lines, "
                f"got {len(first)} and {len(second)}."
            )
        pairs = zip(first, second, strict=True)
        parts[part] = tuple((x, y) for x, y in pairs if x and y)
        if not parts[part]:
            raise ValueError(
                f"{files[0]} and {files[1].name} must have a pair of sentences, got "
                "none."
            )
    if "validation" not in parts:
        parts["train"], parts["validation"] = held_out(parts["train"], 0.1)
    bad.warn(name)
    origin = str(sides[source]["train"].parent)
    return ParallelText.of(
        name, (source, target), parts, origin, "unknown", left_out=bad.count
    )


def _sentences(file: Path, bad: BadLines) -> list[str]:
    """Reads the lines of a file, "" for bad ones."""
    lines = [None if line is None else line.strip() for line in read_lines(file, bad)]
    for number, line in enumerate(lines, 1):
        if line == "":
            bad.found(
                f"each line of {file} must have a sentence, got none in line {number}"
            )
    return [line or "" for line in lines]
