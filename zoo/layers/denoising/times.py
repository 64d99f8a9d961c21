"""Embeddings of diffusion times, in float32 at any precision.

In 16 bits, neighbouring times would have the same embedding: bfloat16 has three
significant digits.

Shapes: B batch, F features of a time, E width of the embedding.
"""

import math
from typing import Any, Literal, get_args

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.dense import Dense
from zoo.layers.embeddings import sinusoids
from zoo.layers.initializers import Normal
from zoo.layers.layer import Layer

TimeFeatures = Literal["sinusoidal", "fourier"]


@keras.saving.register_keras_serializable("zoo")
class TimeEmbedding(Layer):
    """Sines and cosines of times, then two dense layers with a SiLU between them.

    "sinusoidal" features have fixed geometric frequencies (Ho et al. 2020, appendix B);
    "fourier" features have random ones that are not trained (Song et al. 2021,
    appendix C).

    Args:
        width: F, even.
        units: E.
        features: "sinusoidal" or "fourier".
        scale: factor of the times before sinusoidal features, which tell whole numbers
            from 0 to about 1000 apart; standard deviation of the Fourier frequencies,
            in periods per unit of time.
        initializer: initializer of the matrices.

    Raises:
        ValueError: the arguments are out of range.
    """

    def __init__(
        self,
        width: int,
        units: int,
        features: str = "sinusoidal",
        scale: float = 1000.0,
        initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        # Times must not be cast to 16 bits on their way in.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if width < 2 or width % 2:
            raise ValueError(
                f"Sines and cosines come in pairs: width must be even, got {width}."
            )
        if features not in get_args(TimeFeatures):
            raise ValueError(
                f"features must be one of {get_args(TimeFeatures)}, got {features!r}."
            )
        self.width, self.units = width, units
        self.features, self.scale = features, scale
        make = {"kernel_initializer": initializer, "dtype": "float32"}
        self.expand = Dense(units, name="expand", **make)
        self.contract = Dense(units, name="contract", **make)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the weights."""
        if self.features == "fourier":
            self.frequencies = self.add_weight(
                name="frequencies",
                shape=(self.width // 2,),
                initializer=Normal(self.scale),
                trainable=False,
            )
        self.expand.build((None, self.width))
        self.contract.build((None, self.units))

    def call(self, times: Tensor) -> Tensor:
        """Maps times (B,) to embeddings (B, E), float32."""
        times = ops.cast(times, "float32")
        if self.features == "fourier":
            angles = 2 * math.pi * times[:, None] * self.frequencies
            x = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        else:
            x = sinusoids(self.scale * times, self.width)
        return self.contract(ops.silu(self.expand(x)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape (B, E)."""
        return (input_shape[0], self.units)


def conditioned(
    embedding: Tensor, projection: Dense | None, condition: Tensor | None
) -> Tensor:
    """Adds a projected condition (B, D) to time embeddings (B, E).

    Raises:
        ValueError: there is a condition, but no projection for it.
    """
    if condition is None:
        return embedding
    if projection is None:
        raise ValueError(
            "The network was given a condition and has none: set condition_dim, or "
            "leave the condition out."
        )
    return embedding + projection(condition)
