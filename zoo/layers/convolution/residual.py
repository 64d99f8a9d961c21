"""A residual block of convolutions (He et al. 2016)."""

from typing import Any

import keras
from keras import layers, ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class ResidualBlock(Layer):
    """Adds two convolutions of the input to it: 3 x 3, then 1 x 1.

    A ReLU precedes each (van den Oord et al. 2017, section 4.1), so the skip connection
    is an identity.

    Args:
        channels: channels of input and output.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        same = {"padding": "same", "dtype": self.dtype_policy}
        self.expand = layers.Conv2D(channels, 3, name="expand", **same)
        self.contract = layers.Conv2D(channels, 1, name="contract", **same)

    def build(self, input_shape: Shape) -> None:
        """Creates both convolutions for inputs (B, H, W, channels).

        Raises:
            ValueError: the input has another number of channels.
        """
        if input_shape[-1] != self.channels:
            raise ValueError(
                f"The input of a residual block must have {self.channels} channels, "
                f"got shape {tuple(input_shape)}."
            )
        self.expand.build(input_shape)
        self.contract.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, channels) to (B, H, W, channels)."""
        return x + self.contract(ops.relu(self.expand(ops.relu(x))))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape
