"""Keeps the preset of a run's best evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo.files.atomic import unchanged
from zoo.presets import weights
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
        scores = [*self._scores(), found[self.metric]]
        if best_of(scores) == len(scores):
            self._model.save_to_preset(self._run.out / "preset")

    def load(self) -> None:
        """Gives the model the weights of the best evaluation."""
        folder = self._run.out / "preset"
        with unchanged(folder):
            weights.assign(self._model, weights.read(folder), folder)

    @property
    def number(self) -> int:
        """The number of the best evaluation so far, counted from 1."""
        return best_of(self._scores())

    @property
    def score(self) -> float:
        """The score of the best evaluation so far."""
        return self._scores()[self.number - 1]

    def _scores(self) -> list[float]:
        return [row[f"val_{self.metric}"] for row in self._run.rows]


def best_of(scores: Sequence[float]) -> int:
    """The number of the highest score, counted from 1; the last in case of a tie."""
    return len(scores) - int(np.argmax(scores[::-1]))
