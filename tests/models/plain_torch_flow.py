"""Flows in plain torch, as the papers state them, with weights given by name.

Values are (B, C, H, W), as torch has them; half of a coupling is chosen by a mask.
"""

import math

import torch
from torch.nn import functional


def convolve(w, name, x):
    kernel = w[f"{name}/kernel"].permute(3, 2, 0, 1)
    return functional.conv2d(x, kernel, w[f"{name}/bias"], padding="same")


def norm(w, name, x):
    x = x.permute(0, 2, 3, 1)
    gamma, beta = w[f"{name}/gamma"], w[f"{name}/beta"]
    x = functional.layer_norm(x, x.shape[-1:], gamma, beta, eps=1e-5)
    return x.permute(0, 3, 1, 2)


def concat_elu(x):
    return functional.elu(torch.cat([x, -x], 1))


def network(w, name, kind, num_blocks, x, labels):
    h = convolve(w, f"{name}/first", x)
    if labels is not None:
        h = h + w[f"{name}/condition/kernel"][labels][..., None, None]
    if kind == "plain":
        h = torch.relu(convolve(w, f"{name}/middle", torch.relu(h)))
    for index in range(num_blocks if kind != "plain" else 0):
        block = f"{name}/block_{index}"
        if kind == "residual":
            inner = torch.relu(norm(w, f"{block}/norm", h))
            inner = torch.relu(convolve(w, f"{block}/first", inner))
            h = h + convolve(w, f"{block}/second", inner)
        else:
            inner = convolve(w, f"{block}/expand", concat_elu(h))
            value, gate = convolve(w, f"{block}/gate", concat_elu(inner)).chunk(2, 1)
            h = norm(w, f"{block}/norm", h + value * torch.sigmoid(gate))
    h = concat_elu(h) if kind == "gated" else torch.relu(h)
    return convolve(w, f"{name}/last", h)


def spline(x, parameters, bound):
    """Durkan et al. 2019, equations 4 and 5, one bin after another."""
    bins = (len(parameters) + 1) // 3
    sizes = [
        2 * bound * (1e-3 + (1 - 1e-3 * bins) * torch.softmax(part, 0))
        for part in (parameters[:bins], parameters[bins : 2 * bins])
    ]
    xs, ys = (
        torch.cat([torch.zeros_like(s[:1]), torch.cumsum(s, 0)]) - bound for s in sizes
    )
    inner = 1e-3 + functional.softplus(
        parameters[2 * bins :] + math.log(math.expm1(1 - 1e-3))
    )
    one = torch.ones_like(inner[:1])
    slopes = torch.cat([one, inner, one])
    y, log_slope = x, torch.zeros_like(x)
    for k in range(bins):
        here = (x >= xs[k]) & (x < xs[k + 1])
        width, height = xs[k + 1] - xs[k], ys[k + 1] - ys[k]
        s, d0, d1 = height / width, slopes[k], slopes[k + 1]
        t = torch.where(here, (x - xs[k]) / width, 0.5 * torch.ones_like(x))
        below = s + (d1 + d0 - 2 * s) * t * (1 - t)
        found = ys[k] + height * (s * t**2 + d0 * t * (1 - t)) / below
        slope = s**2 * (d1 * t**2 + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2) / below**2
        y = torch.where(here, found, y)
        log_slope = torch.where(here, torch.log(slope), log_slope)
    return y, log_slope


