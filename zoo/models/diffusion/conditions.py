"""What a diffusion model is told to draw: a class or a text, as one vector.

One further class, and the empty text, stand for "anything": they are what an image's
condition is replaced by when it is dropped in training (Ho & Salimans 2022, algorithm
1), so that one network learns both sides of classifier-free guidance.

Shapes: B images, L tokens, D width, K classes, V vocabulary.
"""

from typing import Any

import keras
from keras import layers, ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.attention.transformer import TransformerBlock
from zoo.layers.dense import Dense
from zoo.layers.initializers import Normal
from zoo.layers.layer import Layer
from zoo.layers.norm import LayerNorm


@keras.saving.register_keras_serializable("zoo")
class ClassCondition(Layer):
    """Embeds classes (B,), and no class, as vectors (B, D).

    Args:
        num_classes: K; class K stands for no class.
        width: D.
    """

    def __init__(self, num_classes: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nothing = num_classes
        self.table = layers.Embedding(
            num_classes + 1, width, Normal(1.0), name="table", dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the table."""
        self.table.build()

    def call(self, labels: Tensor, training: bool = False) -> Tensor:
        """Maps classes (B,) to vectors (B, D)."""
        del training
        return self.table(labels)


@keras.saving.register_keras_serializable("zoo")
class TextCondition(Layer):
    """Encodes token ids (B, L) as vectors (B, D): a transformer and a mean over tokens.

    Args:
        vocab_size: V; id V is padding, and a text of nothing else stands for any.
        length: L.
        width: D.
        num_layers: blocks of the transformer.
        num_heads: attention heads.
    """

    def __init__(
        self,
        vocab_size: int,
        length: int,
        width: int,
        num_layers: int,
        num_heads: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.nothing, self.length, self.width = vocab_size, length, width
        self.tokens = layers.Embedding(
            vocab_size + 1, width, Normal(1.0), name="tokens", **dtype
        )
        self.blocks = [
            TransformerBlock(
                num_heads,
                width,
                2 * width,
                activation="gelu",
                name=f"block_{index}",
                **dtype,
            )
            for index in range(num_layers)
        ]
        self.norm = LayerNorm(name="norm", **dtype)
        self.output_dense = Dense(width, name="output", **dtype)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates all parts."""
        shape = (None, self.length, self.width)
        self.tokens.build()
        self.positions = self.add_weight(
            name="positions", shape=(self.length, self.width), initializer=Normal(0.1)
        )
        for block in self.blocks:
            block.build(shape)
        self.norm.build(shape)
        self.output_dense.build((None, self.width))

    def call(self, token_ids: Tensor, training: bool = False) -> Tensor:
        """Maps token ids (B, L) to vectors (B, D)."""
        real = token_ids != self.nothing  # (B, L)
        # Of the empty text, all padding is seen: a row without keys would be NaN.
        seen = ops.logical_or(real, ops.logical_not(ops.any(real, -1, keepdims=True)))
        x = self.tokens(token_ids)
        x = x + ops.cast(self.positions, x.dtype)
        for block in self.blocks:
            x = block(x, attention_mask=seen[:, None, :], training=training)
        share = ops.cast(seen, "float32")
        share = share / ops.sum(share, axis=-1, keepdims=True)
        x = ops.cast(self.norm(x), "float32")
        return self.output_dense(ops.sum(x * share[..., None], axis=1))
