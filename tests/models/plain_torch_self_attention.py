"""The self-attention classifier in plain torch functions, as a reference.

Weights are arrays by the names that `zoo` saves them under; what a configuration has
not is not among them.
"""

import math

import torch
from torch.nn import functional


def scores(weights, ids, num_heads: int, divided: bool):
    """(B, T) ids, 0 at padding, to (B, C) scores; pooled by the mean."""
    x = weights["token_embedding/embeddings"][ids]
    if "positions/embeddings" in weights:
        x = x + weights["positions/embeddings"][: ids.shape[1]]
    real = ids != 0
    if "attention/query_key_value/kernel" in weights:
        x = _learned(weights, x, real, num_heads)
    else:
        x = _mean(x, x, x, real, math.sqrt(x.shape[2]) if divided else 1.0)
    count = real.sum(1, keepdim=True)
    pooled = (x * real[:, :, None]).sum(1) / count
    return pooled @ weights["classifier/kernel"] + weights["classifier/bias"]


def _mean(query, key, value, real, scale):
    products = query @ key.transpose(1, 2) / scale
    return products.masked_fill(~real[:, None], -math.inf).softmax(-1) @ value


def _learned(weights, x, real, num_heads):
    kernel = weights["attention/query_key_value/kernel"]
    projected = x @ kernel + weights["attention/query_key_value/bias"]
    width = x.shape[2] // num_heads
    heads = [
        _mean(*head.split(width, dim=-1), real, math.sqrt(width))
        for head in projected.split(3 * width, dim=-1)
    ]
    joined = torch.cat(heads, dim=-1)
    return (
        joined @ weights["attention/output/kernel"] + weights["attention/output/bias"]
    )


def losses(arrays, batches, num_heads, divided, rate) -> list[float]:
    """Each batch's loss before its SGD update, in float64."""
    weights = {
        name: torch.tensor(array, dtype=torch.float64, requires_grad=True)
        for name, array in arrays.items()
    }
    found = []
    for ids, classes, counts in batches:
        out = scores(weights, torch.tensor(ids).long(), num_heads, divided)
        nats = functional.cross_entropy(
            out, torch.tensor(classes).long(), reduction="none"
        )
        counts = torch.tensor(counts, dtype=torch.float64)
        loss = (nats * counts).sum() / counts.sum()
        gradients = torch.autograd.grad(loss, list(weights.values()))
        with torch.no_grad():
            for weight, gradient in zip(weights.values(), gradients, strict=True):
                weight -= rate * gradient
        found.append(loss.item())
    return found
