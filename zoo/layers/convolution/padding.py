"""Reflection padding of images."""

from typing import Any

import keras

from zoo.engine.current import engine
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.convolution.image_format import CHANNELS_LAST, spatial_axes
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class ReflectionPadding(Layer):
    """Adds `size` rows and columns on each side, mirrored at the border pixels.

    Avoids the border artefacts that zero padding causes in generated images (Johnson et
    al. 2016, supplementary material).

    Args:
        size: rows and columns to add on each side.
        data_format: "channels_last" or "channels_first".
    """

    def __init__(
        self, size: int, data_format: str = CHANNELS_LAST, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.data_format = size, data_format

    def call(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, C) to (B, H + 2 size, W + 2 size, C); H and W above `size`."""
        return engine().reflect(x, self.size, spatial_axes(self.data_format))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with known sides larger by twice `size`."""
        grown = list(input_shape)
        for axis in spatial_axes(self.data_format):
            grown[axis] = grown[axis] and grown[axis] + 2 * self.size
        return tuple(grown)
