"""Gaussian data, for which the best denoiser and the flow are known."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from zoo.layers.noising import NoisingPath


@dataclass(frozen=True)
class Gaussian:
    """Data whose values are N(mean, stddev²), on a path."""

    path: NoisingPath
    mean: float = 0.4
    stddev: float = 0.6

    def denoise(self, x, t):
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        variance = ops.square(alpha * self.stddev) + ops.square(sigma)
        centred = (x - alpha * self.mean) / variance
        return self.mean + alpha * self.stddev**2 * centred, sigma * centred

    def standardised(self, x, t):
        """What stays the same along the flow."""
        alpha = float(self.path.alpha(t))
        sigma = float(self.path.sigma(t))
        return (x - alpha * self.mean) / np.hypot(alpha * self.stddev, sigma)

    def carried(self, x, t, s):
        """X at time s."""
        alpha, sigma = float(self.path.alpha(s)), float(self.path.sigma(s))
        scale = np.hypot(alpha * self.stddev, sigma)
        return alpha * self.mean + scale * self.standardised(x, t)
