"""Attention in plain operations (Vaswani et al. 2017, section 3.2.1).

For callers that need its probabilities, and for cases that no fused kernel covers.

Shapes: B batch, T queries, S keys, N heads, H head width.
"""

import math
from collections.abc import Callable

from keras import ops

from zoo.engine.tensors import Tensor


def attention_weights(scores_BNTS: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the keys in float32; `mask` is True at keys that may be seen."""
    scores = ops.cast(scores_BNTS, "float32")
    if mask is not None:
        scores = ops.where(mask, scores, -1e30)
    return ops.softmax(scores, axis=-1)


def visible(
    q_BTNH: Tensor, k_BSNH: Tensor, mask: Tensor | None = None, is_causal: bool = False
) -> Tensor | None:
    """The mask with causality included, (B or 1, 1, T or 1, S); None if all is seen."""
    if not is_causal:
        return mask
    shape = (q_BTNH.shape[1], k_BSNH.shape[1])
    causal = ops.tril(ops.ones(shape, dtype="bool"))[None, None]
    return causal if mask is None else ops.logical_and(mask, causal)


def probabilities(
    q_BTNH: Tensor,
    k_BSNH: Tensor,
    mask: Tensor | None = None,
    is_causal: bool = False,
    bias: Tensor | None = None,
) -> Tensor:
    """Attention probabilities (B, N, T, S) in float32.

    For the arguments see `zoo.engine.interface.kernels.Kernels.attention`.
    """
    mask = visible(q_BTNH, k_BSNH, mask, is_causal)
    scores = ops.einsum("btnh,bsnh->bnts", q_BTNH, k_BSNH)
    scores = scores / math.sqrt(q_BTNH.shape[-1])
    return attention_weights(scores if bias is None else scores + bias, mask)


def attention(
    q_BTNH: Tensor,
    k_BSNH: Tensor,
    v_BSNH: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    bias: Tensor | None,
    drop: Callable[[Tensor], Tensor],
) -> Tensor:
    """Values (B, T, N, H) weighted by probabilities that went through `drop`."""
    shares = drop(probabilities(q_BTNH, k_BSNH, mask, is_causal, bias))
    return ops.einsum("bnts,bsnh->btnh", ops.cast(shares, v_BSNH.dtype), v_BSNH)
