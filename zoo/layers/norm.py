"""Layer norm (Ba et al. 2016), batch norm (Ioffe & Szegedy 2015), instance norm."""

import keras
from keras import ops

from zoo.training.engine import engine


class LayerNorm(keras.layers.LayerNormalization):
    """Keras's layer over the last axis, in the form its backend is fastest at.

    Where a compiler fuses elementwise operations, the textbook form is: Keras's, which
    folds mean and scale into one full-width offset, makes a GPT's whole step on JAX
    4 % slower. Elsewhere Keras calls the native kernel.
    """

    def call(self, x):
        """Same shape as `x`; statistics in float32."""
        if not engine().fuses:
            return super().call(x)
        x = ops.cast(x, "float32")
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        y = centred * ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            y = y * self.gamma
        if self.beta is not None:
            y = y + self.beta
        return ops.cast(y, self.compute_dtype)


class BatchNorm(keras.layers.BatchNormalization):
    """Keras's layer, with the statistics of the global batch on any number of devices.

    Where each replica runs a step of its own, they average their statistics; where a
    batch is one array over all devices, Keras's arithmetic does it by itself.
    """

    def __init__(self, **kwargs) -> None:
        kwargs.setdefault("synchronized", engine().replicas > 1)
        super().__init__(**kwargs)

    def get_config(self) -> dict:
        """Without what the devices decide."""
        config = super().get_config()
        config.pop("synchronized", None)
        return config


class InstanceNorm(keras.layers.Layer):
    """Each picture's each channel to mean 0 and variance 1 (Ulyanov et al. 2016).

    Without weights, as in style transfer; statistics in float32.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, x):
        """(B, H, W, C) to the same."""
        x = ops.cast(x, "float32")
        if engine().fuses:
            centred = x - ops.mean(x, axis=(1, 2), keepdims=True)
            variance = ops.mean(ops.square(centred), axis=(1, 2), keepdims=True)
            y = centred * ops.rsqrt(variance + self.epsilon)
            return ops.cast(y, self.compute_dtype)
        # Layer norm along the pixels of a channel, which has a native kernel.
        planes = ops.transpose(x, (0, 3, 1, 2))
        shape = ops.shape(planes)
        pixels = ops.reshape(planes, (*shape[:2], shape[2] * shape[3]))
        normed = ops.layer_normalization(pixels, epsilon=self.epsilon)
        planes = ops.reshape(normed, shape)
        return ops.cast(ops.transpose(planes, (0, 2, 3, 1)), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Unchanged."""
        return input_shape

    def get_config(self) -> dict:
        """The constructor's argument."""
        return {**super().get_config(), "epsilon": self.epsilon}
