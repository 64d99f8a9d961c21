"""Kinds of models compared by their scores over several seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.evaluation.confidence import Interval, mean_interval
from zoo.evaluation.images.pictures import loss_curves


class RepeatedScores:
    """Scores of several kinds of models, each trained with several seeds.

    Args:
        metric: the name of the scores, in snake case, such as "test_accuracy".

    Attributes:
        scores: the scores of each kind, one per seed.
        curves: the learning curves of each kind, one per seed.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.scores: dict[str, list[float]] = {}
        self.curves: dict[str, list[Sequence[float]]] = {}

    def add(self, kind: str, score: float, curve: Sequence[float]) -> None:
        """Adds a model: its final score, and a metric at each of its evaluations."""
        self.scores.setdefault(kind, []).append(score)
        self.curves.setdefault(kind, []).append(curve)

    def intervals(self) -> dict[str, Interval]:
        """The 95 % confidence interval of each kind's mean score.

        Raises:
            ValueError: a kind has fewer than two models.
        """
        return {kind: mean_interval(scores) for kind, scores in self.scores.items()}

    def figures(self) -> dict[str, float]:
        """The mean, the interval's half width and the standard deviation, by kind."""
        found = {}
        for kind, interval in self.intervals().items():
            name = f"{kind}_{self.metric}"
            found[name] = interval.mean
            found[f"{name}_half_width"] = interval.half_width
            found[f"{name}_std"] = float(np.std(self.scores[kind], ddof=1))
        return found

    def draw(self, path: Path, updates: Sequence[int], title: str, unit: str) -> None:
        """Plots each kind's mean learning curve as a PNG.

        Args:
            path: the PNG file.
            updates: the updates of the evaluations, the same for all models.
            title: the text above the plot.
            unit: what the curves show.
        """
        means = {
            kind: np.mean(curves, axis=0).tolist()
            for kind, curves in self.curves.items()
        }
        loss_curves(path, updates, means, title=title, unit=unit)
