"""Grouped-query attention: several heads of queries share one of keys and values.

Ainslie et al. 2023; with a single head of keys and values, Shazeer 2019. Query head n
belongs to head n // G of keys and values.

Shapes: B batch, T queries, S keys, N query heads, M heads of keys and values,
G = N / M, H head width.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from zoo.engine.tensors import Tensor


def check_groups(num_heads: int, key_value_heads: int) -> None:
    """Raises a ValueError unless the heads can share keys and values evenly."""
    if key_value_heads < 1 or num_heads % key_value_heads:
        raise ValueError(
            "num_heads must be a multiple of key_value_heads, so that as many heads of "
            f"queries share each, got num_heads={num_heads}, "
            f"key_value_heads={key_value_heads}."
        )


def grouped(
    attend: Callable[..., Tensor],
    q_BTNH: Tensor,
    k_BSMH: Tensor,
    v_BSMH: Tensor,
    mask: Any = None,
    is_causal: bool = False,
    bias: Any = None,
    drop: Any = None,
) -> Tensor:
    """Attention with fewer heads of keys and values than of queries.

    Args:
        attend: attention with equally many, `zoo.engine.interface.kernels`.
        q_BTNH: queries.
        k_BSMH: keys.
        v_BSMH: values.
        mask: (B or 1, 1, T or 1, S).
        is_causal: whether a query sees no later key.
        bias: (B or 1, N, T, S).
        drop: dropout for the probabilities.

    Returns:
        The attended values (B, T, N, H).
    """
    heads, width = q_BTNH.shape[2:]
    shared = k_BSMH.shape[2]
    if heads == shared:
        return attend(q_BTNH, k_BSMH, v_BSMH, mask, is_causal, bias, drop)
    group = heads // shared
    if q_BTNH.shape[1] == 1 and bias is None and not is_causal:
        # One new token: its heads take the place of tokens, which all see the same
        # keys, so that a long cache is not copied G times.
        q = ops.reshape(q_BTNH, (-1, shared, group, width))
        q = ops.transpose(q, (0, 2, 1, 3))
        found = attend(q, k_BSMH, v_BSMH, mask, False, None, drop)
        found = ops.transpose(found, (0, 2, 1, 3))
        return ops.reshape(found, (-1, 1, heads, width))
    k, v = (ops.repeat(x, group, axis=2) for x in (k_BSMH, v_BSMH))
    return attend(q_BTNH, k, v, mask, is_causal, bias, drop)
