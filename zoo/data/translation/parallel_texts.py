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

    `==` compares checksums in place of sentences.

    Attributes:
        name: The name that `load` was given.
        languages: Of the sources and of the targets.
        train: Pairs (source, target) to train on.
        validation: Those to choose by.
        test: Those to report on; may be empty.
        sha256: Of all sentences, training's sources first: report it with every
            figure.
        origin: Where they came from.
        licence: What is known of their licence.
        left_out: How many bad lines were left out (`on_bad="skip"`).
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
        """From the pairs of `train`, `validation` and maybe `test`.

        Raises:
            ValueError: There is nothing to train on, or to choose by.
        """
        train, validation = parts["train"], parts["validation"]
        if not train or not validation:
            raise ValueError(
                f"{name!r} ({origin}) has {len(train)} pairs to train on and "
                f"{len(validation)} for validation; expected some of both"
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

    From the files of its repository in `data_dir` or `data_dir/multi30k`, such as
    `train.en`, `val.en` and `test_2016_flickr.en`, maybe with `.gz`.
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
    """Loads your own `train.SOURCE` and `train.TARGET`, of equally many lines.

    And, where they are there, `validation` (or `valid`, `val`, `dev`) and `test`. Names
    may end in `.gz`. A tenth of training is for validation if there is no such part.

    Args:
        data_dir: The folder.
        source: What the names of the sources' files end in, as "en".
        target: Likewise.
        test: What those of the test begin with.
        on_bad: Of lines that are empty or no text: "error" refuses the first, "skip"
            leaves them out with their translations.
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
                f"the folder {file.parent} holds {file.name}, but no file of that "
                f"part in {target!r}"
            )
        files = (file, sides[target][part])
        first, second = (_sentences(file, bad) for file in files)
        if len(first) != len(second):
            raise ValueError(
                f"{files[0]} has {len(first)} lines and {files[1].name} "
                f"{len(second)}; expected a translation for each"
            )
        pairs = zip(first, second, strict=True)
        parts[part] = tuple((x, y) for x, y in pairs if x and y)
        if not parts[part]:
            raise ValueError(
                f"{files[0]} and {files[1].name} have no pair of sentences"
            )
    if "validation" not in parts:
        parts["train"], parts["validation"] = held_out(parts["train"], 0.1)
    bad.warn(name)
    origin = str(sides[source]["train"].parent)
    return ParallelText.of(
        name, (source, target), parts, origin, "unknown", left_out=bad.count
    )


def _sentences(file: Path, bad: BadLines) -> list[str]:
    """A file's lines, "" for bad ones."""
    lines = [None if line is None else line.strip() for line in read_lines(file, bad)]
    for number, line in enumerate(lines, 1):
        if line == "":
            bad.found(
                f"line {number} of {file} is empty; expected a sentence in each line"
            )
    return [line or "" for line in lines]
