"""DiT in plain torch, after facebookresearch/DiT."""

import torch
from torch import nn
from torch.nn import functional

from tests.models.plain_torch_unet import features

TIME_WIDTH = 256


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x, embedding):
        given = self.modulation(functional.silu(embedding))[:, None]
        shift, scale, gate, shift_2, scale_2, gate_2 = given.chunk(6, dim=-1)
        x = x + gate * self.attend(normed(x) * (1 + scale) + shift)
        y = self.expand(normed(x) * (1 + scale_2) + shift_2)
        y = functional.gelu(y, approximate="tanh")
        return x + gate_2 * self.contract(y)

    def attend(self, x):
        b, t, d = x.shape
        parts = self.query_key_value(x).view(b, t, 3, self.heads, d // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.output(y.transpose(1, 2).reshape(b, t, d))


class DiT(nn.Module):
    """Maps (B, C, H, W), times (B,) and conditions (B, D) to (B, C_out, H, W)."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        width, side = config.width, config.patch
        self.expand = nn.Linear(TIME_WIDTH, width)
        self.contract = nn.Linear(width, width)
        if config.condition_dim:
            self.condition = nn.Linear(config.condition_dim, width, bias=False)
        self.patches = nn.Conv2d(config.image_shape[-1], width, side, side)
        hidden = config.hidden_ratio * width
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads, hidden) for _ in range(config.num_layers)
        )
        self.modulation = nn.Linear(width, 2 * width)
        self.last = nn.Linear(width, side * side * config.output_shape[-1])

    def forward(self, x, times, condition=None):
        embedding = features(self.config.time_scale * times, TIME_WIDTH)
        embedding = self.contract(functional.silu(self.expand(embedding)))
        if condition is not None:
            embedding = embedding + self.condition(condition)
        x = self.patches(x)
        rows, columns = x.shape[2:]
        x = x.flatten(2).transpose(1, 2) + places(rows, columns, x.shape[1])
        for block in self.blocks:
            x = block(x, embedding)
        shift, scale = self.modulation(functional.silu(embedding))[:, None].chunk(2, 2)
        x = self.last(normed(x) * (1 + scale) + shift)
        side, channels = self.config.patch, self.config.output_shape[-1]
        x = x.reshape(-1, rows, columns, side, side, channels)
        x = torch.einsum("nhwpqc->nchpwq", x)
        return x.reshape(-1, channels, rows * side, columns * side)


def normed(x):
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6)


def places(rows, columns, width):
    """Of the columns, then of the rows, as get_2d_sincos_pos_embed has them."""
    row = torch.arange(rows).repeat_interleave(columns)
    column = torch.arange(columns).repeat(rows)
    each = [features(place.float(), width // 2) for place in (column, row)]
    return torch.cat(each, dim=-1)


def modules(theirs):
    """Their modules, or rows of them, by the paths of ours."""
    for name in ("expand", "contract"):
        yield f"times/{name}", getattr(theirs, name), slice(None)
    for name in ("condition", "patches", "last"):
        if hasattr(theirs, name):
            yield name, getattr(theirs, name), slice(None)
    yield "last_norm/modulation", theirs.modulation, slice(None)
    cut = 3 * theirs.config.width
    for index, block in enumerate(theirs.blocks):
        own = {
            "attention/query_key_value": (block.query_key_value, slice(None)),
            "attention/output": (block.output, slice(None)),
            "feed_forward/expand": (block.expand, slice(None)),
            "feed_forward/contract": (block.contract, slice(None)),
            "attention_norm/modulation": (block.modulation, slice(cut)),
            "feed_forward_norm/modulation": (block.modulation, slice(cut, None)),
        }
        for path, (module, rows) in own.items():
            yield f"block_{index}/{path}", module, rows


def in_torch(theirs, arrays):
    """Arrays by our paths, as (path, parameter, its rows, tensor in its layout)."""
    heads, side, found = theirs.config.num_heads, theirs.config.patch, []
    for path, module, rows in modules(theirs):
        for name, parameter in module.named_parameters():
            own = {"weight": "kernel", "bias": "bias"}[name]
            x = torch.tensor(arrays[f"{path}/{own}"])
            if path.endswith("query_key_value"):
                x = x.reshape(*x.shape[:-1], heads, 3, -1)
                x = x.transpose(-2, -3).flatten(-3)
            if path == "patches" and name == "weight":
                x = x.reshape(side, side, -1, x.shape[-1]).permute(3, 2, 0, 1)
            elif x.dim() == 2:
                x = x.T
            found.append((path, parameter, rows, x))
    assert len(found) == len(arrays)
    return found


def with_weights(theirs, arrays):
    """The network, with these arrays by our paths."""
    with torch.no_grad():
        for _, parameter, rows, x in in_torch(theirs, arrays):
            parameter[rows].copy_(x)
    return theirs
