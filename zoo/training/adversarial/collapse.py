"""Detects when a GAN's training diverges or collapses, and by which sign."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from scipy.spatial.distance import pdist


class CollapseWarning(UserWarning):
    """A GAN shows a sign of divergence or collapse."""


class WatchForCollapse(keras.callbacks.Callback):
    """Warns, once per sign, when a GAN diverges or collapses.

    - The discriminator wins: D(x) near 1 and D(G(z)) near 0 leave the generator little
      gradient (Arjovsky & Bottou 2017).
    - Samples are alike: the mean distance between two samples, from fixed latents, is
      far below that between two real examples (Salimans et al. 2016, section 3.2);
      with labels, between two of one class.
    - A logged term or a sample is not finite.

    Checks at the end of every epoch; outside `fit`, call `set_model` and `look`.

    Args:
        real: real data (N, ...) for comparison; N samples are drawn.
        labels: the labels of `real`, (N,), for a conditional GAN.
        patience: consecutive checks that must show one of the first two signs.
        certainty: value that D(x) and 1 - D(G(z)) must exceed to count as won.
        min_diversity: minimum diversity of the samples, relative to the real data.
        seed: seed of the fixed latents.

    Attributes:
        seen: the signs warned about so far.

    Raises:
        ValueError: no two real examples of one class differ.
    """

    def __init__(
        self,
        real: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        patience: int = 3,
        certainty: float = 0.99,
        min_diversity: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        real = np.asarray(real)
        self.labels = np.zeros(len(real), int) if labels is None else np.asarray(labels)
        self.given = {} if labels is None else {"labels": self.labels}
        self.real_distance = _mean_distance(real, self.labels)
        if not self.real_distance > 0:
            raise ValueError(
                "Real data must have two examples of a class that differ, "
                f"got an array of shape {real.shape}. Pass more or other examples."
            )
        self.num_samples, self.seed = len(real), seed
        self.patience, self.certainty = patience, certainty
        self.min_diversity = min_diversity
        self.seen: list[str] = []
        self._streaks = {"discriminator wins": 0, "samples are alike": 0}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Checks the epoch's means and fixed samples."""
        self.look(logs or {})

    def look(self, logs: Mapping[str, Any]) -> float:
        """Checks logged terms and samples; warns about the signs it finds.

        Args:
            logs: the logged terms by name.

        Returns:
            The samples' diversity: the mean distance between two of them, divided by
            that between two real examples.
        """
        values = {name: float(value) for name, value in logs.items()}
        samples = self.model.sample(self.num_samples, seed=self.seed, **self.given)
        infinite = [name for name, x in values.items() if not math.isfinite(x)]
        if not np.isfinite(samples).all():
            infinite.append("samples")
        if infinite:
            self._warn("not finite", f"{infinite} are not finite.")
            return math.nan
        diversity = _mean_distance(samples, self.labels) / self.real_distance
        real = values.get("discriminator/real", 0.5)
        fake = values.get("discriminator/fake", 0.5)
        wins = self.model.game.probabilistic and (
            real > self.certainty and fake < 1 - self.certainty
        )
        self._count(
            "discriminator wins",
            wins,
            f"D(x) is {real:.3f} and D(G(z)) is {fake:.3f}: the generator learns "
            "little. Lower the discriminator's learning rate, smooth labels, or use "
            "spectral norm or another loss.",
        )
        self._count(
            "samples are alike",
            diversity < self.min_diversity,
            f"two samples differ by {diversity:.2f} times as much as two real "
            "examples. Lower the learning rates, or use another loss or larger "
            "batches.",
        )
        return diversity

    def _count(self, sign: str, shown: bool, words: str) -> None:
        self._streaks[sign] = self._streaks[sign] + 1 if shown else 0
        if self._streaks[sign] >= self.patience:
            self._warn(sign, f"for {self._streaks[sign]} checks, {words}")

    def _warn(self, sign: str, words: str) -> None:
        if sign not in self.seen:
            self.seen.append(sign)
            warnings.warn(f"{sign}: {words}", CollapseWarning, stacklevel=2)


def _mean_distance(data: np.ndarray, labels: np.ndarray) -> float:
    """The mean Euclidean distance between two rows of one label; 0 without any."""
    rows = data.reshape(len(data), -1)
    distances = np.concatenate(
        [pdist(rows[labels == label]) for label in np.unique(labels)]
    )
    return float(distances.mean()) if len(distances) else 0.0
