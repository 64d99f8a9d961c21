"""Padding of pictures by their own mirror image."""

import keras
from keras import ops

from zoo.training.engine import engine


class ReflectionPadding(keras.layers.Layer):
    """Adds `size` rows and columns on each side, mirrored at the border's pixels.

    Against the dark rims that zeros leave on what convolutions draw (Johnson et al.
    2016, supplementary material).
    """

    def __init__(self, size: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, x):
        """(B, H, W, C) to (B, H + 2 size, W + 2 size, C); H and W above `size`."""
        added, none = (self.size, self.size), (0, 0)
        if engine().fuses:
            return ops.pad(x, (none, added, added, none), mode="reflect")
        # The native convolution's order, in which the padded picture is used next.
        planes = ops.transpose(x, (0, 3, 1, 2))
        planes = ops.pad(planes, (none, none, added, added), mode="reflect")
        return ops.transpose(planes, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape):
        """Larger by twice `size`; sides that are not known stay so."""
        batch, *sides, channels = input_shape
        grown = (side and side + 2 * self.size for side in sides)
        return (batch, *grown, channels)

    def get_config(self) -> dict:
        """The constructor's argument."""
        return {**super().get_config(), "size": self.size}
