"""Tables of pandas as datasets; pandas itself is not imported."""

from collections.abc import Mapping
from typing import Any

from zoo.data.tasks.columns import Columns, labelled_texts, parts_named
from zoo.data.tasks.labelled import TaskDataset
from zoo.files.text_files import BadLines, OnBad


def is_frame(data: Any) -> bool:
    """Whether this is a `pandas.DataFrame`."""
    return hasattr(data, "iloc") and hasattr(data, "columns")


def load_frame(
    data: Any,
    *,
    text: int | str = "text",
    pair: int | str | None = None,
    label: int | str = "label",
    regression: bool = False,
    on_bad: OnBad = "error",
) -> TaskDataset:
    """Takes labelled texts from a table, or from several by part.

    Columns are given by name or by number, from 0. The order of a categorical label's
    categories is that of `class_names`; other labels are sorted.

    Args:
        data: a `pandas.DataFrame`, of which a fixed random tenth is for validation, or
            a dict of them: `train`, `validation` and `test`.
        text: the column of the text.
        pair: the column of a second text, or None.
        label: the column of the label; a test table may lack it.
        regression: whether labels are values instead of classes.
        on_bad: what to do with rows without a text or a label: "error" raises at the
            first, "skip" leaves them out.

    Raises:
        ValueError: a column is missing, a row is bad, or a label does not occur in
            training.
    """
    origin = "a pandas table"
    given = {"train": data} if is_frame(data) else dict(data)
    tables = parts_named(given, origin)
    parts, names = {}, None
    for part, table in tables.items():
        labels = _column(table, label, part, needed=part != "test")
        categories = getattr(getattr(labels, "dtype", None), "categories", None)
        if part == "train" and categories is not None and not regression:
            names = [str(category) for category in categories]
        if names is not None and labels is not None:
            values = [_as_name(value) for value in labels.tolist()]
            numbers = {category: number for number, category in enumerate(names)}
            found: Any = [numbers.get(x) if x is not None else None for x in values]
        else:
            found = None if labels is None else labels.tolist()
        second = None
        if pair is not None:
            second = _column(table, pair, part).tolist()
        texts = _column(table, text, part).tolist()
        parts[part] = Columns(texts, second, found)
    return labelled_texts(
        "pandas",
        parts,
        class_names=names or (),
        regression=regression,
        bad=BadLines(on_bad),
        origin=origin,
    )


def _as_name(value: Any) -> str | None:
    return None if value is None or value != value else str(value)


def _column(table: Any, column: int | str, part: str, needed: bool = True) -> Any:
    """A column by its name or number; None if it is missing and not needed."""
    known = list(table.columns)
    if column not in known and isinstance(column, int) and 0 <= column < len(known):
        column = known[column]
    if known.count(column) == 1:
        return table[column]
    if not needed and column not in known:
        return None
    raise ValueError(f"The table {part!r} must have one column {column!r}, got {known}")


def is_parts_of_frames(data: Any) -> bool:
    """Whether this is a dict of tables."""
    return (
        isinstance(data, Mapping) and bool(data) and all(map(is_frame, data.values()))
    )
