"""Labelled texts in tab-separated tables, such as GLUE's."""

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
    """The contents of one line; lines are numbered from 1."""

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
    """Loads `train.tsv`, `dev.tsv` and `test.tsv` from a folder.

    Columns are given by number, from 0, or by their names in the first line, which sets
    the number of columns of all lines. Quotation marks have no special meaning. Without
    a `dev.tsv`, a tenth of the training part is for validation. If the test file lacks
    the label column, or has -1 for a class, as in GLUE, its labels are None.

    Args:
        data_dir: the folder.
        text: the column of the text.
        pair: the column of a second text, or None.
        label: the column of the label.
        regression: whether labels are values instead of classes.
        on_bad: what to do with lines that are not text, differ from the first in the
            number of columns, or whose label is missing, does not occur in training,
            or, in regression, is not a number: "error" raises at the first, "skip"
            leaves them out.

    Raises:
        FileNotFoundError: there is no `train.tsv`.
        ValueError: a line is bad, labels of classes are fractions, a column is missing
            or occurs twice, or the first class is the name of its column.
    """
    files = parts_in("tsv", data_dir, [".tsv"])
    columns = {"text": text, "label": label} | ({} if pair is None else {"pair": pair})
    return _dataset("tsv", files, columns, on_bad, regression=regression)


def load_sst2(data_dir: Path | None = None, *, on_bad: OnBad = "error") -> TaskDataset:
    """Loads the Stanford Sentiment Treebank with two classes (Socher et al. 2013).

    It reads `train.tsv`, `dev.tsv` and `test.tsv` in `data_dir` or `data_dir/sst2`,
    either GLUE's or files without a header.
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

    It reads `msr_paraphrase_train.txt`, a tenth of which is for validation, and
    `msr_paraphrase_test.txt`, or GLUE's `train.tsv`, `dev.tsv` and `test.tsv`, in
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
        """Returns a label as a number, None if it is unknown, NaN if it is bad."""
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
                f"the label in line {row.line} of {files[part]} must be {expected}, "
                f"got {row.label!r}. If the first line names the columns, pass names "
                "instead of numbers"
            )
    test = parts.get("test", ())
    unknown = sum(example.label is None for example in test)
    if 0 < unknown < len(test):
        raise ValueError(
            f"All lines of {files['test']} must have a label, or none, got "
            f"{unknown} of {len(test)} lines without a label (-1)."
        )
    return TaskDataset.of(name, parts, [*files.values()], bad, names)


def _class_names(rows: list[Row], file: Path) -> tuple[str, ...]:
    """Returns the classes, after checking that none is the name of its column."""
    counts = collections.Counter(str(row.label) for row in rows)
    first = str(rows[0].label) if rows else ""
    if counts[first] == 1 and len(rows) > 2 and max(counts.values()) > 1:
        raise ValueError(
            f"The first line of {file} is the only one of the class {first!r}. If it "
            "names the columns, pass names instead of numbers."
        )
    fractions = [row for row in rows if _is_fraction(str(row.label))]
    if fractions and all(_is_number(name) for name in counts):
        raise ValueError(
            f"The label in line {fractions[0].line} of {file} must be a class, a name "
            f"or whole number, got {fractions[0].label!r}. To learn values, set "
            "regression (--regression)."
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
    """Reads the good lines of a table."""
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
                f"line {number} of {file} must have {len(first)} columns separated by "
                f"tabs, as the first line has, got {len(row)}"
            )
            continue
        text, pair, label = (
            row[places[role]] if role in places else None
            for role in ("text", "pair", "label")
        )
        if label is not None and not label.strip():
            bad.found(f"line {number} of {file} must have a label, got none")
            continue
        rows.append(Row(number, str(text), pair, label))
    _refuse_empty(file, rows, bad)
    return rows


def _refuse_empty(file: Path, rows: Sequence, bad: BadLines) -> None:
    if not rows:
        message = f"{file} must have rows, got none. {bad.first}"
        raise ValueError(message.rstrip(". ") + ".")


def _places(
    file: Path, columns: dict[str, Column], header: list[str], named: bool, part: str
) -> dict[str, int]:
    """Returns the number of each column present; a test file may lack the label."""
    places = {}
    for role, column in columns.items():
        if not named:
            if not 0 <= int(column) < len(header):
                raise ValueError(
                    f"The column must be one of the {len(header)} in the first line of "
                    f"{file}, separated by tabs and numbered from 0, got {column}."
                )
            places[role] = int(column)
        elif header.count(str(column)) > 1:
            raise ValueError(
                f"{file} must have one column {column!r}, got "
                f"{header.count(str(column))}. Rename the others; its columns are "
                f"{header}."
            )
        elif column in header:
            places[role] = header.index(str(column))
        elif role != "label" or part != "test":
            raise ValueError(f"{file} must have a column {column!r}, got {header}.")
    return places
