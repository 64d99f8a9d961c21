"""The block of diffusion transformers: adaLN-Zero (Peebles & Xie 2023, section 3.2).

Shapes: B batch, T tokens, D width, F feed-forward width, E embedding width.
"""

from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.attention.multi_head import MultiHeadAttention
from zoo.layers.attention.transformer import FeedForward
from zoo.layers.dense import Dense
from zoo.layers.layer import Layer
from zoo.layers.norm import LayerNorm


@keras.saving.register_keras_serializable("zoo")
class AdaptiveNorm(Layer):
    """Layer norm whose scale and shift, per example, come from an embedding.

    With gates, the embedding also gives the factors of the residual paths that follow.
    All start at zero: the norm at first as a plain one, gated paths as nothing.

    Args:
        width: D.
        gated: whether there is a gate.
        epsilon: added to the variance.
    """

    def __init__(
        self, width: int, gated: bool = False, epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.parts = 3 if gated else 2
        self.norm = LayerNorm(
            epsilon=epsilon,
            center=False,
            scale=False,
            name="norm",
            dtype=self.dtype_policy,
        )
        self.modulation = Dense(
            self.parts * width,
            kernel_initializer="zeros",
            name="modulation",
            dtype=self.dtype_policy,
        )

    def build(self, x_shape: Shape, embedding_shape: Shape) -> None:
        """Creates the weights for inputs (B, T, D) and embeddings (B, E)."""
        self.norm.build(x_shape)
        self.modulation.build(embedding_shape)

    def call(self, x: Tensor, embedding: Tensor) -> Any:
        """Normalises (B, T, D) with embeddings (B, E); with a gate, returns it too.

        The gate is (B, 1, D).
        """
        given = self.modulation(embedding)[:, None, :]
        shift, scale, *gate = ops.split(given, self.parts, axis=-1)
        y = self.norm(x) * (1 + scale) + shift
        return (y, *gate) if gate else y

    def compute_output_shape(self, x_shape: Shape, *_: Any, **__: Any) -> Any:
        """The shape of `x`, and of the gate."""
        gate = (x_shape[0], 1, x_shape[-1])
        return (x_shape, gate) if self.parts == 3 else x_shape


@keras.saving.register_keras_serializable("zoo")
class AdaptiveBlock(Layer):
    """Attention and feed-forward, each normed and gated by an embedding.

    Args:
        num_heads: heads, a divisor of `width`.
        width: D.
        hidden_width: F.
    """

    def __init__(
        self, num_heads: int, width: int, hidden_width: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        dtype = {"dtype": self.dtype_policy}
        self.attention_norm = AdaptiveNorm(width, True, name="attention_norm", **dtype)
        self.attention = MultiHeadAttention(num_heads, width, name="attention", **dtype)
        self.feed_forward_norm = AdaptiveNorm(
            width, True, name="feed_forward_norm", **dtype
        )
        self.feed_forward = FeedForward(
            width, hidden_width, activation="gelu_tanh", name="feed_forward", **dtype
        )

    def build(self, x_shape: Shape, embedding_shape: Shape) -> None:
        """Creates the weights for inputs (B, T, D) and embeddings (B, E)."""
        shape = (None, None, self.width)
        for norm in (self.attention_norm, self.feed_forward_norm):
            norm.build(shape, embedding_shape)
        self.attention.build(shape)
        self.feed_forward.build(shape)

    def call(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Maps (B, T, D) to (B, T, D).

        Args:
            x: tokens.
            embedding: (B, E), already activated, since all blocks share it.
        """
        y, gate = self.attention_norm(x, embedding)
        x = x + gate * engine().by_rows(self.attention(y))
        y, gate = self.feed_forward_norm(x, embedding)
        return x + gate * engine().by_rows(self.feed_forward(y))

    def compute_output_shape(self, x_shape: Shape, *_: Any, **__: Any) -> Shape:
        """The shape of `x`."""
        return x_shape
