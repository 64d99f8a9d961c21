"""Token embeddings, tied output heads, and positions.

Shapes: B batch, T tokens, D width, V vocabulary.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class TokenEmbedding(Layer):
    """Embeddings of token ids and, with `logits`, the tied output head.

    The tied head is that of Press & Wolf 2017: scores are products with the same
    vectors.

    Args:
        vocab_size: V.
        width: D.
        initializer: initializer of the table.
    """

    def __init__(
        self, vocab_size: int, width: int, initializer: Any, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.vocab_size, self.width = vocab_size, width
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the (V, D) table."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocab_size, self.width),
            initializer=self.initializer,
        )

    def call(self, token_ids: Tensor) -> Tensor:
        """Maps ids (B, T) to vectors (B, T, D)."""
        if "uint" in ops.dtype(token_ids):
            token_ids = ops.cast(token_ids, "int32")  # TensorFlow takes no unsigned ids
        return ops.cast(
            ops.take(self.embeddings, token_ids, axis=0), self.compute_dtype
        )

    def logits(self, x: Tensor) -> Tensor:
        """Maps vectors (..., D) to scores (..., V) in float32."""
        table = ops.transpose(ops.cast(self.embeddings, x.dtype))
        scores = ops.matmul(ops.reshape(x, (-1, self.width)), table)
        scores = ops.reshape(scores, (-1, *ops.shape(x)[1:-1], self.vocab_size))
        return ops.cast(scores, "float32")


@keras.saving.register_keras_serializable("zoo")
class LearnedPositions(Layer):
    """One learned vector per position, added to the input (Gehring et al. 2017)."""

    def __init__(
        self, length: int, width: int, initializer: Any, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.length, self.width = length, width
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the (length, D) table."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.length, self.width),
            initializer=self.initializer,
        )

    def call(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Adds positions 0 … T-1, or those given as (B, T) or (T,), to (B, T, D)."""
        if positions is None:
            rows = self.embeddings[: ops.shape(x)[1]]
        else:
            rows = ops.take(self.embeddings, positions, axis=0)
        return x + ops.cast(rows, x.dtype)


@keras.saving.register_keras_serializable("zoo")
class SinusoidalPositions(Layer):
    """Sines and cosines of geometric frequencies (Vaswani et al. 2017, section 3.5)."""

    def __init__(self, length: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if width % 2:
            raise ValueError(
                f"Sinusoidal positions come in pairs: width must be even, got {width}."
            )
        self.length, self.width = length, width
        angles = np.arange(length)[:, None] * geometric_frequencies(width)[None, :]
        table = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
        self.table = table.reshape(length, width).astype("float32")
        self.built = True

    def call(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Adds positions 0 … T-1, or those given as (B, T) or (T,), to (B, T, D)."""
        if positions is None:
            rows = ops.convert_to_tensor(self.table)[: ops.shape(x)[1]]
            return x + ops.cast(rows, x.dtype)
        rows = ops.take(ops.convert_to_tensor(self.table), positions, axis=0)
        return x + ops.cast(rows, x.dtype)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of positions (M,), float32 (M, D) (Dai et al. 2019)."""
    frequencies = ops.convert_to_tensor(geometric_frequencies(width), "float32")
    angles = ops.cast(positions, "float32")[:, None] * frequencies
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def geometric_frequencies(width: int) -> np.ndarray:
    """The frequencies of sines and cosines of `width` features, (width / 2,)."""
    return np.exp(-math.log(10000.0) * np.arange(0, width, 2) / width)
