"""Squeezing pixels into channels (Dinh et al. 2017, section 3.6)."""

from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.invertible.bijection import Bijection


@keras.saving.register_keras_serializable("zoo")
class Squeeze(Bijection):
    """Makes 2 x 2 pixels one with four times the channels; the log-determinant is 0.

    The channels of the upper left pixel come first, then those of the upper right, the
    lower left and the lower right.
    """

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Maps (B, H, W, C) to (B, H/2, W/2, 4·C)."""
        return squeezed(x), ops.zeros_like(x[:, 0, 0, 0])

    def inverse(
        self,
        y: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
    ) -> Tensor:
        """Maps (B, H/2, W/2, 4·C) to (B, H, W, C)."""
        return unsqueezed(y)

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Any:
        """The squeezed shape, and one log-determinant per example."""
        batch, height, width, channels = input_shape
        return (batch, height // 2, width // 2, 4 * channels), (batch,)


def squeezed(x: Tensor) -> Tensor:
    """Maps (B, H, W, C) to (B, H/2, W/2, 4·C)."""
    height, width, channels = x.shape[1:]
    x = ops.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))


def unsqueezed(x: Tensor) -> Tensor:
    """Maps (B, H, W, 4·C) to (B, 2·H, 2·W, C)."""
    height, width, channels = x.shape[1:]
    x = ops.reshape(x, (-1, height, width, 2, 2, channels // 4))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, 2 * height, 2 * width, channels // 4))
