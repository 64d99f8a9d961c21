"""Convolutional networks that compute a coupling's parameters.

They need not be invertible. Shapes: B images, (H, W, C) of an image, F channels, K of
the condition.

Channels come last on every backend: a coupling's inputs and outputs do too, and torch
computes convolutions of such arrays without copying them.
"""

from typing import Any

import keras
from keras import layers, ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.dense import Dense
from zoo.layers.layer import Layer
from zoo.layers.norm import LayerNorm

NETWORKS = ("gated", "residual", "plain")


def concat_elu(x: Tensor) -> Tensor:
    """ELU of x and of -x, side by side: twice as many channels."""
    return ops.elu(ops.concatenate([x, -x], axis=-1))


@keras.saving.register_keras_serializable("zoo")
class GatedBlock(Layer):
    """Adds a gated convolution of the input to it (Ho et al. 2019, appendix B).

    Args:
        channels: channels of input and output.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        same = {"padding": "same", "dtype": self.dtype_policy}
        self.channels = channels
        self.expand = layers.Conv2D(channels, 3, name="expand", **same)
        self.gate = layers.Conv2D(2 * channels, 1, name="gate", **same)
        self.norm = LayerNorm(epsilon=1e-5, name="norm", dtype=self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        """Creates the weights for inputs (B, H, W, channels)."""
        doubled = (*input_shape[:-1], 2 * self.channels)
        self.expand.build(doubled)
        self.gate.build(doubled)
        self.norm.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, channels) to (B, H, W, channels)."""
        found = self.gate(concat_elu(self.expand(concat_elu(x))))
        value, gate = ops.split(found, 2, axis=-1)
        return self.norm(x + value * ops.sigmoid(gate))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape


@keras.saving.register_keras_serializable("zoo")
class ReluBlock(Layer):
    """Adds two 3 x 3 convolutions of the input to it, each after a ReLU.

    Args:
        channels: channels of input and output.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        same = {"padding": "same", "dtype": self.dtype_policy}
        self.norm = LayerNorm(epsilon=1e-5, name="norm", dtype=self.dtype_policy)
        self.first = layers.Conv2D(channels, 3, name="first", **same)
        self.second = layers.Conv2D(channels, 3, name="second", **same)

    def build(self, input_shape: Shape) -> None:
        """Creates the weights for inputs (B, H, W, channels)."""
        self.norm.build(input_shape)
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, channels) to (B, H, W, channels)."""
        return x + self.second(ops.relu(self.first(ops.relu(self.norm(x)))))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape


@keras.saving.register_keras_serializable("zoo")
class CouplingNetwork(Layer):
    """Maps images (B, H, W, C), and a condition, to parameters (B, H, W, P) in float32.

    The last convolution starts at zero, so that a coupling starts as the identity.

    Args:
        parameters: P.
        kind: "gated" (Ho et al. 2019), "residual" (as Dinh et al. 2017, with layer norm
            in place of batch norm, whose statistics would enter the likelihood) or
            "plain" (Kingma & Dhariwal 2018: 3 x 3, 1 x 1, 3 x 3).
        hidden: F.
        num_blocks: blocks between the first and the last convolution; "plain" has none.
        condition_dim: K; 0 without a condition.
    """

    def __init__(
        self,
        parameters: int,
        kind: str,
        hidden: int,
        num_blocks: int,
        condition_dim: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in NETWORKS:
            raise ValueError(f"kind must be one of {NETWORKS}, got {kind!r}.")
        self.kind, self.hidden, self.condition_dim = kind, hidden, condition_dim
        same = {"padding": "same", "dtype": self.dtype_policy}
        self.first = layers.Conv2D(hidden, 3, name="first", **same)
        self.blocks = []
        if kind == "plain":
            self.blocks.append(layers.Conv2D(hidden, 1, name="middle", **same))
        else:
            block = GatedBlock if kind == "gated" else ReluBlock
            self.blocks += [
                block(hidden, name=f"block_{index}", dtype=self.dtype_policy)
                for index in range(num_blocks)
            ]
        self.last = layers.Conv2D(
            parameters, 3, kernel_initializer="zeros", name="last", **same
        )
        self.condition = None
        if condition_dim:
            self.condition = Dense(
                hidden, use_bias=False, name="condition", dtype=self.dtype_policy
            )

    def build(self, input_shape: Shape) -> None:
        """Creates all weights for images (B, H, W, C)."""
        self.first.build(input_shape)
        inner = (*input_shape[:-1], self.hidden)
        for block in self.blocks:
            block.build(inner)
        self.last.build(
            (*inner[:-1], 2 * self.hidden) if self.kind == "gated" else inner
        )
        if self.condition is not None:
            self.condition.build((None, self.condition_dim))

    def call(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """The parameters (B, H, W, P)."""
        x = self.first(ops.cast(images, self.compute_dtype))
        if self.condition is not None:
            shift = self.condition(ops.cast(condition, self.compute_dtype))
            x = x + shift[:, None, None]
        for block in self.blocks:
            x = block(ops.relu(x)) if self.kind == "plain" else block(x)
        x = concat_elu(x) if self.kind == "gated" else ops.relu(x)
        return ops.cast(self.last(x), "float32")

    def compute_output_shape(self, input_shape: Shape, *_: Any) -> Shape:
        """The input's shape with P channels."""
        return (*input_shape[:-1], self.last.filters)
