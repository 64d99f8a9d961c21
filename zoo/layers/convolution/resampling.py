"""Layers that halve and double the sides of images, each with a 3 x 3 convolution.

Shapes: B images, (H, W) of an image, C channels.
"""

from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.convolution.convolution import Convolution
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class Downsampling(Layer):
    """Halves an image's sides with a convolution of stride 2.

    Args:
        channels: channels of the output.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.convolution = Convolution(
            channels, 3, 2, "same", name="convolution", dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        """Creates the convolution's weights."""
        self.convolution.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, C) to (B, H/2, W/2, channels), rounded up."""
        return self.convolution(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape (B, H/2, W/2, channels)."""
        halved = [side and -(-side // 2) for side in input_shape[1:3]]
        return (input_shape[0], *halved, self.channels)


@keras.saving.register_keras_serializable("zoo")
class Upsampling(Layer):
    """Doubles an image's sides by repeating pixels; a convolution follows.

    Unlike transposed convolutions, this leaves no checkerboard (Odena et al. 2016).

    Args:
        channels: channels of the output.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.convolution = Convolution(
            channels, 3, 1, "same", name="convolution", dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        """Creates the convolution's weights."""
        self.convolution.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, C) to (B, 2 H, 2 W, channels)."""
        return self.convolution(doubled(x))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape (B, 2 H, 2 W, channels)."""
        grown = [side and 2 * side for side in input_shape[1:3]]
        return (input_shape[0], *grown, self.channels)


def doubled(x: Tensor) -> Tensor:
    """Repeats each pixel in both directions: (B, H, W, C) to (B, 2 H, 2 W, C)."""
    _, height, width, channels = ops.shape(x)
    # Copies side by side and a reshape: torch sums the gradient of a repetition slowly.
    x = ops.concatenate([x, x], axis=3)
    x = ops.reshape(x, (-1, height, 2 * width * channels))
    x = ops.concatenate([x, x], axis=2)
    return ops.reshape(x, (-1, 2 * height, 2 * width, channels))
