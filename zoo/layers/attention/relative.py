"""Relative positions: attention scores that depend on the distance of key and query.

Absolute positions do not matter, so that a text may start anywhere. Each layer here
adjusts the queries and computes a bias for the scores from the queries and the number
of keys.

Shapes: B batch, T queries, S keys, N heads, H head width, D width, M distances.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.dense import HeadsDense
from zoo.layers.embeddings import sinusoids
from zoo.layers.layer import Layer


def distances(
    num_queries: int, num_keys: int, first: Any = 0, causal: bool = False
) -> Tensor:
    """The possible distances from a query back to a key, (M,), descending.

    Negative distances are keys after the query.

    Args:
        num_queries: T.
        num_keys: S.
        first: index of the first query among the keys.
        causal: whether to leave out, at the end, distances that only future keys have.
    """
    count = num_keys if causal else num_queries + num_keys - 1
    return first + num_queries - 1 - ops.arange(count, dtype="int32")


def shifted(by_distance: Tensor, num_keys: int) -> Tensor:
    """Turns scores by distance (B, N, T, M) into scores by key (B, N, T, S).

    Dai et al. 2019, appendix B: with one more column, a reshape shifts each row by one
    place. If distances were left out, the scores of future keys are meaningless.
    """
    _, heads, queries, count = by_distance.shape
    x = ops.pad(by_distance, ((0, 0), (0, 0), (0, 0), (1, 0)))
    x = ops.reshape(x, (-1, heads, count + 1, queries))[:, :, 1:]
    return ops.reshape(x, (-1, heads, queries, count))[..., :num_keys]


@keras.saving.register_keras_serializable("zoo")
class T5Bias(Layer):
    """A learned bias per head and bucket of distances (Raffel et al. 2020, 2.1).

    Small distances have one bucket each, larger ones share buckets that grow by a
    constant factor, and all from `max_distance` on share the last. All of T5's layers
    share one such layer. Unlike T5's, scores here are divided by the square root of the
    head width.

    Args:
        num_heads: N.
        causal: whether attention is causal, so that all buckets are for earlier keys.
        num_buckets: number of buckets, a multiple of 4, or of 2 if `causal`.
        max_distance: distances from here on share the last bucket.
        initializer: initializer of the biases.

    Raises:
        ValueError: `num_buckets` is invalid.
    """

    def __init__(
        self,
        num_heads: int,
        *,
        causal: bool = False,
        num_buckets: int = 32,
        max_distance: int = 128,
        initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        fewest = 2 if causal else 4
        if num_buckets < fewest or num_buckets % fewest or num_buckets > max_distance:
            raise ValueError(
                f"num_buckets must be a multiple of {fewest} up to max_distance="
                f"{max_distance}, got {num_buckets}."
            )
        self.num_heads, self.causal = num_heads, causal
        self.num_buckets, self.max_distance = num_buckets, max_distance
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the table, one row per bucket."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_buckets, self.num_heads),
            initializer=self.initializer,
        )

    def bucket(self, distances: Tensor) -> Tensor:
        """The buckets of integer distances of any shape."""
        own = self.num_buckets if self.causal else self.num_buckets // 2
        exact = own // 2
        steps = np.arange(self.max_distance + 1)
        growth = np.log(np.maximum(steps, exact) / exact)
        growth = growth / math.log(self.max_distance / exact) * (own - exact)
        # Bucket edges can be whole numbers; rounding must not fall below them.
        far = np.minimum(exact + np.floor(growth + 1e-6), own - 1)
        table = ops.convert_to_tensor(np.where(steps < exact, steps, far), "int32")
        size = ops.maximum(distances, 0) if self.causal else ops.abs(distances)
        found = ops.take(table, ops.minimum(size, self.max_distance), axis=0)
        if self.causal:
            return found
        return found + own * ops.cast(distances < 0, "int32")

    def call(
        self, q_BTNH: Tensor, num_keys: int, first: Any = 0
    ) -> tuple[Tensor, Tensor]:
        """Returns the queries unchanged and a bias (1, N, T, S) for their scores."""
        queries = q_BTNH.shape[1]
        found = self.bucket(distances(queries, num_keys, first, self.causal))
        bias_MN = ops.take(self.embeddings, found, axis=0)
        bias_NM = ops.cast(ops.transpose(bias_MN), q_BTNH.dtype)
        shape = (1, self.num_heads, queries, found.shape[0])
        rows = ops.broadcast_to(bias_NM[None, :, None, :], shape)
        return q_BTNH, shifted(rows, num_keys)


@keras.saving.register_keras_serializable("zoo")
class TransformerXLPositions(Layer):
    """Transformer-XL's relative positions (Dai et al. 2019, section 3.3).

    A query q scores a key k at distance d before it as (q + u)·k + (q + v)·W r(d): r(d)
    holds sines and cosines of the distance, W is a second key projection, and the
    biases u and v replace the query in the terms that do not depend on it. Each layer
    has its own, as in the authors' large models (`untie_r`).

    Args:
        num_heads: N.
        width: D, even.
        causal: whether attention is causal.
        initializer: initializer of W.

    Raises:
        ValueError: the width is odd.
    """

    def __init__(
        self,
        num_heads: int,
        width: int,
        *,
        causal: bool = False,
        initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if width % 2:
            raise ValueError(f"Sines and cosines need an even width, got {width}.")
        self.num_heads, self.width, self.causal = num_heads, width, causal
        self.head_width = width // num_heads
        self.position = HeadsDense(
            ("position",),
            num_heads,
            self.head_width,
            use_bias=False,
            kernel_initializer=initializer,
            name="position",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the projection W and the biases u and v."""
        self.position.build((None, None, self.width))
        for name in ("content_bias", "position_bias"):
            bias = self.add_weight(name=name, shape=(self.width,), initializer="zeros")
            setattr(self, name, bias)

    def call(
        self, q_BTNH: Tensor, num_keys: int, first: Any = 0
    ) -> tuple[Tensor, Tensor]:
        """Returns the queries (B, T, N, H) plus u, and a bias (B, N, T, S)."""
        queries = q_BTNH.shape[1]
        places = distances(queries, num_keys, first, self.causal)
        r_MD = ops.cast(sinusoids(places, self.width), q_BTNH.dtype)
        q_u, q_v = (
            q_BTNH + self._by_head(ops.cast(bias, q_BTNH.dtype))
            for bias in (self.content_bias, self.position_bias)
        )
        if queries == 1:
            # In decoding, one product with W instead of one per distance.
            w_DNH = self._by_head(ops.cast(self.position.kernel, q_BTNH.dtype))
            q_BTND = ops.einsum("btnh,dnh->btnd", q_v, w_DNH)
            scores = ops.einsum("btnd,md->bntm", q_BTND, r_MD)
        else:
            (r_1MNH,) = self.position.heads(r_MD[None])
            scores = ops.einsum("btnh,mnh->bntm", q_v, r_1MNH[0])
        # The products of queries and keys are divided by it too.
        scores = scores / math.sqrt(self.head_width)
        return q_u, shifted(scores, num_keys)

    def _by_head(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (*x.shape[:-1], self.num_heads, self.head_width))
