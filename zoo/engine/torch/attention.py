"""Attention on a CPU in training, where torch's 16-bit kernel is slow."""

from collections.abc import Callable

import torch
from keras import ops

from zoo.engine.plain_attention import visible
from zoo.engine.tensors import Tensor

# Up to this many keys, plain attention is the faster one in bfloat16 on a CPU.
SHORT = 256


def slow_backward(x: Tensor) -> bool:
    """Whether this is 16-bit attention on a CPU, in training.

    Its kernel's backward pass takes two to five times as long as float32's with the
    casts to and from it (torch 2.13).
    """
    return x.requires_grad and x.device.type == "cpu" and x.dtype.itemsize == 2


def plain_is_faster(q: Tensor, k: Tensor) -> bool:
    """Whether `short_attention` is faster than torch's kernel in float32."""
    return slow_backward(q) and q.dtype == torch.bfloat16 and k.shape[1] <= SHORT


def with_mask(
    bias: Tensor | None, mask: Tensor | None, is_causal: bool, q: Tensor, k: Tensor
) -> Tensor | None:
    """A bias for the scores that includes the mask and causality; None if neither."""
    mask = visible(q, k, mask, is_causal)
    if mask is None:
        return bias
    dtype = q.dtype if bias is None else bias.dtype
    # Large, but finite: a row may see nothing.
    hidden = torch.full((), 0.7 * torch.finfo(dtype).min, dtype=dtype, device=q.device)
    return ops.where(mask, torch.zeros_like(hidden) if bias is None else bias, hidden)


def short_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    drop: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Plain attention in bfloat16, which keeps the probabilities.

    On a CPU, forward and backward passes take 0.4 to 0.6 times as long as float32's
    kernel with the casts to and from it, at 32 to 256 tokens; from 512 on they take
    longer (torch 2.13).
    """
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3))
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    shares = torch.softmax(scores, dim=-1)  # accumulates in float32
    if drop is not None:
        shares = drop(shares).to(v.dtype)
    return torch.matmul(shares, v).transpose(1, 2)
