"""The U-Net of Ho et al. 2020 in plain torch, channels first, module by module."""

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    def __init__(self, given, channels, embedding, groups, scale_shift):
        super().__init__()
        self.scale_shift = scale_shift
        self.first_norm = nn.GroupNorm(groups, given)
        self.first = nn.Conv2d(given, channels, 3, padding=1)
        self.embedding = nn.Linear(embedding, channels * (2 if scale_shift else 1))
        self.second_norm = nn.GroupNorm(groups, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = nn.Identity()
        if given != channels:
            self.shortcut = nn.Conv2d(given, channels, 1)

    def forward(self, x, embedding):
        h = self.first(functional.silu(self.first_norm(x)))
        given = self.embedding(functional.silu(embedding))[:, :, None, None]
        if self.scale_shift:
            scale, shift = given.chunk(2, dim=1)
            h = self.second_norm(h) * (1 + scale) + shift
        else:
            h = self.second_norm(h + given)
        return self.shortcut(x) + self.second(functional.silu(h))


class Attention(nn.Module):
    def __init__(self, channels, heads, groups):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        parts = self.query_key_value(self.norm(x))
        parts = parts.view(b, 3, self.heads, c // self.heads, h * w)
        q, k, v = parts.transpose(3, 4).unbind(1)
        y = functional.scaled_dot_product_attention(q, k, v)
        return x + self.output(y.transpose(2, 3).reshape(b, c, h, w))


class Halve(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.convolution(functional.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.convolution(functional.interpolate(x, scale_factor=2))


class UNet(nn.Module):
    """Maps (B, C, H, W), times (B,) and conditions (B, D) to (B, C_out, H, W)."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        width, groups, heads = config.width, config.groups, config.num_heads
        size = 4 * width
        self.expand, self.contract = nn.Linear(width, size), nn.Linear(size, size)
        if config.condition_dim:
            self.condition = nn.Linear(config.condition_dim, size, bias=False)
        self.image = nn.Conv2d(config.image_shape[-1], width, 3, padding=1)
        given, kept = width, [width]

        def stage(channels, side, given):
            parts = [Residual(given, channels, size, groups, config.scale_shift)]
            if side in config.attention_sides:
                parts.append(Attention(channels, heads, groups))
            return nn.ModuleList(parts)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        levels = [*zip(config.widths, config.sides, strict=True)]
        for level, (channels, side) in enumerate(levels):
            for _ in range(config.num_residual_blocks):
                self.down.append(stage(channels, side, given))
                given = channels
                kept.append(given)
            if level < len(levels) - 1:
                self.down.append(nn.ModuleList([Halve(given)]))
                kept.append(given)
        residual = (given, given, size, groups, config.scale_shift)
        self.middle = nn.ModuleList(
            [Residual(*residual), Attention(given, heads, groups), Residual(*residual)]
        )
        for level, (channels, side) in reversed([*enumerate(levels)]):
            for index in range(config.num_residual_blocks + 1):
                parts = stage(channels, side, given + kept.pop())
                given = channels
                if level and index == config.num_residual_blocks:
                    parts.append(Double(given))
                self.up.append(parts)
        self.last_norm = nn.GroupNorm(groups, given)
        self.last = nn.Conv2d(given, config.output_shape[-1], 3, padding=1)

    def forward(self, x, times, condition=None):
        embedding = features(self.config.time_scale * times, self.config.width)
        embedding = self.contract(functional.silu(self.expand(embedding)))
        if condition is not None:
            embedding = embedding + self.condition(condition)
        x = self.image(x)
        kept = [x]
        for parts in self.down:
            x = run(parts, x, embedding)
            kept.append(x)
        x = run(self.middle, x, embedding)
        for parts in self.up:
            x = run(parts, torch.cat([x, kept.pop()], dim=1), embedding)
        return self.last(functional.silu(self.last_norm(x)))


def features(times, width):
    half = width // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = times[:, None] * frequencies.float()
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def run(parts, x, embedding):
    for part in parts:
        x = part(x, embedding) if isinstance(part, Residual) else part(x)
    return x


def modules(theirs):
    """Their modules by the paths of ours."""
    for name in ("expand", "contract"):
        yield f"times/{name}", getattr(theirs, name)
    for name in ("condition", "image", "last_norm", "last"):
        if hasattr(theirs, name):
            yield name, getattr(theirs, name)
    blocks = theirs.config.num_residual_blocks
    levels = len(theirs.config.widths)
    down, up = iter(theirs.down), iter(theirs.up)
    for level in range(levels):
        for index in range(blocks):
            yield from stages(f"down_{level}_{index}", next(down))
        if level < levels - 1:
            yield f"halve_{level}/convolution", next(down)[0].convolution
    first, attention, second = theirs.middle
    yield from stages("middle_0", [first])
    yield from stages("middle", [attention])
    yield from stages("middle_1", [second])
    for level in reversed(range(levels)):
        for index in range(blocks + 1):
            parts = next(up)
            yield from stages(f"up_{level}_{index}", parts)
        if level:
            yield f"double_{level}/convolution", parts[-1].convolution


def stages(name, parts):
    for part in parts:
        for own, module in part.named_children():
            if isinstance(part, Residual):
                yield f"{name}/{own}", module
            elif isinstance(part, Attention):
                path = own if own == "norm" else f"attention/{own}"
                yield f"{name}_attention/{path}", module


def in_torch(theirs, arrays):
    """Arrays by our paths, as (parameter, tensor in the parameter's layout)."""
    heads, found = theirs.config.num_heads, []
    for path, module in modules(theirs):
        for name, parameter in module.named_parameters():
            norm = isinstance(module, nn.GroupNorm)
            own = {"weight": "gamma" if norm else "kernel", "bias": "bias"}[name]
            own = "beta" if norm and name == "bias" else own
            x = torch.tensor(arrays[f"{path}/{own}"])
            if path.endswith("query_key_value"):
                x = x.reshape(*x.shape[:-1], heads, 3, -1)
                x = x.transpose(-2, -3).flatten(-3)
            x = x.permute(3, 2, 0, 1) if x.dim() == 4 else x.T if x.dim() == 2 else x
            found.append((path, parameter, x.reshape(parameter.shape)))
    assert len(found) == len(arrays) == len([*theirs.parameters()])
    return found


def with_weights(theirs, arrays):
    """The network, with these arrays by our paths."""
    with torch.no_grad():
        for _, parameter, x in in_torch(theirs, arrays):
            parameter.copy_(x)
    return theirs
