"""Initial weights of transformers."""

import math
from typing import Any

import keras

from zoo.engine.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("zoo")
class Normal(keras.initializers.Initializer):
    """Normal weights with mean 0, drawn anew at each call.

    One Keras `RandomNormal` gives two kernels of the same shape the same values; this
    one can be shared. It follows `keras.utils.set_random_seed`.

    Args:
        stddev: standard deviation.
    """

    def __init__(self, stddev: float) -> None:
        self.stddev = stddev

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        """An array of `shape`."""
        return keras.initializers.RandomNormal(stddev=self.stddev)(shape, dtype=dtype)

    def get_config(self) -> dict:
        """The constructor's argument."""
        return {"stddev": self.stddev}


@keras.saving.register_keras_serializable("zoo")
class TruncatedNormal(Normal):
    """`Normal`, redrawn beyond two standard deviations, as in BERT."""

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        """An array of `shape`."""
        draw = keras.initializers.TruncatedNormal(stddev=self.stddev)
        return draw(shape, dtype=dtype)


def residual(stddev: float, num_layers: int) -> Normal:
    """For the last matrix of a residual path: scaled by 1/sqrt(2·layers).

    Each layer adds two paths to the residual stream; with this scale, its variance at
    the top does not grow with depth (GPT-2, Radford et al. 2019, section 2.3).
    """
    return Normal(stddev / math.sqrt(2 * num_layers))
