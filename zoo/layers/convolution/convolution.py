"""A convolution that adds its bias in the backend's own kernel."""

from typing import Any

import keras

from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.convolution.image_format import CHANNELS_LAST


@keras.saving.register_keras_serializable("zoo")
class Convolution(keras.layers.Conv2D):
    """Keras's `Conv2D`, without its copies on torch.

    There, Keras's layer reorders channels-last images in memory and back again, and
    adds the bias in a pass of its own. Other arguments than padding="same",
    channels last and one group go to Keras.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Maps (B, H, W, C) to (B, H / stride, W / stride, filters), rounded up."""
        plain = (self.padding, self.groups, self.data_format, {*self.dilation_rate})
        if plain != ("same", 1, CHANNELS_LAST, {1}):
            return super().call(inputs)
        bias: Any = self.bias if self.use_bias else None
        y = engine().convolution(inputs, self.kernel, bias, self.strides)
        return y if self.activation is None else self.activation(y)
