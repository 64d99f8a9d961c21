"""Observation models: distributions p(x | parameters) given a decoder's output.

Shapes: N examples, ... leading axes of the parameters (such as samples of a latent),
D data dimensions in any shape. Data are in [0, 1]; all arithmetic is in float32.
"""

import math
from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Tensor


class Observation:
    """A distribution of data, given a decoder's output.

    Attributes:
        num_parameters: parameters per data value; a decoder's last axis holds all of
            the first kind, then all of the next, (..., C·num_parameters).
    """

    num_parameters = 1

    def log_probs(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Log-probability of each value in nats (a density where it is continuous).

        `x` and `parameters` broadcast against each other.
        """
        raise NotImplementedError

    def mean(self, parameters: Tensor) -> Tensor:
        """The expected data (..., N, D...)."""
        raise NotImplementedError

    def sample(self, parameters: Tensor, seed: Any = None) -> Tensor:
        """Samples data (..., N, D...), independently in every dimension."""
        raise NotImplementedError

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Log-probability in nats, summed over D.

        `x` is (N, D...) and `parameters` (..., N, D...); the result is (..., N).
        """
        data_axes = tuple(range(1 - len(x.shape), 0))
        return ops.sum(self.log_probs(x, parameters), axis=data_axes)


class Bernoulli(Observation):
    """Zeros and ones, given logits; for grey values, the negative cross-entropy."""

    def log_probs(self, x: Tensor, parameters: Any) -> Tensor:
        """Log-probabilities in nats, the negative cross-entropy."""
        logits = ops.cast(parameters, "float32")
        return ops.cast(x, "float32") * logits - ops.softplus(logits)

    def mean(self, parameters: Any) -> Tensor:
        """The probability of 1."""
        return ops.sigmoid(ops.cast(parameters, "float32"))

    def sample(self, parameters: Any, seed: Any = None) -> Tensor:
        """Draws zeros and ones."""
        mean = self.mean(parameters)
        uniform = keras.random.uniform(ops.shape(mean), seed=seed)
        return ops.cast(uniform < mean, "float32")


class Gaussian(Observation):
    """Independent noise with one known `stddev` around the decoder's output."""

    def __init__(self, stddev: float) -> None:
        if not stddev > 0:
            raise ValueError(f"stddev must be above 0, got {stddev!r}.")
        self.stddev = stddev

    def log_probs(self, x: Tensor, parameters: Any) -> Tensor:
        """Log-densities in nats."""
        error = (ops.cast(x, "float32") - self.mean(parameters)) / self.stddev
        constant = math.log(self.stddev) + 0.5 * math.log(2 * math.pi)
        return -0.5 * ops.square(error) - constant

    def mean(self, parameters: Any) -> Tensor:
        """The decoder's output, in float32."""
        return ops.cast(parameters, "float32")

    def sample(self, parameters: Any, seed: Any = None) -> Tensor:
        """The mean plus noise."""
        mean = self.mean(parameters)
        return mean + self.stddev * keras.random.normal(ops.shape(mean), seed=seed)


class LearnedGaussian(Observation):
    """Noise with a standard deviation per value, given by the decoder.

    The standard deviation can't fall below `min_stddev`, by default 1/256: data with
    256 levels are discrete, and the density of a constant value could grow without
    bound (Rybkin et al. 2021, section 3.2, bounds it in the same way).
    """

    num_parameters = 2

    def __init__(self, min_stddev: float = 1 / 256) -> None:
        self.floor = math.log(min_stddev)

    def log_probs(self, x: Tensor, parameters: Any) -> Tensor:
        """Log-densities in nats."""
        mean, log_stddev = self._split(parameters)
        error = (ops.cast(x, "float32") - mean) * ops.exp(-log_stddev)
        constant = 0.5 * math.log(2 * math.pi)
        return -0.5 * ops.square(error) - log_stddev - constant

    def mean(self, parameters: Any) -> Tensor:
        """The first half of the parameters."""
        return self._split(parameters)[0]

    def sample(self, parameters: Any, seed: Any = None) -> Tensor:
        """The mean plus noise."""
        mean, log_stddev = self._split(parameters)
        noise = keras.random.normal(ops.shape(mean), seed=seed)
        return mean + ops.exp(log_stddev) * noise

    def _split(self, parameters: Any) -> tuple[Tensor, Tensor]:
        mean, log_stddev = ops.split(ops.cast(parameters, "float32"), 2, axis=-1)
        return mean, self.floor + ops.softplus(log_stddev - self.floor)


class DiscretizedLogistic(Observation):
    """Levels 0, 1/(L-1), ..., 1, each with the mass of a logistic around it.

    The outermost levels include all mass beyond them (Salimans et al. 2017, section
    2.1, with one component; Kingma et al. 2016, appendix). Bits per dimension of
    8-bit images are exact under it.
    """

    num_parameters = 2
    MIN_LOG_SCALE = -7.0

    def __init__(self, num_levels: int = 256) -> None:
        if num_levels < 2:
            raise ValueError(f"num_levels must be at least 2, got {num_levels!r}.")
        self.width = 1 / (num_levels - 1)

    def log_probs(self, x: Tensor, parameters: Any) -> Tensor:
        """Log-probabilities of levels, in nats."""
        x = ops.cast(x, "float32")
        mean, log_scale = self._split(parameters)
        precision = ops.exp(-log_scale)
        upper = (x + self.width / 2 - mean) * precision
        lower = (x - self.width / 2 - mean) * precision
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b-a)), stable in
        # logs; at the ends one of the factors is 1.
        below_top = ops.cast(x < 1 - self.width / 2, "float32")
        above_bottom = ops.cast(x > self.width / 2, "float32")
        between = ops.log(-ops.expm1(-self.width * precision))
        return (
            -below_top * ops.softplus(-upper)
            - above_bottom * ops.softplus(lower)
            + below_top * above_bottom * between
        )

    def mean(self, parameters: Any) -> Tensor:
        """The location, which equals the mean except near the ends."""
        return ops.clip(self._split(parameters)[0], 0.0, 1.0)

    def sample(self, parameters: Any, seed: Any = None) -> Tensor:
        """Draws levels."""
        location, log_scale = self._split(parameters)
        tiny = 1e-5
        uniform = keras.random.uniform(ops.shape(location), tiny, 1 - tiny, seed=seed)
        logistic = ops.log(uniform) - ops.log1p(-uniform)
        x = ops.clip(location + ops.exp(log_scale) * logistic, 0.0, 1.0)
        return ops.round(x / self.width) * self.width

    def _split(self, parameters: Any) -> tuple[Tensor, Tensor]:
        mean, log_scale = ops.split(ops.cast(parameters, "float32"), 2, axis=-1)
        return mean, ops.maximum(log_scale, self.MIN_LOG_SCALE)


OBSERVATIONS = ("bernoulli", "gaussian", "learned_gaussian", "discretized_logistic")


def observation_model(name: str, stddev: float = 1.0) -> Observation:
    """The observation model called `name`; `stddev` is only for "gaussian".

    Raises:
        ValueError: the name is unknown.
    """
    match name:
        case "bernoulli":
            return Bernoulli()
        case "gaussian":
            return Gaussian(stddev)
        case "learned_gaussian":
            return LearnedGaussian()
        case "discretized_logistic":
            return DiscretizedLogistic()
        case _:
            raise ValueError(
                f"observation must be one of {OBSERVATIONS}, got {name!r}."
            )
