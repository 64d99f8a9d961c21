"""Says when a GAN's training goes wrong, and by which sign."""

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
    """Warns, once a sign, when a GAN diverges or collapses.

    - The discriminator wins: D(x) near 1 and D(G(z)) near 0. Then little is left for
      the generator to learn from (Arjovsky & Bottou 2017).
    - Samples are alike: the mean distance between two samples, from fixed latents, is
      far below that between two real examples (Salimans et al. 2016, section 3.2);
      where there are labels, between two of one class.
    - A logged term or a sample is not finite.

    It looks at the end of every epoch; outside of `fit`, call `set_model` and `look`.

    Args:
        real: real data (N, ...), for comparison; as many samples are drawn.
        labels: theirs (N,), where the GAN is told them.
        patience: looks in a row that must show one of the first two signs.
        certainty: what D(x) and 1 - D(G(z)) must exceed to count as won.
        min_diversity: of samples, as a share of the real data's.
        seed: of the fixed latents.

    Attributes:
        seen: the signs that were warned of.
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
                "Real data to compare with need two examples of a class that differ. "
                f"Received an array of shape {real.shape}."
            )
        self.num_samples, self.seed = len(real), seed
        self.patience, self.certainty = patience, certainty
        self.min_diversity = min_diversity
        self.seen: list[str] = []
        self._streaks = {"discriminator wins": 0, "samples are alike": 0}

    def on_epoch_end(self, epoch, logs=None):
        """A look at the epoch's means and at fixed samples."""
        self.look(logs or {})

    def look(self, logs: Mapping[str, Any]) -> float:
        """Looks at logged terms and at samples; warns where there is reason.

        Returns:
            The samples' diversity: the mean distance between two of them over that
            between two real examples.
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
            "little. Lower the discriminator's rate, smooth labels, or use spectral "
            "norm or another loss.",
        )
        self._count(
            "samples are alike",
            diversity < self.min_diversity,
            f"two samples differ by {diversity:.2f} of what two real examples do. "
            "Lower the rates, or use another loss or larger batches.",
        )
        return diversity

    def _count(self, sign: str, shown: bool, words: str) -> None:
        self._streaks[sign] = self._streaks[sign] + 1 if shown else 0
        if self._streaks[sign] >= self.patience:
            self._warn(sign, f"for {self._streaks[sign]} looks, {words}")

    def _warn(self, sign: str, words: str) -> None:
        if sign not in self.seen:
            self.seen.append(sign)
            warnings.warn(f"{sign}: {words}", CollapseWarning, stacklevel=2)


def _mean_distance(data: np.ndarray, labels: np.ndarray) -> float:
    """Between two rows of one label, Euclidean; 0 where there are no two."""
    rows = data.reshape(len(data), -1)
    distances = np.concatenate(
        [pdist(rows[labels == label]) for label in np.unique(labels)]
    )
    return float(distances.mean()) if len(distances) else 0.0