def mask_of(pattern, flipped, shape):
    """True (C, H, W) where a coupling changes values."""
    channels, height, width = shape
    if pattern == "checkerboard":
        rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
        return ((rows + columns) % 2 == int(flipped)).expand(shape)
    channel = torch.arange(channels)
    place = channel // max(channels // 4, 1)
    second = {
        "halves": channel >= channels - channels // 2,
        "rows": place // 2 == 1,
        "columns": place % 2 == 1,
        "diagonal": (place // 2 + place % 2) % 2 == 1,
    }[pattern]
    return (second != flipped)[:, None, None].expand(shape)


def coupling(w, name, config, pattern, flipped, x, labels, pictures=None, bins=0):
    mask = mask_of(pattern, flipped, x.shape[1:])
    board = pattern == "checkerboard"
    where = torch.ones(x.shape[1], dtype=bool) if board else mask[:, 0, 0]
    seen = x * ~mask if board else x[:, ~mask[:, 0, 0]]
    if pictures is not None:
        seen = torch.cat([seen, pictures], 1)
    found = network(
        w, f"{name}/network", config.network, config.num_blocks, seen, labels
    )
    changed = int(where.sum())
    raw, shift = found[:, :changed], found[:, changed : 2 * changed]
    most = torch.exp(w[f"{name}/scaling"])[:, None, None]
    log_scale = torch.tanh(raw / most) * most
    new = (x[:, where] + shift) * torch.exp(log_scale)
    if bins:
        rest = found[:, 2 * changed :]
        rest = rest.reshape(len(x), -1, changed, *x.shape[2:]).transpose(0, 1)
        new, more = spline(new, rest, config.bound)
        log_scale = log_scale + more
    y = x.clone()
    y[:, where] = torch.where(mask[where], new, x[:, where])
    return y, (log_scale * mask[where]).sum((1, 2, 3))


def squeeze(x):
    places = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.cat(places, 1)


def unsqueeze(x):
    parts = x.chunk(4, 1)
    y = x.new_zeros(len(x), x.shape[1] // 4, 2 * x.shape[2], 2 * x.shape[3])
    for index, part in enumerate(parts):
        y[:, :, index // 2 :: 2, index % 2 :: 2] = part
    return y


def logit(x, margin):
    x = margin / 2 + (1 - margin) * x
    log_det = math.log(1 - margin) - torch.log(x) - torch.log(1 - x)
    return torch.log(x / (1 - x)), log_det.sum((1, 2, 3))


def log_likelihood(config, w, images, noise, labels=None):
    """Nats (B,) of images (B, H, W, C), with one draw of noise."""
    x = images.permute(0, 3, 1, 2)
    total = 0.0
    if config.levels:
        u = noise.permute(0, 3, 1, 2)
        if config.dequantization == "variational":
            u, log_q = variational(config, w, u, 2 * x - 1, labels)
            total = total - log_q
        x = (torch.round(x * (config.levels - 1)) + u) / config.levels
        total = total - config.num_values * math.log(config.levels)
        x, log_det = logit(x, config.margin)
        total = total + log_det
    latents = []
    for stage, kind in enumerate(config.stages):
        if kind == "squeeze":
            x = squeeze(x)
        for step in range(config.steps[stage]):
            x, log_det = one_step(config, w, x, stage, kind, step, labels)
            total = total + log_det
        last = stage == len(config.stages) - 1
        if kind == "squeeze" and config.split and not last:
            kept = x.shape[1] - x.shape[1] // 2
            latents.append(x[:, kept:].flatten(1))
            x = x[:, :kept]
    z = torch.cat([*latents, x.flatten(1)], 1)
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + total


def one_step(config, w, x, stage, kind, step, labels):
    total, pixels = 0.0, x.shape[2] * x.shape[3]
    if config.actnorm:
        name = f"flow/actnorm_{stage}_{step}"
        mean, stddev, scale, bias = (
            w[f"{name}/{part}"][:, None, None]
            for part in ("mean", "stddev", "scale", "bias")
        )
        x = (x - mean) / stddev * torch.exp(scale) + bias
        total = total + pixels * (scale - torch.log(stddev)).sum()
    pattern, flipped = kind, step % 2 == 1
    if config.mixing == "convolution" and kind != "checkerboard":
        name = f"flow/mix_{stage}_{step}"
        lower = torch.tril(w[f"{name}/lower"], -1) + torch.eye(x.shape[1])
        diagonal = w[f"{name}/sign"] * torch.exp(w[f"{name}/log_scale"])
        upper = torch.triu(w[f"{name}/upper"], 1) + torch.diag(diagonal)
        kernel = w[f"{name}/permutation"] @ lower @ upper
        x = functional.conv2d(x, kernel[:, :, None, None])
        total = total + pixels * torch.slogdet(kernel)[1]
        pattern, flipped = "halves", False
    elif kind == "squeeze":
        pattern = ("diagonal", "rows", "columns")[step // 2 % 3]
    name = f"flow/coupling_{stage}_{step}"
    x, log_det = coupling(
        w, name, config, pattern, flipped, x, labels, bins=config.num_bins
    )
    return x, total + log_det


def variational(config, w, noise, pictures, labels):
    y, log_det = logit(noise, 1e-5)
    squeezed = config.stages[0] == "squeeze"
    if squeezed:
        y, pictures = squeeze(y), squeeze(pictures)
    for index in range(config.noise_steps):
        pattern = "checkerboard"
        if squeezed:
            pattern = ("diagonal", "rows")[index // 2 % 2]
        name = f"dequantization/coupling_{index}"
        flipped = index % 2 == 1
        y, more = coupling(w, name, config, pattern, flipped, y, labels, pictures)
        log_det = log_det + more
    if squeezed:
        y = unsqueeze(y)
    u = torch.sigmoid(y)
    return u, -(log_det + (torch.log(u) + torch.log(1 - u)).sum((1, 2, 3)))


def _double(arrays):
    return {name: torch.tensor(array).double() for name, array in arrays.items()}


def loss(config, w, batch):
    images, noise = (torch.tensor(batch[name]).double() for name in ("images", "noise"))
    labels = batch.get("labels")
    labels = None if labels is None else torch.tensor(labels).long()
    return -log_likelihood(config, w, images, noise, labels).mean()


def loss_and_gradients(config, weights, batch):
    """The mean of nats, and its gradients by name."""
    torch.set_default_dtype(torch.float64)
    try:
        w = _double(weights)
        for array in w.values():
            array.requires_grad_()
        found = loss(config, w, batch)
        found.backward()
    finally:
        torch.set_default_dtype(torch.float32)
    return found.item(), {
        name: array.grad.numpy() for name, array in w.items() if array.grad is not None
    }


def losses(config, weights, trained, batches, rate, momentum):
    """The losses of SGD's updates of the weights named in `trained`."""
    torch.set_default_dtype(torch.float64)
    try:
        w = _double(weights)
        for name in trained:
            w[name].requires_grad_()
        sgd = torch.optim.SGD([w[n] for n in trained], rate, momentum=momentum)
        found = []
        for batch in batches:
            sgd.zero_grad()
            value = loss(config, w, batch)
            value.backward()
            sgd.step()
            found.append(value.item())
    finally:
        torch.set_default_dtype(torch.float32)
    return found
