"""Multi-head attention (Vaswani et al. 2017, section 3.2.2).

Shapes: B batch, T queries, S keys, D width, N heads, M heads of keys and values, H head
width (D / N by default).
"""

from functools import partial
from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.plain_attention import probabilities
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.attention.grouped import check_groups, grouped
from zoo.layers.attention.rotary import Rotary, Turns, turned
from zoo.layers.attention.sliding import (
    first_tokens,
    global_attention,
    in_window,
    sliding_attention,
)
from zoo.layers.dense import Dense, HeadsDense
from zoo.layers.dropout import Dropout
from zoo.layers.gather import gather
from zoo.layers.layer import Layer
from zoo.layers.norm import RMSNorm


def check_heads(width: int, num_heads: int) -> None:
    """Raises a ValueError unless `width` is a multiple of `num_heads`."""
    if num_heads < 1 or width % num_heads:
        raise ValueError(
            f"width must be a multiple of num_heads, got width={width}, "
            f"num_heads={num_heads}. Nearest widths: "
            f"{width // max(num_heads, 1) * num_heads} and "
            f"{(width // max(num_heads, 1) + 1) * num_heads}."
        )


@keras.saving.register_keras_serializable("zoo")
class MultiHeadAttention(Layer):
    """Self-attention or, with a context, cross-attention; causal, padded or cached.

    Queries, keys and values of one input come from one product.

    Args:
        num_heads: N.
        width: D; a multiple of `num_heads` unless `head_width` is given.
        key_value_heads: M, which divides N; 0 for N (`zoo.layers.attention.grouped`).
        head_width: H; 0 for D / N.
        causal: whether tokens attend only to earlier ones and themselves.
        cross: whether to attend to a context instead of the input itself.
        rotary: how queries and keys are rotated by their positions; True for
            `Rotary()`, False if they aren't.
        query_key_norm: whether each head's queries and keys go through an RMS norm
            before they are rotated (Dehghani et al. 2023, Qwen3).
        norm_epsilon: added to the mean square in those norms.
        relative: a layer of `zoo.layers.attention.relative`, which other layers may
            share.
        window: tokens attend only to those less than `window` away
            (`zoo.layers.attention.sliding`); 0 for no limit.
        sinks: how many of the first tokens are seen from outside the window too (Xiao
            et al. 2024).
        use_bias: whether projections have biases.
        qkv_bias: whether those of queries, keys and values have; None for `use_bias`.
        output_bias: whether the output projection has; None for `use_bias`.
        dropout: dropout rate of the output.
        attention_dropout: dropout rate of the probabilities, which are then
            materialised; without it, fused kernels avoid that.
        initializer: initializer of the projections.
        output_initializer: initializer of the output projection; None for
            `initializer`.

    Raises:
        ValueError: the arguments contradict each other.
    """

    def __init__(
        self,
        num_heads: int,
        width: int,
        *,
        key_value_heads: int = 0,
        head_width: int = 0,
        causal: bool = False,
        cross: bool = False,
        rotary: Rotary | bool = False,
        query_key_norm: bool = False,
        norm_epsilon: float = 1e-5,
        relative: keras.layers.Layer | None = None,
        window: int = 0,
        sinks: int = 0,
        use_bias: bool = True,
        qkv_bias: bool | None = None,
        output_bias: bool | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not head_width:
            check_heads(width, num_heads)
        key_value_heads = key_value_heads or num_heads
        check_groups(num_heads, key_value_heads)
        if sinks and not window:
            raise ValueError(
                f"sinks={sinks} needs a window; without one all tokens are seen."
            )
        if cross and (rotary or query_key_norm or key_value_heads != num_heads):
            raise ValueError(
                "Cross-attention has no rotary positions, no norms of queries and keys "
                "and as many heads of keys as of queries. Leave them out."
            )
        if cross and (relative is not None or window):
            raise ValueError(
                "Cross-attention has neither relative positions nor a window: its "
                "context's tokens have no position among the queries. Leave them out."
            )
        self.num_heads, self.width = num_heads, width
        self.key_value_heads = key_value_heads
        self.head_width = head_width or width // num_heads
        self.causal, self.cross = causal, cross
        self.rotary = Rotary() if rotary is True else rotary or None
        self.relative, self.window, self.sinks = relative, window, sinks
        make = {
            "use_bias": use_bias if qkv_bias is None else qkv_bias,
            "kernel_initializer": initializer,
            "dtype": self.dtype_policy,
        }

        def heads(*parts: Any) -> HeadsDense:
            name = "_".join(dict.fromkeys(parts))
            return HeadsDense(
                parts, key_value_heads, self.head_width, name=name, **make
            )

        if cross:
            self.query = heads("query")
            self.key_value = heads("key", "value")
        else:
            queries = ["query"] * (num_heads // key_value_heads)
            self.query_key_value = heads(*queries, "key", "value")
        self.query_norm = self.key_norm = None
        if query_key_norm:
            norm = {"epsilon": norm_epsilon, "dtype": self.dtype_policy}
            self.query_norm = RMSNorm(name="query_norm", **norm)
            self.key_norm = RMSNorm(name="key_norm", **norm)
        self.output_projection = Dense(
            width,
            name="output",
            use_bias=use_bias if output_bias is None else output_bias,
            kernel_initializer=output_initializer or initializer,
            dtype=self.dtype_policy,
        )
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.attention_dropout = Dropout(
            attention_dropout, name="attention_dropout", dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        """Creates the projections for inputs (B, T, D)."""
        shape = (None, None, self.width)
        projections = (
            (self.query, self.key_value) if self.cross else (self.query_key_value,)
        )
        for projection in projections:
            projection.build(shape)
        self.output_projection.build((None, None, self.num_heads * self.head_width))
        for norm in (self.query_norm, self.key_norm):
            if norm is not None:
                norm.build((None, None, None, self.head_width))
        if self.relative is not None and not self.relative.built:
            self.relative.build(shape)

    def call(
        self,
        x_BTD: Tensor,
        context_BSD: Tensor | None = None,
        attention_mask: Tensor | None = None,
        positions: Any = None,
        queries: Tensor | None = None,
        global_positions: Any = None,
        cache: Any = None,
        index: Any = None,
        training: bool = False,
        seeds: Any = (None, None),
    ) -> Any:
        """Attends from `x_BTD` to itself or to `context_BSD`.

        Args:
            x_BTD: the queries' input.
            context_BSD: the keys' and values' input, if `cross`.
            attention_mask: booleans that broadcast to (B, T, S), True where attention
                is allowed. Combined with causality and the window; with a cache, the
                mask alone must hide future tokens. A window saves time and memory only
                if the mask is the same for all queries, (B, 1, S), and there is no
                cache.
            positions: (T,) or (B, T), for rotary positions; default 0 … T-1; or what
                `Rotary.turns` made of them. Relative positions are distances in the
                arrays.
            queries: (B, Q), indices of the tokens that attend; default all. Only for
                bidirectional attention with one mask for all queries.
            global_positions: indices (B, G) of tokens that attend to all and are
                attended to by all, regardless of the window; -1 for none.
            cache: a pair of (B, S, M, H) arrays, the keys and values so far; if
                `cross`, those of the whole context, from `keys_values`.
            index: index in the cache of the first of these T tokens.
            training: whether to apply dropout.
            seeds: dropout seeds from `draw_seeds`.

        Returns:
            (B, T, D), or (B, Q, D); in self-attention with a cache, also the new cache.

        Raises:
            ValueError: the arguments do not fit this layer.
        """
        q_BTNH, k_BSNH, v_BSNH = self._project(x_BTD, context_BSD, cache, positions)
        if queries is not None:
            if self.causal or self.relative is not None or self.window or cache:
                raise ValueError(
                    "queries are for attention that treats all of them alike: neither "
                    "causal, relative, in a window nor with a cache. Leave them out."
                )
            q_BTNH = gather(q_BTNH, queries)
        if self.cross:
            cache = None
        causal = self.causal
        if cache is not None:
            k_BSNH = engine().write(cache[0], k_BSNH, index)
            v_BSNH = engine().write(cache[1], v_BSNH, index)
            cache, causal = (k_BSNH, v_BSNH), False
        arrays = (q_BTNH, k_BSNH, v_BSNH)
        drop = None
        if training and self.attention_dropout.rate:

            def drop(shares: Tensor) -> Tensor:
                return self.attention_dropout(shares, training=True, seed=seeds[0])

        if self._slides(x_BTD.shape[1], attention_mask, cache):
            attended = self._slide(*arrays, attention_mask, global_positions, drop)
        else:
            first = 0 if index is None else index
            mask = self._within(attention_mask, q_BTNH, k_BSNH, first, global_positions)
            attended = self._attend(*arrays, mask, causal, first, drop)
        shape = (-1, ops.shape(q_BTNH)[1], self.num_heads * self.head_width)
        out = self.output_projection(ops.reshape(attended, shape))
        out = self.dropout(out, training=training, seed=seeds[1])
        return out if cache is None else (out, cache)

    def draw_seeds(self) -> tuple:
        """Seeds for one call: for the dropout of probabilities and of the output."""
        return self.attention_dropout.draw(), self.dropout.draw()

    def keys_values(self, context_BSD: Tensor) -> Any:
        """The keys and values of a context, which stay the same from token to token."""
        return self.key_value.heads(context_BSD)

    def probabilities(
        self,
        x_BTD: Tensor,
        context_BSD: Tensor | None = None,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """The attention probabilities, (B, N, T, S), all materialised."""
        q_BTNH, k_BSNH, _ = self._project(x_BTD, context_BSD, positions=positions)
        k_BSNH = ops.repeat(k_BSNH, self.num_heads // self.key_value_heads, axis=2)
        mask = self._within(attention_mask, q_BTNH, k_BSNH)
        q_BTNH, bias = self._biased(q_BTNH, k_BSNH)
        return probabilities(q_BTNH, k_BSNH, mask, self.causal, bias)

    def _project(
        self,
        x_BTD: Tensor,
        context_BSD: Tensor,
        cache: Any = None,
        positions: Any = None,
    ) -> Any:
        if self.cross:
            q_BTNH = self.query.heads(x_BTD)[0]
            return q_BTNH, *(cache or self.keys_values(context_BSD))
        q_BTNH, k_BTMH, v_BTMH = self.query_key_value.heads(x_BTD)
        if self.query_norm is not None and self.key_norm is not None:
            q_BTNH, k_BTMH = self.query_norm(q_BTNH), self.key_norm(k_BTMH)
        if self.rotary is not None:
            if positions is None:
                positions = ops.arange(ops.shape(x_BTD)[1], dtype="int32")
            turns = positions
            if not isinstance(turns, Turns):
                turns = self.rotary.turns(positions, self.head_width)
            q_BTNH, k_BTMH = turned(q_BTNH, turns), turned(k_BTMH, turns)
        return q_BTNH, k_BTMH, v_BTMH

    def _attend(
        self,
        q_BTNH: Tensor,
        k_BSNH: Tensor,
        v_BSNH: Tensor,
        mask: Tensor | None = None,
        is_causal: bool = False,
        first: Any = 0,
        drop: Any = None,
    ) -> Tensor:
        q_BTNH, bias = self._biased(q_BTNH, k_BSNH, first)
        arrays = (q_BTNH, k_BSNH, v_BSNH)
        return grouped(engine().attention, *arrays, mask, is_causal, bias, drop)

    def _biased(self, q_BTNH: Tensor, k_BSNH: Tensor, first: Any = 0) -> Any:
        if self.relative is None:
            return q_BTNH, None
        return self.relative(q_BTNH, num_keys=k_BSNH.shape[1], first=first)

    def _slides(self, tokens: int, attention_mask: Tensor, cache: Any) -> bool:
        """Whether attending chunk by chunk is possible and saves work."""
        return (
            0 < self.window < tokens
            and cache is None
            and (attention_mask is None or attention_mask.shape[1] == 1)
        )

    def _slide(
        self,
        q_BTNH: Tensor,
        k_BTNH: Tensor,
        v_BTNH: Tensor,
        attention_mask: Tensor,
        global_positions: Any,
        drop: Any,
    ) -> Tensor:
        visible = None if attention_mask is None else attention_mask[:, 0]
        attend = partial(self._attend, drop=drop)
        arrays = (attend, q_BTNH, k_BTNH, v_BTNH, self.window)
        if global_positions is None:
            others = first_tokens(*arrays[1:], self.sinks, visible)
            return sliding_attention(
                *arrays, causal=self.causal, visible=visible, others=others
            )
        if self.relative is not None:
            raise ValueError(
                "Global tokens are at any distance, which relative positions can't "
                "express chunk by chunk: use global_positions without `relative`."
            )
        return global_attention(
            *arrays, global_positions, causal=self.causal, visible=visible
        )

    def _within(
        self,
        attention_mask: Tensor,
        q_BTNH: Tensor,
        k_BSNH: Tensor,
        first: Any = 0,
        global_positions: Any = None,
    ) -> Tensor | None:
        """The mask for all heads, (B or 1, 1, T or 1, S), False outside the window."""
        queries, keys = q_BTNH.shape[1], k_BSNH.shape[1]
        mask = attention_mask
        if 0 < self.window < keys:
            near = in_window(
                queries, keys, self.window, first, global_positions, self.sinks
            )
            mask = near if mask is None else ops.logical_and(mask, near)
        return None if mask is None else ops.expand_dims(mask, 1)

    def empty_cache(self, batch: int, length: int) -> tuple[Tensor, Tensor]:
        """A cache for `length` tokens: keys and values, zeros (B, S, M, H)."""
        shape = (batch, length, self.key_value_heads, self.head_width)
        return (
            ops.zeros(shape, dtype=self.compute_dtype),
            ops.zeros(shape, dtype=self.compute_dtype),
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape
