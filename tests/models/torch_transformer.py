"""`torch.nn.Transformer` with embeddings around it, as a reference.

Weights are arrays by the names that `zoo` saves them under. Queries, keys and values,
stacked in `torch` as (3D, D), are columns head by head in `zoo`.
"""

import math

import numpy as np
import torch
from torch.nn import functional

PAD = 0


class Reference(torch.nn.Module):
    """Post-norm, in float64, with one matrix for both embeddings and the output."""

    def __init__(self, config, arrays):
        super().__init__()
        self.config = config
        self.table = torch.nn.Parameter(torch.empty(config.vocab_size, config.width))
        self.stacks = torch.nn.Transformer(
            config.width,
            config.num_heads,
            config.num_layers,
            config.num_layers,
            config.feed_forward_width,
            dropout=0.0,
            batch_first=True,
        )
        # The paper has none above its stacks, whose blocks end with one.
        self.stacks.encoder.norm = self.stacks.decoder.norm = None
        self.double()
        with torch.no_grad():
            for parameter, array in self.pairs(arrays):
                parameter.copy_(torch.tensor(array))

    def pairs(self, arrays):
        """Pairs of parameters and our arrays in torch's layout."""
        yield self.table, arrays["token_embedding/embeddings"]
        stacks = {"encoder": self.stacks.encoder, "decoder": self.stacks.decoder}
        for stack, layers in stacks.items():
            for number, layer in enumerate(layers.layers):
                block = {
                    name.removeprefix(f"{stack}_{number}/"): array
                    for name, array in arrays.items()
                    if name.startswith(f"{stack}_{number}/")
                }
                yield from self._block(layer, block)

    def _block(self, layer, arrays):
        crosses = hasattr(layer, "multihead_attn")
        norms = ["attention", "cross", "feed_forward"]
        norms = norms if crosses else [norms[0], norms[2]]
        for number, norm in enumerate(norms, 1):
            theirs = getattr(layer, f"norm{number}")
            yield theirs.weight, arrays[f"{norm}_norm/gamma"]
            yield theirs.bias, arrays[f"{norm}_norm/beta"]
        for name, theirs in (("expand", layer.linear1), ("contract", layer.linear2)):
            yield theirs.weight, arrays[f"feed_forward/{name}/kernel"].T
            yield theirs.bias, arrays[f"feed_forward/{name}/bias"]
        attentions = {"attention": layer.self_attn}
        if crosses:
            attentions["cross_attention"] = layer.multihead_attn
        for name, theirs in attentions.items():
            yield theirs.out_proj.weight, arrays[f"{name}/output/kernel"].T
            yield theirs.out_proj.bias, arrays[f"{name}/output/bias"]
            yield theirs.in_proj_weight, self._stacked(arrays, name, "kernel")
            yield theirs.in_proj_bias, self._stacked(arrays, name, "bias")

    def _stacked(self, arrays, name, kind):
        parts = [(f"{name}/query_key_value", 3)]
        if name == "cross_attention":
            parts = [(f"{name}/query", 1), (f"{name}/key_value", 2)]
        stacked = []
        for part, count in parts:
            array = arrays[f"{part}/{kind}"]
            heads = array.reshape(*array.shape[:-1], self.config.num_heads, count, -1)
            rows = np.moveaxis(heads, -2, 0)  # queries, keys, values
            rows = rows.reshape(count, *array.shape[:-1], -1)
            stacked.append(np.concatenate([np.swapaxes(x, 0, -1) for x in rows]))
        return np.concatenate(stacked)

    def forward(self, sources, targets):
        hidden = self.stacks(
            self._embedded(sources),
            self._embedded(targets),
            tgt_mask=torch.ones(targets.shape[1], targets.shape[1]).triu(1).bool(),
            src_key_padding_mask=sources == PAD,
            memory_key_padding_mask=sources == PAD,
        )
        return hidden @ self.table.T

    def _embedded(self, ids):
        width = self.config.width
        return self.table[ids] * math.sqrt(width) + _positions(ids.shape[1], width)

    def loss(self, sources, targets):
        """The mean loss over labels that are not padding."""
        return functional.cross_entropy(
            self(sources, targets[:, :-1]).flatten(0, 1),
            targets[:, 1:].flatten(),
            ignore_index=PAD,
            label_smoothing=self.config.label_smoothing,
        )


def _positions(length, width):
    """Section 3.5 of the paper, computed entry by entry."""
    table = torch.zeros(length, width, dtype=torch.float64)
    for place in range(length):
        for pair in range(width // 2):
            angle = place / 10000 ** (2 * pair / width)
            table[place, 2 * pair] = math.sin(angle)
            table[place, 2 * pair + 1] = math.cos(angle)
    return table


def losses(reference, batches, rate, momentum) -> list[float]:
    """Each batch's loss before its SGD update, in float64."""
    optimizer = torch.optim.SGD(reference.parameters(), rate, momentum)
    found = []
    for batch in batches:
        loss = reference.loss(*(torch.tensor(x, dtype=torch.int64) for x in batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found
