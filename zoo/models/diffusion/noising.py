"""From a configuration to the arithmetic of noising: path, prediction, weight, times.

Shapes: B images, (H, W, C) of an image.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from keras import ops

from zoo.engine.tensors import Tensor
from zoo.layers.noising import (
    PATHS,
    TIME_LAWS,
    LossWeight,
    NoisingPath,
    Prediction,
    TimeLaw,
)

TIMES = (*TIME_LAWS, "low_noise")
# Offset of "low_noise" times: their density is proportional to 1 / (t + OFFSET).
OFFSET = 0.1
# Karras et al. 2022, table 1: of log sigma in training, and of the grid of times.
LOG_MEAN, LOG_STDDEV, RHO = -1.2, 1.2, 7.0


@dataclass(frozen=True)
class Noising:
    """A path, what is predicted on it, and how times and errors are drawn and weighed.

    Attributes:
        name: of the path, a key of `zoo.layers.noising.PATHS`.
        kind: of the prediction.
        weight_kind: of the loss weight.
        times: one of `TIMES`.
    """

    name: str
    kind: str
    weight_kind: str
    times: str

    @functools.cached_property
    def prediction(self) -> Prediction:
        """What the network predicts on the path."""
        return Prediction(PATHS[self.name](), self.kind)

    @property
    def path(self) -> NoisingPath:
        """The path."""
        return self.prediction.path

    def training_times(self, uniform: Tensor) -> Tensor:
        """Times (B,) from draws (B,) in [0, 1]."""
        if self.times == "low_noise":
            uniform = OFFSET * ops.expm1(uniform * math.log1p(1.0 / OFFSET))
        if self.times in ("low_noise", "uniform"):
            return TimeLaw().of_uniform(self.path, uniform)
        normal = math.sqrt(2.0) * ops.erfinv(
            ops.clip(2.0 * uniform - 1.0, -0.99999, 0.99999)
        )
        law = TimeLaw(self.times)
        if self.times == "log_normal":
            law = TimeLaw(self.times, LOG_MEAN, LOG_STDDEV)
        return law.of_normal(self.path, normal)

    def weight(self, times: Tensor) -> Tensor:
        """The weights (B,) of squared errors of the network's output."""
        return LossWeight(self.weight_kind).of(self.prediction, times)

    def flow(self, noised: Tensor, output: Tensor, times: Tensor) -> Tensor:
        """The probability flow dx/dt (B, H, W, C)."""
        if self.kind == "flow":
            return output
        data, noise = self.prediction.estimates(noised, output, times)
        return self.path.velocity(data, noise, times)

    def grid(self, steps: int, first: float = 0.0) -> np.ndarray:
        """A solver's times (steps + 1,), from noise to `first`, by default the data.

        The network is asked no earlier than at the path's own first time, from where
        the last step leads to the data.
        """
        low = float(self.path.first)
        if low == 0 or first > 0:
            return np.linspace(1.0, max(first, low), steps + 1, dtype="float32")
        if self.name == "edm":
            roots = np.linspace(1.0, low ** (1 / RHO), steps)
            return np.append(roots**RHO, 0.0).astype("float32")
        return np.append(np.linspace(1.0, low, steps), 0.0).astype("float32")
