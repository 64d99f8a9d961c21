"""Parts of U-Nets for diffusion: a residual block that knows the time, and attention.

Shapes: B images, (H, W) of an image, C channels, E width of the embedding.
"""

from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.attention.multi_head import MultiHeadAttention
from zoo.layers.convolution.convolution import Convolution
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.layer import Layer
from zoo.layers.norm import GroupNorm


@keras.saving.register_keras_serializable("zoo")
class TimedResidualBlock(Layer):
    """Two convolutions, each after group norm and SiLU, added to the input.

    Between them the embedding of the time, and of whatever else conditions, comes in:
    added to the features (Ho et al. 2020), or as scale and shift of the second norm's
    output (Dhariwal & Nichol 2021, section 3.1). The second convolution starts at zero,
    and so the block as the identity or, if channels change, as a 1 x 1 convolution.

    Args:
        channels: channels of the output.
        groups: groups of the norms.
        scale_shift: whether the embedding scales and shifts instead of being added.
        dropout: dropout rate before the second convolution.
    """

    def __init__(
        self,
        channels: int,
        *,
        groups: int = 32,
        scale_shift: bool = True,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels, self.scale_shift = channels, scale_shift
        dtype = {"dtype": self.dtype_policy}
        self.first_norm = GroupNorm(groups, name="first_norm", **dtype)
        self.first = Convolution(channels, 3, padding="same", name="first", **dtype)
        self.embedding = Dense(
            2 * channels if scale_shift else channels, name="embedding", **dtype
        )
        self.second_norm = GroupNorm(groups, name="second_norm", **dtype)
        self.dropout = Dropout(dropout, name="dropout", **dtype)
        self.second = Convolution(
            channels,
            3,
            padding="same",
            kernel_initializer="zeros",
            name="second",
            **dtype,
        )
        self.shortcut: keras.Layer | None = None

    def build(self, x_shape: Shape, embedding_shape: Shape) -> None:
        """Creates all weights for inputs (B, H, W, C) and embeddings (B, E)."""
        inner = (*x_shape[:-1], self.channels)
        self.first_norm.build(x_shape)
        self.first.build(x_shape)
        self.embedding.build(embedding_shape)
        self.second_norm.build(inner)
        self.second.build(inner)
        if x_shape[-1] != self.channels:
            # A matrix product, which is what a 1 x 1 convolution is.
            self.shortcut = Dense(
                self.channels, name="shortcut", dtype=self.dtype_policy
            )
            self.shortcut.build(x_shape)

    def call(self, x: Tensor, embedding: Tensor, training: bool = False) -> Tensor:
        """Maps (B, H, W, C) to (B, H, W, channels).

        Args:
            x: feature maps.
            embedding: (B, E), already activated, since all blocks share it.
            training: whether to apply dropout.
        """
        h = self.first(ops.silu(self.first_norm(x)))
        given = self.embedding(embedding)[:, None, None, :]
        if self.scale_shift:
            scale, shift = ops.split(given, 2, axis=-1)
            h = self.second_norm(h) * (1 + scale) + shift
        else:
            h = self.second_norm(h + given)
        h = self.second(self.dropout(ops.silu(h), training=training))
        return h + (x if self.shortcut is None else self.shortcut(x))

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Shape:
        """The shape (B, H, W, channels)."""
        return (*input_shape[:-1], self.channels)


@keras.saving.register_keras_serializable("zoo")
class ImageAttention(Layer):
    """Self-attention between all pixels of a feature map, added to it.

    After group norm, as in Ho et al. 2020; the output projection starts at zero.

    Args:
        num_heads: heads, a divisor of `channels`.
        channels: C.
        groups: groups of the norm.
    """

    def __init__(
        self, num_heads: int, channels: int, *, groups: int = 32, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.norm = GroupNorm(groups, name="norm", dtype=self.dtype_policy)
        self.attention = MultiHeadAttention(
            num_heads,
            channels,
            output_initializer="zeros",
            name="attention",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Shape) -> None:
        """Creates all weights for inputs (B, H, W, C)."""
        self.norm.build(input_shape)
        self.attention.build((None, None, self.channels))

    def call(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, C) to (B, H, W, C)."""
        _, height, width, channels = ops.shape(x)
        pixels = ops.reshape(self.norm(x), (-1, height * width, channels))
        attended = self.attention(pixels)
        return x + ops.reshape(attended, (-1, height, width, channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape
