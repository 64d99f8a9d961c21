"""Labelled texts in columns that are held in memory: pandas tables, `datasets`."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.data.tasks.labelled import PARTS, LabelledText, TaskDataset
from zoo.files.text_files import BadLines


@dataclass(frozen=True)
class Columns:
    """The columns of one part of a dataset, with one value for each row.

    Attributes:
        texts: the texts.
        pairs: the second texts; None if there are none.
        labels: names, numbers of classes, or values; None if unknown.
    """

    texts: Sequence[Any]
    pairs: Sequence[Any] | None = None
    labels: Sequence[Any] | None = None


def parts_named(given: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The parts of a dataset by our names, from tables by theirs.

    Raises:
        ValueError: there is no part to train on.
    """
    found = {
        part: given[name]
        for part, names in PARTS.items()
        for name in names
        if name in given
    }
    if "train" not in found:
        raise ValueError(
            f"{origin} must have a part 'train', got only {sorted(map(str, given))}."
        )
    return found


def labelled_texts(
    name: str,
    parts: Mapping[str, Columns],
    *,
    class_names: Sequence[str] = (),
    regression: bool = False,
    bad: BadLines,
    origin: str,
    licence: str = "unknown",
) -> TaskDataset:
    """Makes a dataset of labelled texts.

    Args:
        name: its name.
        parts: `train` and, if there are such, `validation` and `test`.
        class_names: the names of the classes, if labels are their numbers, and -1 where
            one is unknown. If empty, labels are names or whole numbers, which are
            put in order.
        regression: whether labels are values instead of classes.
        bad: what to do with rows without a text or with an unusable label.
        origin: where the texts came from.
        licence: their licence, as far as it is known.

    Raises:
        ValueError: a row is bad and `bad` does not skip, labels of classes are
            fractions, or a part is empty.
    """
    known: dict[Any, int] = {number: number for number in range(len(class_names))}
    numbered = bool(class_names)
    if not regression and not numbered:
        known = _numbers(parts["train"].labels, origin)
        class_names = tuple(str(label) for label in known)
    digest = hashlib.sha256()
    examples: dict[str, list[LabelledText]] = {}
    for part, columns in parts.items():
        examples[part] = []
        none = [None] * len(columns.texts)
        labels, pairs = columns.labels, columns.pairs
        table = zip(columns.texts, pairs or none, labels or none, strict=True)
        for row, (text, pair, label) in enumerate(table):
            place = f"row {row} of {part!r} in {origin}"
            sides = [text] if pairs is None else [text, pair]
            if not all(isinstance(side, str) for side in sides):
                bad.found(f"{place} must have a text, got {sides!r:.80}")
                continue
            value: int | float | None = None
            unknown = labels is None or (numbered and label == -1)
            if not unknown:
                value = _value(label, None if regression else known)
                if value is None:
                    wanted = "a number" if regression else f"one of {[*known]}"
                    bad.found(f"the label in {place} must be {wanted}, got {label!r}")
                    continue
            examples[part].append(LabelledText(text, value, pair))
            digest.update(repr((part, text, pair, value)).encode())
        without = sum(example.label is None for example in examples[part])
        if 0 < without < len(examples[part]) or (without and part != "test"):
            raise ValueError(
                f"All rows of {part!r} in {origin} must have a label, got {without} "
                f"of {len(examples[part])} without one."
            )
    return TaskDataset.of_parts(
        name,
        examples,
        bad,
        origin=origin,
        sha256=digest.hexdigest(),
        class_names=() if regression else tuple(class_names),
        licence=licence,
    )


def _numbers(labels: Sequence[Any] | None, origin: str) -> dict[Any, int]:
    """The number of each label that is not missing, in order."""
    found = {label for label in labels or () if not _is_missing(label)}
    if fractions := [x for x in found if isinstance(x, float) and not x.is_integer()]:
        raise ValueError(
            f"Labels in {origin} must be classes, names or whole numbers, got "
            f"{fractions[0]}. To learn values, set regression."
        )
    numeric = all(isinstance(label, (int, float)) for label in found)
    ordered = sorted(found) if numeric else sorted(found, key=str)
    whole = [int(x) if isinstance(x, float) else x for x in ordered]
    return {label: number for number, label in enumerate(whole)}


def _value(label: Any, known: dict[Any, int] | None) -> int | float | None:
    if _is_missing(label):
        return None
    if known is not None:
        return known.get(label)
    return float(label) if isinstance(label, (int, float)) else None


def _is_missing(label: Any) -> bool:
    return label is None or (isinstance(label, float) and math.isnan(label))
