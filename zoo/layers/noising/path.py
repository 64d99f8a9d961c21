"""What all noising paths have in common.

A path mixes data with standard normal noise, x_t = alpha(t) · data + sigma(t) · noise,
for times from 0 (data) to 1 (noise). Its marginals are those of a diffusion process
(Song et al. 2021, arXiv 2011.13456; Kingma et al. 2021, arXiv 2107.00630) and of the
ordinary differential equation dx/dt = alpha'(t) · data + sigma'(t) · noise, in which
data and noise are their expectations given x_t (Lipman et al. 2023, arXiv 2210.02747).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from keras import ops

from zoo.configs.checks import check_fields
from zoo.engine.tensors import Tensor

# What divisors are kept above. Alpha is 0 where all data are gone ("zero terminal
# SNR"), and sigma is 0 where there is no noise.
SMALLEST = 1e-6


@dataclass(frozen=True)
class NoisingPath(ABC):
    """A path from data to noise.

    Times are float32 arrays of any shape, or numbers, from 0 to 1.

    Attributes:
        name: the path's key in `zoo.layers.noising.PATHS`.
        first: the earliest time at which a network is asked, since x_0 without noise
            leaves the noise undetermined. A solver's last step goes from there to 0.
    """

    name: ClassVar[str]
    first: ClassVar[float] = 1e-3

    def __post_init__(self) -> None:
        check_fields(self)

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """The data's scale."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """The noise's standard deviation."""

    @abstractmethod
    def d_alpha(self, t: Tensor) -> Tensor:
        """The derivative of `alpha`."""

    @abstractmethod
    def d_sigma(self, t: Tensor) -> Tensor:
        """The derivative of `sigma`; large but finite where `sigma` is 0."""

    @abstractmethod
    def time(self, ratio: Tensor) -> Tensor:
        """The time at which sigma / alpha has this value, the inverse of `ratio`."""

    def ratio(self, t: Tensor) -> Tensor:
        """Sigma / alpha, the noise's level beside data of scale 1 (EDM's sigma)."""
        return self.sigma(t) / ops.maximum(self.alpha(t), SMALLEST)

    def snr(self, t: Tensor) -> Tensor:
        """The signal-to-noise ratio (alpha / sigma)²; finite also without noise."""
        sigma = ops.maximum(self.sigma(t), SMALLEST)
        return ops.square(self.alpha(t) / sigma)

    def noised(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t (B, ...) of data and noise (B, ...) at times (B,) or one time."""
        t = expanded(t, data)
        return self.alpha(t) * data + self.sigma(t) * noise

    def velocity(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """dx/dt (B, ...), given data and noise (B, ...)."""
        t = expanded(t, data)
        return self.d_alpha(t) * data + self.d_sigma(t) * noise

    @property
    def num_steps(self) -> int | None:
        """How many discrete steps the path has; None if it is continuous."""
        return None

    @property
    def keeps_data(self) -> bool:
        """Whether some data are left at time 1 (no zero terminal SNR)."""
        return float(self.alpha(1.0)) > SMALLEST


def times(t: Tensor) -> Tensor:
    """Times as float32 tensors."""
    return ops.cast(ops.convert_to_tensor(t), "float32")


def expanded(t: Tensor, x: Tensor) -> Tensor:
    """Times (B,) with as many axes as x (B, ...); a single time stays as it is."""
    t = times(t)
    if len(t.shape) == 0:
        return t
    return ops.reshape(t, (-1, *(1,) * (len(x.shape) - 1)))
