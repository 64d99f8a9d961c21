"""Sliding-window attention with global tokens (Beltagy et al. 2020, Longformer).

A token attends to tokens less than `window` away: itself, `window - 1` before it and,
unless attention is causal, as many after it. Global tokens attend to all tokens and are
attended to by all; in causal attention, they attend to all before them and are attended
to by all after them. Longformer has separate projections for global attention; here
global tokens share the others' projections.

Shapes: B batch, T tokens, N heads, H head width, G global tokens, W window, C chunks
per text, R = B·C chunks of all texts, S keys per chunk.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from zoo.engine.tensors import Tensor


def in_window(
    num_queries: int,
    num_keys: int,
    window: int,
    first: Any = 0,
    global_positions: Any = None,
    sinks: int = 0,
) -> Tensor:
    """Whether each key is in a query's window, (B or 1, T, S), ignoring causality.

    Args:
        num_queries: T.
        num_keys: S.
        window: the distance from which keys are hidden.
        first: index of the first query among the keys.
        global_positions: indices (B, G) of global tokens; -1 for none.
        sinks: how many of the first keys are seen from anywhere.
    """
    rows = first + ops.arange(num_queries, dtype="int32")[:, None]
    columns = ops.arange(num_keys, dtype="int32")[None, :]
    near = (ops.abs(rows - columns) < window)[None]
    if sinks:
        near = ops.logical_or(near, columns[None] < sinks)
    if global_positions is None:
        return near
    places = ops.cast(global_positions, "int32")[:, :, None, None]
    is_global = ops.any(ops.logical_or(rows == places, columns == places), axis=1)
    return ops.logical_or(near, is_global)


def first_tokens(
    q_BTNH: Tensor,
    k_BTNH: Tensor,
    v_BTNH: Tensor,
    window: int,
    sinks: int,
    visible: Tensor | None = None,
) -> Any:
    """The first tokens, seen from outside the window too: `sliding_attention`'s others.

    Xiao et al. 2024: models put attention that they need nowhere else on the first
    tokens, and lose their footing when a window leaves those behind.

    Args:
        q_BTNH: queries.
        k_BTNH: keys.
        v_BTNH: values.
        window: W.
        sinks: how many first tokens, G; 0 returns None.
        visible: (B or 1, T), False at padding.
    """
    if not sinks:
        return None
    tokens = q_BTNH.shape[1]
    rows, columns = np.arange(tokens)[:, None], np.arange(min(sinks, tokens))
    # In the window, they are seen as neighbours already.
    far = rows - columns >= window
    seen = _given(visible, q_BTNH)[:, None, : len(columns)]
    mask = ops.logical_and(ops.convert_to_tensor(far)[None], seen)
    return k_BTNH[:, : len(columns)], v_BTNH[:, : len(columns)], mask


def sliding_attention(
    attend: Callable,
    q_BTNH: Tensor,
    k_BTNH: Tensor,
    v_BTNH: Tensor,
    window: int,
    *,
    causal: bool = False,
    visible: Tensor | None = None,
    others: Any = None,
) -> Tensor:
    """Attention within a window, in time and memory proportional to B·T·W.

    Texts are split into chunks of W tokens; each attends to itself and its neighbours
    as if it were a separate text.

    Args:
        attend: `attend(q, k, v, mask, first=)` on queries (R, W, N, H), keys and values
            (R, S, N, H) and a mask (R, 1, W, S), True where attention is allowed;
            `first` is the index of the first query among the keys.
        q_BTNH: queries.
        k_BTNH: keys.
        v_BTNH: values.
        window: W.
        causal: whether to hide later keys.
        visible: (B or 1, T), False at padding, which is hidden.
        others: keys and values (B, G, N, H) that every chunk sees too, and whether each
            query may attend to them, (B, T, G).

    Returns:
        The attended values (B, T, N, H).
    """
    _, tokens, heads, head_width = q_BTNH.shape
    chunks = -(-tokens // window)
    sides = (1, 0) if causal else (1, 1)
    parts = 1 + sum(sides)

    def chunked(x: Tensor) -> Tensor:
        """Splits (B, T, ...) into (B, C, W, ...), padded with 0."""
        rest = [(0, 0)] * (len(x.shape) - 2)
        x = ops.pad(x, [(0, 0), (0, chunks * window - tokens), *rest])
        return ops.reshape(x, (-1, chunks, window, *x.shape[2:]))

    def queries(x: Tensor) -> Tensor:
        """Splits (B, T, ...) into chunks (R, W, ...)."""
        return ops.reshape(chunked(x), (-1, window, *x.shape[2:]))

    def keys(x: Tensor) -> Tensor:
        """Splits (B, T, ...) into chunks with their neighbours, (R, S, ...)."""
        rest = [(0, 0)] * (len(x.shape) - 1)
        x = ops.pad(chunked(x), [(0, 0), sides, *rest])
        x = ops.concatenate([x[:, i : i + chunks] for i in range(parts)], axis=2)
        return ops.reshape(x, (-1, parts * window, *x.shape[3:]))

    ahead = np.arange(parts * window) - window - np.arange(window)[:, None]
    near = (np.abs(ahead) < window) & ~(causal & (ahead > 0))
    # As integers, since not every backend pads booleans.
    visible = ops.cast(_given(visible, q_BTNH), "int32")
    mask_RWS = ops.logical_and(keys(visible)[:, None, :] > 0, near)
    k_RSNH, v_RSNH = keys(k_BTNH), keys(v_BTNH)
    if others is not None:
        k_BGNH, v_BGNH, mask_BTG = others
        k_RSNH, v_RSNH = (
            ops.concatenate([ops.repeat(x, chunks, axis=0), own], axis=1)
            for x, own in ((k_BGNH, k_RSNH), (v_BGNH, v_RSNH))
        )
        mask_RWG = queries(ops.cast(mask_BTG, "int32")) > 0
        mask_RWS = ops.concatenate([mask_RWG, mask_RWS], axis=2)
    attended = attend(queries(q_BTNH), k_RSNH, v_RSNH, mask_RWS[:, None], first=window)
    attended = ops.reshape(attended, (-1, chunks * window, heads, head_width))
    return attended[:, :tokens]


def global_attention(
    attend: Callable,
    q_BTNH: Tensor,
    k_BTNH: Tensor,
    v_BTNH: Tensor,
    window: int,
    positions: Tensor,
    *,
    causal: bool = False,
    visible: Tensor | None = None,
) -> Tensor:
    """`sliding_attention` with global tokens, each of which adds cost T.

    The arguments are the same, with `positions`, the indices (B, G) of global tokens,
    each at most once per row; -1 for none.
    """
    places = ops.arange(q_BTNH.shape[1], dtype="int32")
    positions = ops.cast(positions, "int32")
    visible = _given(visible, q_BTNH)
    is_at = positions[:, :, None] == places  # (B, G, T)
    is_global = ops.any(is_at, axis=1)
    may_look = ops.broadcast_to(visible[:, None, :], ops.shape(is_at))
    seen_BG1 = ops.any(ops.logical_and(is_at, may_look), axis=2, keepdims=True)
    seen_BGT = ops.broadcast_to(seen_BG1, ops.shape(is_at))
    if causal:
        may_look = ops.logical_and(may_look, places <= positions[:, :, None])
        seen_BGT = ops.logical_and(seen_BGT, places >= positions[:, :, None])
    one_hot = ops.cast(is_at, q_BTNH.dtype)
    q_BGNH, k_BGNH, v_BGNH = (
        ops.einsum("bgt,btnh->bgnh", one_hot, x) for x in (q_BTNH, k_BTNH, v_BTNH)
    )
    near = sliding_attention(
        attend,
        q_BTNH,
        k_BTNH,
        v_BTNH,
        window,
        causal=causal,
        # Global tokens are seen only once, not also as neighbours.
        visible=ops.logical_and(visible, ops.logical_not(is_global)),
        others=(k_BGNH, v_BGNH, ops.transpose(seen_BGT, (0, 2, 1))),
    )
    far = attend(q_BGNH, k_BTNH, v_BTNH, may_look[:, None], first=0)
    far = ops.einsum("bgt,bgnh->btnh", one_hot, far)
    return ops.where(is_global[:, :, None, None], far, near)


def _given(visible: Tensor, q_BTNH: Tensor) -> Tensor:
    """The mask `visible` as (B, T); all True if it is None."""
    if visible is None:
        visible = ops.ones((1, q_BTNH.shape[1]), dtype="bool")
    return ops.broadcast_to(visible, ops.shape(q_BTNH)[:2])
