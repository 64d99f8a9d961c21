"""Labelled texts in tables of tab-separated columns, such as GLUE's."""

import collections
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.data.tasks.labelled import LabelledText, TaskDataset, folder_of, parts_in
from zoo.files.text_files import BadLines, OnBad, read_lines

Column = int | str
MRPC_COLUMNS: dict[str, Column] = {
    "text": "#1 String",
    "pair": "#2 String",
    "label": "Quality",
}


class Row(NamedTuple):
    """What is read of one line; the number of a table's first line is 1."""

    line: int
    text: str
    pair: str | None
    label: str | None


def load_tsv(
    data_dir: Path | None = None,
    *,
    text: Column = 0,
    pair: Column | None = None,
    label: Column = 1,
    regression: bool = False,
    on_bad: OnBad = "error",
) -> TaskDataset:
    """Loads `train.tsv`, `dev.tsv` and `test.tsv` of a folder.

    Columns are numbers from 0, or names that stand in the first line; all lines have
    as many as that one. Quotation marks mean nothing. A tenth of training is for
    validation if there is no `dev.tsv`. Where the test file has no column of that name,
    or -1 for a class, as in GLUE, its labels are None.

    Args:
        data_dir: The folder.
        text: The column of the text.
        pair: The column of a second text, or None.
        label: The column of the class.
        regression: Labels are values instead of classes.
        on_bad: Of lines that are no text, have more or fewer columns than the first, or
            a label that is missing, does not occur in training, or is no number where
            it is a value: "error" refuses the first, "skip" leaves them out.

    Raises:
        FileNotFoundError: There is no `train.tsv`.
        ValueError: A line is bad, labels of classes are fractions, a column is not
            there or twice, or the first class is the name of its column.
    """
    files = parts_in("tsv", data_dir, [".tsv"])
    columns = {"text": text, "label": label} | ({} if pair is None else {"pair": pair})
    return _dataset("tsv", files, columns, on_bad, regression=regression)


def load_sst2(data_dir: Path | None = None, *, on_bad: OnBad = "error") -> TaskDataset:
    """Loads the Stanford Sentiment Treebank with two classes (Socher et al. 2013).

    From `train.tsv`, `dev.tsv` and `test.tsv` in `data_dir` or `data_dir/sst2`, GLUE's
    or without a first line of names.
    """
    files = parts_in("sst2", data_dir, [".tsv"])
    first = read_lines(files["train"], BadLines("skip"))[0] or ""
    named = {"sentence", "label"} <= {*first.split("\t")}
    columns: dict[str, Column] = {"text": 0, "label": 1}
    if named:
        columns = {"text": "sentence", "label": "label"}
    return _dataset("sst2", files, columns, on_bad)


def load_mrpc(data_dir: Path | None = None, *, on_bad: OnBad = "error") -> TaskDataset:
    """Loads the Microsoft Research Paraphrase Corpus (Dolan & Brockett 2005).

    From `msr_paraphrase_train.txt`, of which a tenth is for validation, and
    `msr_paraphrase_test.txt`, or GLUE's `train.tsv`, `dev.tsv` and `test.tsv`; in
    `data_dir` or `data_dir/mrpc`.
    """
    folder = folder_of("mrpc", data_dir)
    files = {part: folder / f"msr_paraphrase_{part}.txt" for part in ("train", "test")}
    if not all(file.is_file() for file in files.values()):
        files = parts_in("mrpc", data_dir, [".tsv"])
    return _dataset("mrpc", files, MRPC_COLUMNS, on_bad)


