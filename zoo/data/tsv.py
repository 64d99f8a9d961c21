"""Labelled texts in tables of tab-separated columns, such as GLUE's."""

import collections
import math
from pathlib import Path

from zoo.data.tasks import (
    LabelledText,
    TaskDataset,
    folder_of,
    lines_of,
    parts_in,
)

Column = int | str
Row = tuple[str, str | None, str | None]
MRPC_COLUMNS: dict[str, Column] = {
    "text": "#1 String",
    "pair": "#2 String",
    "label": "Quality",
}


def load_tsv(
    data_dir: Path | None = None,
    *,
    text: Column = 0,
    pair: Column | None = None,
    label: Column = 1,
    regression: bool = False,
) -> TaskDataset:
    """Loads `train.tsv`, `dev.tsv` and `test.tsv` of a folder.

    Columns are numbers from 0, or names that stand in the first line. Quotation marks
    mean nothing. A tenth of training is for validation if there is no `dev.tsv`. Where
    the test file has no column of that name, or -1 for a class, as in GLUE, its labels
    are None.

    Args:
        data_dir: The folder.
        text: The column of the text.
        pair: The column of a second text, or None.
        label: The column of the class.
        regression: Labels are values instead of classes.

    Raises:
        FileNotFoundError: There is no `train.tsv`.
        ValueError: A line lacks a column, a label does not occur in training, is no
            number where it is a value, or is the name of its column.
    """
    files = parts_in("tsv", data_dir, [".tsv"])
    columns = {"text": text, "label": label} | ({} if pair is None else {"pair": pair})
    return _dataset("tsv", files, columns, regression=regression)


def load_sst2(data_dir: Path | None = None) -> TaskDataset:
    """Loads the Stanford Sentiment Treebank with two classes (Socher et al. 2013).

    From `train.tsv`, `dev.tsv` and `test.tsv` in `data_dir` or `data_dir/sst2`, GLUE's
    or without a first line of names.
    """
    files = parts_in("sst2", data_dir, [".tsv"])
    named = {"sentence", "label"} <= {*lines_of(files["train"])[0].split("\t")}
    columns: dict[str, Column] = {"text": 0, "label": 1}
    if named:
        columns = {"text": "sentence", "label": "label"}
    return _dataset("sst2", files, columns)


def load_mrpc(data_dir: Path | None = None) -> TaskDataset:
    """Loads the Microsoft Research Paraphrase Corpus (Dolan & Brockett 2005).

    From `msr_paraphrase_train.txt`, of which a tenth is for validation, and
    `msr_paraphrase_test.txt`, or GLUE's `train.tsv`, `dev.tsv` and `test.tsv`; in
    `data_dir` or `data_dir/mrpc`.
    """
    folder = folder_of("mrpc", data_dir)
    files = {part: folder / f"msr_paraphrase_{part}.txt" for part in ("train", "test")}
    if not all(file.is_file() for file in files.values()):
        files = parts_in("mrpc", data_dir, [".tsv"])
    return _dataset("mrpc", files, MRPC_COLUMNS)


def _dataset(
    name: str,
    files: dict[str, Path],
    columns: dict[str, Column],
    regression: bool = False,
) -> TaskDataset:
    tables = {part: _read(file, columns, part) for part, file in files.items()}
    names: tuple[str, ...] = ()
    if not regression:
        names = _class_names(tables["train"], files["train"])
    numbers: dict[str, int] = {label: number for number, label in enumerate(names)}

    def number(label: str | None, part: str) -> int | float | None:
        if label is None or (part == "test" and label == "-1" and not regression):
            return None
        try:
            value = float(label) if regression else numbers[label]
        except (ValueError, KeyError):
            value = math.nan
        if not math.isfinite(value):
            expected = "a number" if regression else f"one of training's, {names}"
            raise ValueError(
                f"{files[part]} has the label {label!r}; expected {expected}. Where "
                "the first line names the columns, name them instead of numbering them"
            )
        return value

    parts = {
        part: tuple(LabelledText(x, number(label, part), y) for x, y, label in table)
        for part, table in tables.items()
    }
    test = parts.get("test", ())
    unknown = sum(example.label is None for example in test)
    if 0 < unknown < len(test):
        raise ValueError(
            f"{files['test']} has {unknown} of {len(test)} lines without a "
            "label (-1); expected all or none"
        )
    return TaskDataset.of(name, parts, [*files.values()], names)


def _class_names(rows: list[Row], file: Path) -> tuple[str, ...]:
    """The classes; the first line's must not be the name of its column."""
    counts = collections.Counter(str(label) for *_, label in rows)
    first = str(rows[0][-1]) if rows else ""
    if counts[first] == 1 and len(rows) > 2 and max(counts.values()) > 1:
        raise ValueError(
            f"the first line of {file} is the only one of the class {first!r}. If it "
            "names the columns, name them instead of numbering them"
        )
    return tuple(sorted(counts))


def _read(file: Path, columns: dict[str, Column], part: str) -> list[Row]:
    """Each line's (text, pair, label)."""
    rows = [line.split("\t") for line in lines_of(file)]
    places = {}
    if any(isinstance(column, str) for column in columns.values()):
        header = rows.pop(0)
        for role, column in columns.items():
            if column in header:
                places[role] = header.index(str(column))
            elif role != "label" or part != "test":
                raise ValueError(f"{file} has no column {column!r}; it has {header}")
    else:
        places = {role: int(column) for role, column in columns.items()}
    first = 1 + any(isinstance(column, str) for column in columns.values())
    for number, row in enumerate(rows, first):
        if len(row) <= max(places.values()):
            raise ValueError(
                f"line {number} of {file} has {len(row)} columns; expected at least "
                f"{max(places.values()) + 1}, between tabs"
            )
    return [
        (
            row[places["text"]],
            row[places["pair"]] if "pair" in places else None,
            row[places["label"]] if "label" in places else None,
        )
        for row in rows
    ]
