"""A GPT-2 in plain torch functions, independent of the package, as a reference.

Weights are arrays by the names that `zoo` saves them under.
"""

import math

import torch
from torch.nn import functional


def logits(weights, ids, num_layers: int, num_heads: int):
    """(B, T) ids to (B, T, V) logits; pre-norm, learned positions, tied head."""
    table = weights["token_embedding/embeddings"]
    x = table[ids] + weights["positions/embeddings"][: ids.shape[1]]
    for number in range(num_layers):
        block = f"block_{number}"
        normed = _norm(weights, f"{block}/attention_norm", x)
        x = x + _attention(weights, f"{block}/attention", normed, num_heads)
        normed = _norm(weights, f"{block}/feed_forward_norm", x)
        hidden = _dense(weights, f"{block}/feed_forward/expand", normed)
        hidden = functional.gelu(hidden, approximate="tanh")
        x = x + _dense(weights, f"{block}/feed_forward/contract", hidden)
    return _norm(weights, "final_norm", x) @ table.T


def _norm(weights, name, x):
    gamma, beta = weights[f"{name}/gamma"], weights[f"{name}/beta"]
    return functional.layer_norm(x, x.shape[-1:], gamma, beta, eps=1e-5)


def _dense(weights, name, x):
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def _attention(weights, name, x, num_heads):
    length, head_width = x.shape[1], x.shape[2] // num_heads
    projected = _dense(weights, f"{name}/query_key_value", x)
    heads = []
    for head in projected.split(3 * head_width, dim=-1):
        query, key, value = head.split(head_width, dim=-1)
        scores = query @ key.transpose(1, 2) / math.sqrt(head_width)
        future = torch.ones(length, length).triu(1).bool()
        scores = scores.masked_fill(future, -math.inf)
        heads.append(scores.softmax(-1) @ value)
    return _dense(weights, f"{name}/output", torch.cat(heads, dim=-1))


def losses(arrays, batches, num_layers, num_heads, rate, momentum) -> list[float]:
    """Each batch's loss (B, T+1) before its SGD update, in float64."""
    weights = {
        name: torch.tensor(array, dtype=torch.float64, requires_grad=True)
        for name, array in arrays.items()
    }
    velocities = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    found = []
    for batch in batches:
        ids = torch.tensor(batch, dtype=torch.int64)
        scores = logits(weights, ids[:, :-1], num_layers, num_heads)
        loss = functional.cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten())
        gradients = torch.autograd.grad(loss, list(weights.values()))
        with torch.no_grad():
            for name, gradient in zip(weights, gradients, strict=True):
                velocities[name] = momentum * velocities[name] - rate * gradient
                weights[name] += velocities[name]
        found.append(loss.item())
    return found
