"""Noising paths in closed form: VP, cosine, VE, EDM and flow matching.

Shapes: times, and all results, have any one shape.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from keras import ops

from zoo.engine.tensors import Tensor
from zoo.layers.noising.path import SMALLEST, NoisingPath, times


@dataclass(frozen=True)
class VariancePreserving(NoisingPath):
    """The VP process, DDPM's linear schedule in continuous time.

    Song et al. 2021 (arXiv 2011.13456), equation 33: alpha = exp(-(beta_max -
    beta_min) t² / 4 - beta_min t / 2) and alpha² + sigma² = 1.

    Attributes:
        beta_min: the noise's rate at time 0.
        beta_max: the noise's rate at time 1.

    Raises:
        ValueError: not 0 < beta_min <= beta_max <= 100.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    name: ClassVar[str] = "vp"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta_min <= self.beta_max <= 100:
            raise ValueError(
                "VP's rates must be 0 < beta_min <= beta_max <= 100, got "
                f"{self.beta_min!r} and {self.beta_max!r}."
            )

    def _log_alpha(self, t: Tensor) -> Tensor:
        rise = self.beta_max - self.beta_min
        return -0.25 * rise * ops.square(t) - 0.5 * self.beta_min * t

    def alpha(self, t: Tensor) -> Tensor:
        return ops.exp(self._log_alpha(times(t)))

    def sigma(self, t: Tensor) -> Tensor:
        return ops.sqrt(-ops.expm1(2.0 * self._log_alpha(times(t))))

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def d_alpha(self, t: Tensor) -> Tensor:
        t = times(t)
        return -0.5 * self._beta(t) * self.alpha(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        t = times(t)
        sigma = ops.maximum(self.sigma(t), SMALLEST)
        return 0.5 * self._beta(t) * ops.square(self.alpha(t)) / sigma

    def time(self, ratio: Tensor) -> Tensor:
        lost = ops.log1p(ops.square(times(ratio)))  # -2 log alpha
        root = self.beta_min**2 + 2.0 * (self.beta_max - self.beta_min) * lost
        return 2.0 * lost / (self.beta_min + ops.sqrt(root))


@dataclass(frozen=True)
class Cosine(NoisingPath):
    """The cosine schedule in continuous time.

    Nichol & Dhariwal 2021 (arXiv 2102.09672), equation 17: alpha is the cosine of an
    angle that grows evenly to a right one, relative to its value at time 0. At time 1
    no data are left.

    Attributes:
        offset: the paper's s, which keeps the first steps from being too small.

    Raises:
        ValueError: the offset is not from 0 to 1.
    """

    offset: float = 0.008

    name: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.offset <= 1:
            raise ValueError(
                f"The cosine's offset must be from 0 to 1, got {self.offset!r}."
            )

    @property
    def _start(self) -> float:
        return 0.5 * math.pi * self.offset / (1.0 + self.offset)

    @property
    def _speed(self) -> float:
        return 0.5 * math.pi / (1.0 + self.offset)

    def _angle(self, t: Tensor) -> Tensor:
        return self._start + self._speed * times(t)

    def alpha(self, t: Tensor) -> Tensor:
        cosine = ops.maximum(ops.cos(self._angle(t)), 0.0)
        return cosine / math.cos(self._start)

    def sigma(self, t: Tensor) -> Tensor:
        # 1 - alpha² without its cancellation at small times.
        passed = self._speed * times(t)
        product = ops.sin(passed) * ops.sin(2.0 * self._start + passed)
        return ops.sqrt(ops.maximum(product, 0.0)) / math.cos(self._start)

    def d_alpha(self, t: Tensor) -> Tensor:
        return -self._speed * ops.sin(self._angle(t)) / math.cos(self._start)

    def d_sigma(self, t: Tensor) -> Tensor:
        sigma = ops.maximum(self.sigma(t), SMALLEST)
        return -self.alpha(t) * self.d_alpha(t) / sigma

    def time(self, ratio: Tensor) -> Tensor:
        square = ops.square(times(ratio)) + math.sin(self._start) ** 2
        angle = ops.arctan2(ops.sqrt(square), math.cos(self._start))
        return ops.clip((angle - self._start) / self._speed, 0.0, 1.0)


@dataclass(frozen=True)
class VarianceExploding(NoisingPath):
    """The VE process: unscaled data, and noise that grows geometrically.

    Song et al. 2021 (arXiv 2011.13456), equation 30: sigma = sigma_min (sigma_max /
    sigma_min)^t.

    Attributes:
        sigma_min: the noise at time 0, small beside the data's finest detail.
        sigma_max: the noise at time 1, as large as the largest distance between data.

    Raises:
        ValueError: not 0 < sigma_min < sigma_max.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    name: ClassVar[str] = "ve"
    first: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sigmas(self.sigma_min, self.sigma_max)

    @property
    def _growth(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: Tensor) -> Tensor:
        return ops.ones_like(times(t))

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * ops.exp(self._growth * times(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        return ops.zeros_like(times(t))

    def d_sigma(self, t: Tensor) -> Tensor:
        return self._growth * self.sigma(t)

    def time(self, ratio: Tensor) -> Tensor:
        level = ops.maximum(times(ratio), SMALLEST) / self.sigma_min
        return ops.log(level) / self._growth


@dataclass(frozen=True)
class EDM(NoisingPath):
    """EDM's path: unscaled data, and noise that grows evenly from zero.

    Karras et al. 2022 (arXiv 2206.00364), table 1: sigma is the time. Here the time is
    sigma / sigma_max, so that it ends at 1.

    Attributes:
        sigma_min: the smallest noise at which the network is asked.
        sigma_max: the noise at time 1.

    Raises:
        ValueError: not 0 < sigma_min < sigma_max.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    name: ClassVar[str] = "edm"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sigmas(self.sigma_min, self.sigma_max)

    @property
    def first(self) -> float:  # type: ignore[override]
        """The time of `sigma_min`."""
        return self.sigma_min / self.sigma_max

    def alpha(self, t: Tensor) -> Tensor:
        return ops.ones_like(times(t))

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_max * times(t)

    def d_alpha(self, t: Tensor) -> Tensor:
        return ops.zeros_like(times(t))

    def d_sigma(self, t: Tensor) -> Tensor:
        return self.sigma_max * ops.ones_like(times(t))

    def time(self, ratio: Tensor) -> Tensor:
        return times(ratio) / self.sigma_max


@dataclass(frozen=True)
class FlowMatching(NoisingPath):
    """Straight lines from data to noise: flow matching, or rectified flow.

    Lipman et al. 2023 (arXiv 2210.02747), equation 22, and Liu et al. 2023 (arXiv
    2209.03003); their time runs from noise to data, ours from data to noise: alpha =
    1 - t and sigma = sigma_min + (1 - sigma_min) t.

    Attributes:
        sigma_min: the noise that is left at time 0.

    Raises:
        ValueError: sigma_min is not in [0, 1).
    """

    sigma_min: float = 0.0

    name: ClassVar[str] = "flow"
    first: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sigma_min < 1:
            raise ValueError(f"sigma_min must be in [0, 1), got {self.sigma_min!r}.")

    def alpha(self, t: Tensor) -> Tensor:
        return 1.0 - times(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min + (1.0 - self.sigma_min) * times(t)

    def d_alpha(self, t: Tensor) -> Tensor:
        return -ops.ones_like(times(t))

    def d_sigma(self, t: Tensor) -> Tensor:
        return (1.0 - self.sigma_min) * ops.ones_like(times(t))

    def time(self, ratio: Tensor) -> Tensor:
        ratio = times(ratio)
        return (ratio - self.sigma_min) / (1.0 - self.sigma_min + ratio)


def check_sigmas(sigma_min: float, sigma_max: float) -> None:
    """Raises ValueError unless 0 < sigma_min < sigma_max."""
    if not 0 < sigma_min < sigma_max:
        raise ValueError(
            "The noise's range must be 0 < sigma_min < sigma_max, got "
            f"{sigma_min!r} and {sigma_max!r}."
        )
