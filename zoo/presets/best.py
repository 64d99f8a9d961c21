"""Keeps the preset of a run's best evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.files.atomic import unchanged
from zoo.presets import weights
from zoo.reports.run_folder import best_row
from zoo.training.runs.run import Run


class BestPreset:
    """Writes `preset/` of a run whenever a metric is as high as ever.

    Scores are read from the run's rows, so that a resumed run continues.

    Args:
        run: the run that trains the model.
        model: the model, with a method `save_to_preset`.
        metric: the metric of its evaluations; higher is better.
    """

    def __init__(self, run: Run, model: Any, metric: str) -> None:
        self._run, self._model = run, model
        self.metric = metric

    def keep(self, found: Mapping[str, float]) -> None:
        """Saves the model if the metrics of the evaluation just made are the best."""
        rows = [*self._run.rows, {self._name: found[self.metric]}]
        if _best(rows, self._name) == len(rows):
            self._model.save_to_preset(self._run.out / "preset")

    def load(self) -> None:
        """Gives the model the weights of the best evaluation."""
        folder = self._run.out / "preset"
        with unchanged(folder):
            weights.assign(self._model, weights.read(folder), folder)

    @property
    def number(self) -> int:
        """The number of the best evaluation so far, counted from 1."""
        return _best(self._run.rows, self._name)

    @property
    def score(self) -> float:
        """The score of the best evaluation so far."""
        return self._run.rows[self.number - 1][self._name]

    @property
    def _name(self) -> str:
        return f"val_{self.metric}"


def _best(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    """The number of the best row, counted from 1; without a finite score, the last."""
    found = best_row(rows, name, "max")
    return len(rows) if found is None else found + 1
