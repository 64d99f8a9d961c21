"""Recurrent language models from `torch.nn.LSTM` in float64, as a reference.

Weights are arrays by the names that `zoo` saves them under.
"""

import torch
from torch.nn import functional

PARAMETERS = {
    "weight_ih_l0": "kernel",
    "weight_hh_l0": "recurrent_kernel",
    "bias_ih_l0": "bias",
    "bias_hh_l0": "recurrent_bias",
}


def lstm(weights, name, x, state=None):
    """Outputs (B, T, D) and the state of the LSTM of that name."""
    ours = {theirs: weights[f"{name}/{own}"] for theirs, own in PARAMETERS.items()}
    ours = {k: x.T if x.ndim == 2 else x for k, x in ours.items()}
    width = x.shape[-1]
    module = torch.nn.LSTM(width, width, batch_first=True, dtype=torch.float64)
    return torch.func.functional_call(module, ours, (x, state))


def language_model(weights, ids, num_layers: int, states=None):
    """Logits (B, T, V) of a tied `RecurrentLM`, and its states."""
    table = weights["token_embedding/embeddings"]
    x, ends = table[ids], []
    for number in range(num_layers):
        state = None if states is None else states[number]
        x, end = lstm(weights, f"lstm_{number}", x, state)
        ends.append(tuple(part.detach() for part in end))
    return x @ table.T, ends


def word_vectors(weights, words):
    """Word vectors (T, D) of a text, from token ids (T,) or character ids (T, C)."""
    if words.ndim == 1:
        return weights["elmo/token_embedding/embeddings"][words]
    ours = {
        name.removeprefix("elmo/characters/"): array
        for name, array in weights.items()
        if name.startswith("elmo/characters/")
    }
    spelled = ours["embedding/embeddings"][words].transpose(1, 2)  # (T, E, C)
    found = []
    while f"convolution_{len(found) + 1}/kernel" in ours:
        name = f"convolution_{len(found) + 1}"
        kernel = ours[f"{name}/kernel"].unflatten(0, (len(found) + 1, -1))
        convolved = functional.conv1d(
            spelled, kernel.permute(2, 1, 0), ours[f"{name}/bias"]
        )
        found.append(functional.relu(convolved.amax(dim=2)))
    x, number = torch.cat(found, dim=1), 0
    while f"highway_{number}/both/kernel" in ours:
        name = f"highway_{number}/both"
        both = x @ ours[f"{name}/kernel"] + ours[f"{name}/bias"]
        new, gate = both.chunk(2, dim=1)
        gate = gate.sigmoid()
        x, number = gate * x + (1 - gate) * functional.relu(new), number + 1
    return x @ ours["projection/kernel"] + ours["projection/bias"]


def elmo_layers(weights, words, lengths, num_layers: int):
    """All layers of both directions, each row of its own length, (L+1, B, T, D) each.

    Computed row by row, so that padding plays no part.
    """
    found = {"forward": [], "backward": []}
    for direction, rows in found.items():
        for row, length in zip(words, lengths, strict=True):
            x = word_vectors(weights, row[:length])[None]
            x = x.flip(1) if direction == "backward" else x
            layers = [x]
            for number in range(num_layers):
                out, _ = lstm(weights, f"elmo/{direction}_{number}", x)
                x = x + out if number else out
                layers.append(x)
            stacked = torch.cat(layers)  # (L+1, length, D)
            stacked = stacked.flip(1) if direction == "backward" else stacked
            rows.append(functional.pad(stacked, (0, 0, 0, words.shape[1] - length)))
    return {direction: torch.stack(rows, dim=1) for direction, rows in found.items()}


def elmo_nats(weights, ids, lengths, num_layers: int, characters=None):
    """The mean cross-entropy of each direction, in nats per token."""
    words = ids if characters is None else characters
    layers = elmo_layers(weights, words, lengths, num_layers)
    scores = {
        name: x[-1] @ weights["head/kernel"] + weights["head/bias"]
        for name, x in layers.items()
    }
    nats = {"forward": [], "backward": []}
    for row, length in enumerate(lengths):
        read = ids[row, :length]
        for name, at, targets in (
            ("forward", slice(0, length - 1), read[1:]),
            ("backward", slice(1, length), read[:-1]),
        ):
            each = functional.cross_entropy(
                scores[name][row, at], targets, reduction="none"
            )
            nats[name].append(each)
    return {name: torch.cat(each).mean() for name, each in nats.items()}


def descend(arrays, losses, rate: float, momentum: float) -> list[float]:
    """The losses of functions of the weights, with an SGD update after each."""
    weights = {
        name: torch.tensor(array, dtype=torch.float64, requires_grad=True)
        for name, array in arrays.items()
    }
    velocities = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    found = []
    for loss_of in losses:
        loss = loss_of(weights)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        with torch.no_grad():
            for name, gradient in zip(weights, gradients, strict=True):
                velocities[name] = momentum * velocities[name] - rate * gradient
                weights[name] += velocities[name]
        found.append(loss.item())
    return found