def _dataset(
    name: str,
    files: dict[str, Path],
    columns: dict[str, Column],
    on_bad: OnBad,
    regression: bool = False,
) -> TaskDataset:
    bad = BadLines(on_bad)
    tables = {part: _read(file, columns, part, bad) for part, file in files.items()}
    names: tuple[str, ...] = ()
    if not regression:
        names = _class_names(tables["train"], files["train"])
    numbers: dict[str | None, int] = {label: place for place, label in enumerate(names)}

    def value(label: str | None, part: str) -> int | float | None:
        """A label as a number; NaN if it is none that is expected."""
        if label is None or (part == "test" and label == "-1" and not regression):
            return None
        if not regression:
            return numbers.get(label, math.nan)
        try:
            return float(label)
        except ValueError:
            return math.nan

    parts: dict[str, list[LabelledText]] = {}
    for part, table in tables.items():
        parts[part] = []
        for row in table:
            label = value(row.label, part)
            if label is None or math.isfinite(label):
                parts[part].append(LabelledText(row.text, label, row.pair))
                continue
            expected = "a number" if regression else f"one of training's, {names}"
            bad.found(
                f"line {row.line} of {files[part]} has the label {row.label!r}; "
                f"expected {expected}. Where the first line names the columns, name "
                "them instead of numbering them"
            )
    test = parts.get("test", ())
    unknown = sum(example.label is None for example in test)
    if 0 < unknown < len(test):
        raise ValueError(
            f"{files['test']} has {unknown} of {len(test)} lines without a "
            "label (-1); expected all or none"
        )
    return TaskDataset.of(name, parts, [*files.values()], bad, names)


def _class_names(rows: list[Row], file: Path) -> tuple[str, ...]:
    """The classes; the first line's must not be the name of its column."""
    counts = collections.Counter(str(row.label) for row in rows)
    first = str(rows[0].label) if rows else ""
    if counts[first] == 1 and len(rows) > 2 and max(counts.values()) > 1:
        raise ValueError(
            f"the first line of {file} is the only one of the class {first!r}. If it "
            "names the columns, name them instead of numbering them"
        )
    fractions = [row for row in rows if _is_fraction(str(row.label))]
    if fractions and all(_is_number(name) for name in counts):
        raise ValueError(
            f"line {fractions[0].line} of {file} has the label {fractions[0].label!r}; "
            "expected classes, which are names or whole numbers. To learn values, set "
            "regression (--regression)"
        )
    return tuple(sorted(counts))


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _is_fraction(label: str) -> bool:
    return _is_number(label) and not float(label).is_integer()


def _read(
    file: Path, columns: dict[str, Column], part: str, bad: BadLines
) -> list[Row]:
    """A table's lines."""
    lines = [
        (number, line.split("\t"))
        for number, line in enumerate(read_lines(file, bad), 1)
        if line is not None
    ]
    _refuse_empty(file, lines, bad)
    first = lines[0][1]
    named = any(isinstance(column, str) for column in columns.values())
    places = _places(file, columns, first, named, part)
    rows = []
    for number, row in lines[1:] if named else lines:
        if len(row) != len(first):
            bad.found(
                f"line {number} of {file} has {len(row)} columns; expected "
                f"{len(first)} between tabs, as the first line has"
            )
            continue
        text, pair, label = (
            row[places[role]] if role in places else None
            for role in ("text", "pair", "label")
        )
        if label is not None and not label.strip():
            bad.found(f"line {number} of {file} has no label; expected one")
            continue
        rows.append(Row(number, str(text), pair, label))
    _refuse_empty(file, rows, bad)
    return rows


def _refuse_empty(file: Path, rows: Sequence, bad: BadLines) -> None:
    if not rows:
        raise ValueError(f"{file} has no rows. {bad.first}".rstrip(". "))


def _places(
    file: Path, columns: dict[str, Column], header: list[str], named: bool, part: str
) -> dict[str, int]:
    """The place of each column that is there; a test may have none of labels."""
    places = {}
    for role, column in columns.items():
        if not named:
            if not 0 <= int(column) < len(header):
                raise ValueError(
                    f"{file} has no column {column}; the first line has {len(header)} "
                    "between tabs, numbered from 0"
                )
            places[role] = int(column)
        elif header.count(str(column)) > 1:
            raise ValueError(
                f"{file} has {header.count(str(column))} columns {column!r}; expected "
                f"one. Rename the others: it has {header}"
            )
        elif column in header:
            places[role] = header.index(str(column))
        elif role != "label" or part != "test":
            raise ValueError(f"{file} has no column {column!r}; it has {header}")
    return places
