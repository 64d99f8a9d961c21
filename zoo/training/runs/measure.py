"""The metric that a run is judged by: its best value, and how long ago that was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.reports.run_folder import best_row
from zoo.training.runs.checkpoint import load_variables, read_extra
from zoo.training.runs.kept import BEST


@dataclass(frozen=True)
class Measure:
    """A metric of the evaluations.

    Of equal values the last counts as the best, so a tie is an improvement.

    Attributes:
        monitor: the metric's name.
        mode: whether the lowest or the highest value is the best.
    """

    monitor: str = "val_loss"
    mode: Literal["min", "max"] = "min"

    def best(self, rows: Sequence[Mapping[str, Any]]) -> int | None:
        """The index of the best row; None if no row has the metric."""
        return best_row(rows, self.monitor, self.mode)

    def stale(self, rows: Sequence[Mapping[str, Any]], patience: int) -> bool:
        """Whether the last `patience` evaluations were all worse than the best one.

        Args:
            rows: one dict of metrics per evaluation.
            patience: a number of evaluations; 0 for never.
        """
        if not patience or not rows:
            return False
        best = self.best(rows)
        return len(rows) - (0 if best is None else best + 1) >= patience

    def check(self, row: Mapping[str, Any]) -> None:
        """Raises ValueError if the evaluation does not give the metric."""
        if self.monitor not in row:
            raise ValueError(
                f"--patience and --keep-best go by {self.monitor}, but the evaluation "
                f"gives {', '.join(row)}."
            )


def restore_best(
    folder: Path, model: Any, rows: Sequence[Mapping[str, Any]], measure: Measure
) -> int | None:
    """Restores the best checkpoint's variables; returns the index of its row.

    Prints why and returns None if there is no such checkpoint, as in a run that was
    resumed from an earlier one.
    """
    best = measure.best(rows)
    if best is None:
        return None
    file, update = folder / BEST, rows[best]["update"]
    found = read_extra(file)["rows"][-1]["update"] if file.exists() else None
    if found != update:
        kept = "there is none" if found is None else f"{file} is from update {found}"
        print(
            f"The best evaluation was after update {update}, but the checkpoint of it "
            f"was not kept ({kept}). The run ends with its last weights."
        )
        return None
    load_variables(file, model)
    # As `fit` does at its end: puts averages in the place of the weights, if any.
    model.optimizer.finalize_variable_values(model.trainable_variables)
    return best
