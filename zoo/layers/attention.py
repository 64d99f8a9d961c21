"""Multi-head attention (Vaswani et al. 2017, section 3.2.2).

Shapes: B batch, T queries, S keys, D width, N heads, H head width (D = N·H).
"""

import math

import keras
from keras import ops

from zoo.layers.dense import Dense, HeadsDense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import rotate
from zoo.training.engine import engine


def check_heads(width: int, num_heads: int) -> None:
    """Raises unless the heads divide the width."""
    if num_heads < 1 or width % num_heads:
        raise ValueError(
            f"width must be a multiple of num_heads. Received: width={width}, "
            f"num_heads={num_heads}. Nearest widths: "
            f"{width // max(num_heads, 1) * num_heads} and "
            f"{(width // max(num_heads, 1) + 1) * num_heads}."
        )


class MultiHeadAttention(keras.layers.Layer):
    """Self-attention or, given a context, cross-attention; causal, padded, cached.

    Queries, keys and values of one input come from one product.
    """

    def __init__(
        self,
        num_heads: int,
        width: int,
        *,
        causal: bool = False,
        cross: bool = False,
        rotary: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        initializer="glorot_uniform",
        output_initializer=None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_heads(width, num_heads)
        self.num_heads, self.width = num_heads, width
        self.head_width = width // num_heads
        self.causal, self.cross, self.rotary = causal, cross, rotary
        dense = {"use_bias": use_bias, "dtype": self.dtype_policy}
        make = {"kernel_initializer": initializer, **dense}

        def heads(*parts):
            name = "_".join(parts)
            return HeadsDense(parts, num_heads, self.head_width, name=name, **make)

        if cross:
            self.query = heads("query")
            self.key_value = heads("key", "value")
        else:
            self.query_key_value = heads("query", "key", "value")
        self.output_projection = Dense(
            width,
            name="output",
            kernel_initializer=output_initializer or initializer,
            **dense,
        )
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, input_shape) -> None:
        """Makes the projections for inputs (B, T, D)."""
        shape = (None, None, self.width)
        projections = (
            (self.query, self.key_value) if self.cross else (self.query_key_value,)
        )
        for projection in (*projections, self.output_projection):
            projection.build(shape)

    def call(
        self,
        x_BTD,
        context_BSD=None,
        attention_mask=None,
        positions=None,
        cache=None,
        index=None,
        training: bool = False,
        seed=None,
    ):
        """Attends from `x_BTD`, to itself or to `context_BSD`.

        Args:
            x_BTD: the queries' input.
            context_BSD: the keys' and values' input; only where `cross`.
            attention_mask: booleans that broadcast to (B, T, S), True where to look.
                Comes on top of causality; with a cache it is the whole truth.
            positions: (T,) or (B, T), for rotary positions; default 0 … T-1.
            cache: a pair of (B, S, N, H) arrays, keys and values seen so far; where
                `cross`, those of the whole context, from `keys_values`.
            index: where in the cache these T tokens go.
            training: whether to drop.
            seed: a seed drawn beforehand.

        Returns:
            (B, T, D), and the new cache as a second value where one was given and the
            attention is to itself.
        """
        q_BTNH, k_BSNH, v_BSNH = self._project(x_BTD, context_BSD, cache)
        if self.cross:
            cache = None
        if self.rotary:
            if positions is None:
                positions = ops.arange(x_BTD.shape[1])
            q_BTNH, k_BSNH = rotate(q_BTNH, positions), rotate(k_BSNH, positions)
        causal = self.causal
        if cache is not None:
            k_BSNH = engine().write(cache[0], k_BSNH, index)
            v_BSNH = engine().write(cache[1], v_BSNH, index)
            cache, causal = (k_BSNH, v_BSNH), False
        attended = engine().attention(
            q_BTNH,
            k_BSNH,
            v_BSNH,
            mask=None if attention_mask is None else ops.expand_dims(attention_mask, 1),
            is_causal=causal,
        )
        attended_BTD = ops.reshape(attended, (-1, x_BTD.shape[1], self.width))
        out = self.output_projection(attended_BTD)
        out = self.dropout(out, training=training, seed=seed)
        return out if cache is None else (out, cache)

    def keys_values(self, context_BSD):
        """Of a cross-attention's context: what does not change from token to token."""
        return self.key_value.heads(context_BSD)

    def probabilities(self, x_BTD, context_BSD, attention_mask=None):
        """How much each query of a cross-attention looks at each key, (B, N, T, S)."""
        q_BTNH, k_BSNH, _ = self._project(x_BTD, context_BSD)
        scores = ops.einsum("btnh,bsnh->bnts", q_BTNH, k_BSNH)
        scores = ops.cast(scores, "float32") / math.sqrt(self.head_width)
        if attention_mask is not None:
            scores = ops.where(ops.expand_dims(attention_mask, 1), scores, -1e30)
        return ops.softmax(scores, axis=-1)

    def _project(self, x_BTD, context_BSD, cache=None):
        if not self.cross:
            return self.query_key_value.heads(x_BTD)
        return *self.query.heads(x_BTD), *(cache or self.keys_values(context_BSD))

    def empty_cache(self, batch: int, length: int):
        """A cache for `length` tokens: keys and values, zeros (B, S, N, H)."""
        shape = (batch, length, self.num_heads, self.head_width)
        return (
            ops.zeros(shape, dtype=self.compute_dtype),
            ops.zeros(shape, dtype=self.compute_dtype),
        )

    def compute_output_shape(self, input_shape):
        """Unchanged."""
        return input_shape
