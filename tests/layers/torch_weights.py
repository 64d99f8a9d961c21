"""Copies weights of `torch.nn`'s transformer layers into ours."""

import numpy as np


def array(parameter) -> np.ndarray:
    return parameter.detach().numpy()


def by_head(parameter, parts: int, num_heads: int) -> np.ndarray:
    """(parts * D, ...) as `torch` stacks it to (..., D * parts) head by head."""
    x = array(parameter).T
    x = x.reshape(*x.shape[:-1], parts, num_heads, -1)
    return np.swapaxes(x, -3, -2).reshape(*x.shape[:-3], -1)


def copy_dense(ours, theirs) -> None:
    ours.kernel.assign(array(theirs.weight).T)
    ours.bias.assign(array(theirs.bias))


def copy_norm(ours, theirs) -> None:
    ours.gamma.assign(array(theirs.weight))
    ours.beta.assign(array(theirs.bias))


def copy_attention(ours, theirs) -> None:
    heads, width = ours.num_heads, ours.width
    weight, bias = theirs.in_proj_weight, theirs.in_proj_bias
    if ours.cross:
        ours.query.kernel.assign(array(weight[:width]).T)
        ours.query.bias.assign(array(bias[:width]))
        ours.key_value.kernel.assign(by_head(weight[width:], 2, heads))
        ours.key_value.bias.assign(by_head(bias[width:], 2, heads))
    else:
        ours.query_key_value.kernel.assign(by_head(weight, 3, heads))
        ours.query_key_value.bias.assign(by_head(bias, 3, heads))
    copy_dense(ours.output_projection, theirs.out_proj)


def copy_block(ours, theirs) -> None:
    copy_attention(ours.attention, theirs.self_attn)
    copy_norm(ours.attention_norm, theirs.norm1)
    last = theirs.norm2
    if ours.cross_attention is not None:
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        copy_norm(ours.cross_norm, theirs.norm2)
        last = theirs.norm3
    copy_norm(ours.feed_forward_norm, last)
    copy_dense(ours.feed_forward.expand, theirs.linear1)
    copy_dense(ours.feed_forward.contract, theirs.linear2)


def randomize(module) -> None:
    """Draws every parameter anew: `torch` starts biases at 0 and norms at 1."""
    import torch

    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
