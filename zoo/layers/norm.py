"""Normalisation: layer, root mean square, batch, instance and group norm.

Ba et al. 2016, Zhang & Sennrich 2019, Ioffe & Szegedy 2015, Ulyanov et al. 2016, Wu &
He 2018.
"""

from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.convolution.image_format import CHANNELS_LAST
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class LayerNorm(keras.layers.LayerNormalization):
    """Keras's layer over the last axis, in the form that is fastest on the backend.

    If a compiler fuses elementwise operations, that is the textbook form: Keras's,
    which folds mean and scale into one full-width offset, makes a GPT's whole step on
    JAX 4 % slower. Otherwise Keras calls the native kernel.
    """

    def call(self, x: Tensor) -> Tensor:
        """Normalises `x` over its last axis; statistics in float32."""
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


@keras.saving.register_keras_serializable("zoo")
class RMSNorm(keras.layers.RMSNormalization):
    """Divides by the root of the mean square, over the last axis (Zhang & Sennrich).

    Like `LayerNorm`, without mean and offset, in the form that is fastest.
    """

    def call(self, x: Tensor) -> Tensor:
        """Normalises `x` over its last axis; statistics in float32."""
        x = ops.cast(x, "float32")
        scale = ops.cast(self.scale, "float32")
        if engine().fuses:
            square = ops.mean(ops.square(x), axis=-1, keepdims=True)
            y = x * ops.rsqrt(square + self.epsilon) * scale
        else:
            y = ops.rms_normalization(x, scale, axis=-1, epsilon=self.epsilon)
        return ops.cast(y, self.compute_dtype)


NORMS = ("layer", "rms")


def token_norm(kind: str, epsilon: float, use_bias: bool, **kwargs: Any) -> Any:
    """The norm of a token's vector.

    Args:
        kind: one of `NORMS`.
        epsilon: added to the variance, or to the mean square.
        use_bias: whether a layer norm has an offset; an RMS norm never does.
        kwargs: name and precision.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind == "rms":
        return RMSNorm(epsilon=epsilon, **kwargs)
    if kind == "layer":
        return LayerNorm(epsilon=epsilon, center=use_bias, **kwargs)
    raise ValueError(f"norm must be one of {NORMS}, got {kind!r}.")


@keras.saving.register_keras_serializable("zoo")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras's layer, with the statistics of the global batch on any number of devices.

    If each replica runs a step of its own, they average their statistics; if a batch is
    one array over all devices, Keras's arithmetic already uses the whole batch.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("synchronized", engine().replicas > 1)
        super().__init__(**kwargs)

    def get_config(self) -> dict:
        """The configuration without `synchronized`, which depends on the devices."""
        config = super().get_config()
        config.pop("synchronized", None)
        return config


@keras.saving.register_keras_serializable("zoo")
class InstanceNorm(Layer):
    """Scales each channel of each image to mean 0, variance 1 (Ulyanov et al. 2016).

    Without weights, as in style transfer; statistics in float32.

    Args:
        epsilon: added to the variance.
        data_format: "channels_last" or "channels_first".
    """

    def __init__(
        self, epsilon: float = 1e-5, data_format: str = CHANNELS_LAST, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon, self.data_format = epsilon, data_format

    def call(self, x: Tensor) -> Tensor:
        """Normalises (B, H, W, C), or (B, C, H, W) with channels first."""
        x = ops.cast(x, "float32")
        if self.data_format == CHANNELS_LAST:
            centred = x - ops.mean(x, axis=(1, 2), keepdims=True)
            variance = ops.mean(ops.square(centred), axis=(1, 2), keepdims=True)
            y = centred * ops.rsqrt(variance + self.epsilon)
        else:
            # Layer norm over a channel's pixels, which has a native kernel.
            shape = ops.shape(x)
            pixels = ops.reshape(x, (*shape[:2], shape[2] * shape[3]))
            y = ops.layer_normalization(pixels, epsilon=self.epsilon)
            y = ops.reshape(y, shape)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape


@keras.saving.register_keras_serializable("zoo")
class GroupNorm(Layer):
    """Scales groups of an image's channels to mean 0, variance 1 (Wu & He 2018).

    Then a gain and an offset per channel; statistics in float32 at any precision.

    Args:
        groups: number of groups, a divisor of the channels.
        epsilon: added to the variance.
        data_format: "channels_last" or "channels_first".
    """

    def __init__(
        self,
        groups: int = 32,
        epsilon: float = 1e-5,
        data_format: str = CHANNELS_LAST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.groups, self.epsilon = groups, epsilon
        self.data_format = data_format

    def build(self, input_shape: Shape) -> None:
        """Creates gain and offset, (C,) in float32.

        Raises:
            ValueError: the groups do not divide the channels.
        """
        axis = -1 if self.data_format == CHANNELS_LAST else 1
        channels = input_shape[axis]
        if channels is None or self.groups < 1 or channels % self.groups:
            raise ValueError(
                "Group norm needs a number of channels that is a multiple of groups="
                f"{self.groups}, got shape {tuple(input_shape)}."
            )
        make = {"shape": (channels,), "dtype": "float32", "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **make)
        self.beta = self.add_weight(name="beta", initializer="zeros", **make)

    def call(self, x: Tensor) -> Tensor:
        """Normalises (B, H, W, C), or (B, C, H, W) with channels first."""
        x = ops.cast(x, "float32")
        first = self.data_format != CHANNELS_LAST
        if first:
            x = ops.transpose(x, (0, 2, 3, 1))
        gamma, beta = (ops.convert_to_tensor(w) for w in (self.gamma, self.beta))
        y = engine().group_norm(x, self.groups, gamma, beta, self.epsilon)
        if first:
            y = ops.transpose(y, (0, 3, 1, 2))
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape
