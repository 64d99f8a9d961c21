"""A table of training runs: model size, tokens and final loss."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.evaluation.scaling_laws import compute
from zoo.files.atomic import replacing
from zoo.files.text_files import BadLines, OnBad, read_text

COLUMNS = ("parameters", "tokens", "loss")
# Runs whose compute differs by less than this factor share a budget.
SAME_BUDGET = 1.1


@dataclass(frozen=True)
class Trainings:
    """R training runs of one family of models.

    Attributes:
        parameters: (R,) the number of parameters N of each run.
        tokens: (R,) the training tokens D of each run; repeated tokens count again.
        losses: (R,) losses on held-out text, in nats per token.
    """

    parameters: np.ndarray
    tokens: np.ndarray
    losses: np.ndarray

    @property
    def flops(self) -> np.ndarray:
        """The compute of each run, 6·N·D, (R,)."""
        return compute(self.parameters, self.tokens)

    def __len__(self) -> int:
        return len(self.losses)

    @classmethod
    def of(cls, rows: Sequence[tuple[float, ...]]) -> "Trainings":
        """Makes a table from one row (parameters, tokens, loss) per run."""
        return cls(*np.array(rows, "float64").reshape(-1, 3).T)

    @classmethod
    def read(cls, path: Path, on_bad: OnBad = "error") -> "Trainings":
        """Reads a CSV file with the columns parameters, tokens, loss, among others.

        Args:
            path: the CSV file.
            on_bad: what to do with lines that are not UTF-8 or have a value that is
                not a number above 0: "error" raises at the first, "skip" leaves them
                out and warns.

        Raises:
            ValueError: a column is missing or duplicated, a line is bad, or there are
                no lines.
        """
        bad = BadLines(on_bad)
        reader = csv.DictReader(io.StringIO(read_text(path, bad), newline=""))
        header = list(reader.fieldnames or ())
        if missing := set(COLUMNS) - set(header):
            raise ValueError(
                f"{path} must have the columns {', '.join(COLUMNS)} in its first line. "
                f"Missing: {', '.join(sorted(missing))}."
            )
        if twice := [name for name in COLUMNS if header.count(name) > 1]:
            raise ValueError(
                f"{path} has the column {twice[0]} more than once. Remove the others."
            )
        rows = []
        for row in reader:
            try:
                figures = tuple(float(row[name]) for name in COLUMNS)
            except (TypeError, ValueError):
                figures = (math.nan,)
            if not all(0 < figure < math.inf for figure in figures):
                bad.found(
                    f"{path}, line {reader.line_num}: parameters, tokens and loss must "
                    f"be numbers above 0, got {[row[n] for n in COLUMNS]}"
                )
                continue
            rows.append(figures)
        if not rows:
            message = f"{path} has no training runs. {bad.first}"
            raise ValueError(message.rstrip(". ") + ".")
        bad.warn(str(path))
        return cls.of(rows)

    def write(self, path: Path) -> None:
        """Writes a CSV file that `read` reads, atomically."""
        rows = np.stack([self.parameters, self.tokens, self.losses], axis=1).tolist()
        lines = [",".join(COLUMNS)]
        lines += [f"{n:.0f},{d:.0f},{loss!r}" for n, d, loss in rows]
        with replacing(path) as file:
            file.write(("\n".join(lines) + "\n").encode())

    def budgets(self) -> list["Trainings"]:
        """Groups the runs by compute budget, in increasing order."""
        order = np.argsort(self.flops, kind="stable")
        steps = np.diff(np.log(self.flops[order])) > math.log(SAME_BUDGET)
        return [
            Trainings(self.parameters[part], self.tokens[part], self.losses[part])
            for part in np.split(order, np.flatnonzero(steps) + 1)
        ]
