"""Diagonal Gaussian latents: reparameterised samples, KL divergence and density.

Shapes: ... leading axes, L latent dimensions. All arithmetic is in float32, since the
exponentials exceed float16's range.
"""

import math
from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.dense import Dense
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class DiagonalGaussian(Layer):
    """Maps features (..., F) to mean and log-variance, (..., L) each, in float32.

    Args:
        latent_dim: L.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean = Dense(latent_dim, name="mean", dtype=self.dtype_policy)
        self.log_variance = Dense(
            latent_dim, name="log_variance", dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        """Creates the weights of both dense layers."""
        self.mean.build(input_shape)
        self.log_variance.build(input_shape)
        self.built = True

    def call(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | features)."""
        mean, log_variance = self.mean(features), self.log_variance(features)
        return ops.cast(mean, "float32"), ops.cast(log_variance, "float32")


def reparameterised(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """The sample mean + stddev · noise (Kingma & Welling 2014, section 2.4)."""
    return mean + ops.exp(0.5 * log_variance) * noise


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) in nats, per dimension (..., L).

    Kingma & Welling 2014, appendix B, before the sum.
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)


def standard_normal_log_prob(x: Tensor) -> Tensor:
    """Log-density in nats, summed over the last axis, from (..., L) to (...,)."""
    return ops.sum(-0.5 * ops.square(x) - 0.5 * math.log(2 * math.pi), axis=-1)
