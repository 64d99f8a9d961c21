"""Texts in two languages, line by line, as in Multi30k."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.tasks import held_out, lines_of, parts_in

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
    """

    name: str
    languages: Pair
    train: tuple[Pair, ...] = field(repr=False, compare=False)
    validation: tuple[Pair, ...] = field(repr=False, compare=False)
    test: tuple[Pair, ...] = field(repr=False, compare=False)
    sha256: str
    origin: str
    licence: str

    @classmethod
    def of(
        cls,
        name: str,
        languages: Pair,
        parts: Mapping[str, tuple[Pair, ...]],
        origin: str,
        licence: str,
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
                digest.update("\n".join(side).encode("utf-8"))
        return cls(name, languages, *three, digest.hexdigest(), origin, licence)


def load_multi30k(
    data_dir: Path | None = None,
    *,
    source: str = "en",
    target: str = "de",
    test: str = "test_2016_flickr",
) -> ParallelText:
    """Loads Multi30k, captions of pictures in several languages (Elliott et al. 2016).

    From the files of its repository in `data_dir` or `data_dir/multi30k`, such as
    `train.en`, `val.en` and `test_2016_flickr.en`, maybe with `.gz`.
    """
    return _loaded("multi30k", data_dir, source, target, test)


def load_parallel(
    data_dir: Path | None = None,
    *,
    source: str,
    target: str,
    test: str = "test",
) -> ParallelText:
    """Loads your own `train.SOURCE` and `train.TARGET`, of equally many lines.

    And, where they are there, `validation` (or `valid`, `val`, `dev`) and `test`. Names
    may end in `.gz`. A tenth of training is for validation if there is no such part.

    Args:
        data_dir: The folder.
        source: What the names of the sources' files end in, as "en".
        target: Likewise.
        test: What those of the test begin with.
    """
    return _loaded("parallel", data_dir, source, target, test)


def _loaded(
    name: str, data_dir: Path | None, source: str, target: str, test: str
) -> ParallelText:
    sides = {
        language: parts_in(name, data_dir, [f".{language}", f".{language}.gz"], test)
        for language in (source, target)
    }
    parts: dict[str, tuple[Pair, ...]] = {}
    for part, file in sides[source].items():
        if part not in sides[target]:
            raise FileNotFoundError(
                f"the folder {file.parent} holds {file.name}, but no file of that "
                f"part in {target!r}"
            )
        files = (file, sides[target][part])
        lines = tuple(map(_sentences, files))
        if len(lines[0]) != len(lines[1]):
            raise ValueError(
                f"{files[0]} has {len(lines[0])} lines and {files[1].name} "
                f"{len(lines[1])}; expected a translation for each"
            )
        parts[part] = tuple(zip(*lines, strict=True))
    if "validation" not in parts:
        parts["train"], parts["validation"] = held_out(parts["train"], 0.1)
    origin = str(sides[source]["train"].parent)
    return ParallelText.of(name, (source, target), parts, origin, "unknown")


def _sentences(file: Path) -> list[str]:
    lines = [line.strip() for line in lines_of(file)]
    if "" in lines:
        raise ValueError(
            f"line {lines.index('') + 1} of {file} is empty; expected a sentence in "
            "each line"
        )
    return lines
