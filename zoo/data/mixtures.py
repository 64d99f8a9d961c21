"""Mixtures of Gaussians: numbers to draw, with a known density."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians.

    Attributes:
        parts: share, mean and standard deviation of each Gaussian.
    """

    parts: tuple[tuple[float, float, float], ...]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws numbers (count, 1), float32."""
        shares, means, deviations = np.transpose(self.parts)
        which = rng.choice(len(shares), size=(count, 1), p=shares)
        return rng.normal(means[which], deviations[which]).astype("float32")

    def density(self, places: np.ndarray) -> np.ndarray:
        """The density at each of `places`, of any shape."""
        parts = [share * norm.pdf(places, mean, dev) for share, mean, dev in self.parts]
        return np.sum(parts, axis=0)


MIXTURES = {
    "mixture": Mixture(((0.5, -2.0, 0.5), (0.5, 2.0, 0.5))),
    "gaussian": Mixture(((1.0, 2.0, 0.5),)),
}
