"""Padding of pictures by their own mirror image."""

import keras

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
        return engine().reflect(x, self.size)

    def compute_output_shape(self, input_shape):
        """Larger by twice `size`; sides that are not known stay so."""
        batch, *sides, channels = input_shape
        grown = (side and side + 2 * self.size for side in sides)
        return (batch, *grown, channels)

    def get_config(self) -> dict:
        """The constructor's argument."""
        return {**super().get_config(), "size": self.size}
