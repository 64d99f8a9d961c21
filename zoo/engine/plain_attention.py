"""Attention's formula in plain operations (Vaswani et al. 2017, section 3.2.1).

For who wants to see its probabilities, and for where no fused kernel serves.

Shapes: B batch, T queries, S keys, N heads, H head width.
"""

import math

from keras import ops


def attention_weights(scores_BNTS, mask=None):
    """Softmax over the keys in float32; where `mask` is True, to look."""
    scores = ops.cast(scores_BNTS, "float32")
    if mask is not None:
        scores = ops.where(mask, scores, -1e30)
    return ops.softmax(scores, axis=-1)


def visible(q_BTNH, k_BSNH, mask=None, is_causal=False):
    """Where to look, causality included, (B or 1, 1, T or 1, S); None: everywhere."""
    if not is_causal:
        return mask
    shape = (q_BTNH.shape[1], k_BSNH.shape[1])
    causal = ops.tril(ops.ones(shape, dtype="bool"))[None, None]
    return causal if mask is None else ops.logical_and(mask, causal)


def probabilities(q_BTNH, k_BSNH, mask=None, is_causal=False, bias=None):
    """How much each query looks at each key, (B, N, T, S) in float32.

    Args are those of `zoo.engine.base.Engine.attention`.
    """
    mask = visible(q_BTNH, k_BSNH, mask, is_causal)
    scores = ops.einsum("btnh,bsnh->bnts", q_BTNH, k_BSNH)
    scores = scores / math.sqrt(q_BTNH.shape[-1])
    return attention_weights(scores if bias is None else scores + bias, mask)


def attention(q_BTNH, k_BSNH, v_BSNH, mask, is_causal, bias, drop):
    """Values by probabilities, of which `drop` leaves some out: (B, T, N, H)."""
    shares = drop(probabilities(q_BTNH, k_BSNH, mask, is_causal, bias))
    return ops.einsum("bnts,bsnh->btnh", ops.cast(shares, v_BSNH.dtype), v_BSNH)
