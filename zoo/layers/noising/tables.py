"""DDPM's noising paths: tables of discrete steps, and a continuous form between them.

Step i = 0 ... T - 1 of the papers is time (i + 1) / T; time 0 is the data. With
alpha² + sigma² = 1, a path is an angle, alpha its cosine and sigma its sine. Between
two steps the angle grows evenly, so that all values and slopes are finite, also where
no data are left.

Shapes: T steps; times, and all results, have any one shape.
"""

import functools
import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from keras import ops

from zoo.configs.checks import check_whole
from zoo.engine.tensors import Tensor
from zoo.layers.noising.path import NoisingPath, times


@dataclass(frozen=True)
class DDPMPath(NoisingPath):
    """A path through the table of a discrete schedule.

    Attributes:
        steps: T.
        zero_terminal_snr: whether to rescale the table so that no data are left at
            time 1 (Lin et al. 2024, arXiv 2305.08891, algorithm 1).

    Raises:
        ValueError: there are fewer than 2 steps, or they are too many or too large.
    """

    steps: int = 1000
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "steps", least=2)
        if self.steps > 100_000:
            raise ValueError(f"steps must be at most 100000, got {self.steps}.")

    @property
    def first(self) -> float:  # type: ignore[override]
        """The time of the first step."""
        return 1.0 / self.steps

    @property
    def num_steps(self) -> int:
        """T."""
        return self.steps

    @abstractmethod
    def betas(self) -> np.ndarray:
        """The variances (T,) of the noise that each step adds, in float64."""

    @functools.cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """The products (T,) of 1 - beta, which are alpha², in float64."""
        products = np.cumprod(1.0 - self.betas())
        if not self.zero_terminal_snr:
            return products
        roots = np.sqrt(products)
        return ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2

    @functools.cached_property
    def _angles(self) -> np.ndarray:
        angles = np.arccos(np.sqrt(self.alphas_cumprod))
        return np.concatenate([[0.0], angles])

    def _place(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The index of the step that leads up to a time, and how much of it is done."""
        place = times(t) * self.steps
        # Times of whole steps are a rounding error away from them.
        whole = ops.round(place)
        place = ops.where(ops.abs(place - whole) < 1e-3, whole, place)
        below = ops.clip(ops.ceil(place) - 1.0, 0.0, self.steps - 1.0)
        return ops.cast(below, "int32"), place - below

    def _between(self, table: np.ndarray, t: Tensor) -> Tensor:
        """The values of a table (T + 1,) at times; exact at whole steps."""
        index, share = self._place(t)
        low, high = (
            ops.take(ops.convert_to_tensor(x.astype("float32")), index)
            for x in (table[:-1], table[1:])
        )
        return (1.0 - share) * low + share * high

    def _slope(self, t: Tensor) -> Tensor:
        """The angle's slope."""
        slopes = (np.diff(self._angles) * self.steps).astype("float32")
        return ops.take(ops.convert_to_tensor(slopes), self._place(t)[0])

    def alpha(self, t: Tensor) -> Tensor:
        # Unlike a cosine near a right angle, exact in all digits.
        return ops.sin(self._between(0.5 * math.pi - self._angles, t))

    def sigma(self, t: Tensor) -> Tensor:
        return ops.sin(self._between(self._angles, t))

    def d_alpha(self, t: Tensor) -> Tensor:
        return -self.sigma(t) * self._slope(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return self.alpha(t) * self._slope(t)

    def time(self, ratio: Tensor) -> Tensor:
        angle = ops.arctan(times(ratio))
        angles = self._angles
        bounds = ops.convert_to_tensor(angles[1:-1].astype("float32"))
        flat = ops.reshape(angle, (-1,))
        index = ops.reshape(ops.searchsorted(bounds, flat), ops.shape(angle))
        index = ops.cast(index, "int32")
        start = ops.convert_to_tensor(angles[:-1].astype("float32"))
        rise = ops.convert_to_tensor(np.diff(angles).astype("float32"))
        share = (angle - ops.take(start, index)) / ops.take(rise, index)
        place = ops.cast(index, "float32") + ops.clip(share, 0.0, 1.0)
        return place / self.steps


@dataclass(frozen=True)
class DDPMLinear(DDPMPath):
    """DDPM's schedule: betas that grow evenly (Ho et al. 2020, arXiv 2006.11239).

    Attributes:
        steps: T.
        zero_terminal_snr: see `DDPMPath`.
        beta_first: of step 0, for T = 1000; other T scale it so that as much noise is
            added in all (Nichol & Dhariwal 2021's code).
        beta_last: of the last step, for T = 1000, scaled alike.

    Raises:
        ValueError: see `DDPMPath`; or not 0 < beta_first <= beta_last < 1, after
            scaling.
    """

    beta_first: float = 1e-4
    beta_last: float = 0.02

    name: ClassVar[str] = "ddpm_linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        scale = 1000 / self.steps
        if not 0 < self.beta_first <= self.beta_last < 1 / max(scale, 1):
            raise ValueError(
                f"With {self.steps} steps, DDPM's betas must be 0 < beta_first <= "
                f"beta_last < {1 / max(scale, 1):g}, got {self.beta_first!r} and "
                f"{self.beta_last!r}."
            )

    def betas(self) -> np.ndarray:
        """Evenly spaced."""
        scale = 1000 / self.steps
        return scale * np.linspace(self.beta_first, self.beta_last, self.steps)


@dataclass(frozen=True)
class DDPMCosine(DDPMPath):
    """Improved DDPM's cosine schedule (Nichol & Dhariwal 2021, arXiv 2102.09672).

    Attributes:
        steps: T.
        zero_terminal_snr: see `DDPMPath`.
        offset: the paper's s.
        max_beta: what betas are clipped to, against a singularity at the end.

    Raises:
        ValueError: see `DDPMPath`; or the offset is not from 0 to 1, or max_beta is not
            between 0 and 1.
    """

    offset: float = 0.008
    max_beta: float = 0.999

    name: ClassVar[str] = "ddpm_cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.offset <= 1 or not 0 < self.max_beta < 1:
            raise ValueError(
                "The cosine's offset must be from 0 to 1 and max_beta between 0 and 1, "
                f"got {self.offset!r} and {self.max_beta!r}."
            )

    def betas(self) -> np.ndarray:
        """From the ratios of successive squared cosines."""
        places = np.arange(self.steps + 1) / self.steps
        angles = (places + self.offset) / (1 + self.offset) * math.pi / 2
        squares = np.cos(angles) ** 2
        return np.minimum(1.0 - squares[1:] / squares[:-1], self.max_beta)
