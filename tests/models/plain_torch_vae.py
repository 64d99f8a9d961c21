"""A VAE in plain torch, as the papers state it, with weights given by name."""

import functools
import math

import torch
from torch import nn
from torch.nn import functional


def encode(w, x):
    h = x.flatten(1)
    h = torch.tanh(h @ w["encoder/hidden_0/kernel"] + w["encoder/hidden_0/bias"])
    h = torch.tanh(h @ w["encoder/hidden_1/kernel"] + w["encoder/hidden_1/bias"])
    mean = h @ w["posterior/mean/kernel"] + w["posterior/mean/bias"]
    log_variance = (
        h @ w["posterior/log_variance/kernel"] + w["posterior/log_variance/bias"]
    )
    return mean, log_variance


def decode(w, z):
    h = torch.tanh(z @ w["decoder/hidden_0/kernel"] + w["decoder/hidden_0/bias"])
    h = torch.tanh(h @ w["decoder/hidden_1/kernel"] + w["decoder/hidden_1/bias"])
    return h @ w["decoder/output/kernel"] + w["decoder/output/bias"]


def encode_convolutional(w, x):
    h = x.permute(0, 3, 1, 2)
    for index in range(2):
        kernel = w[f"encoder/down_{index}/kernel"].permute(3, 2, 0, 1)
        bias = w[f"encoder/down_{index}/bias"]
        h = torch.relu(functional.conv2d(h, kernel, bias, stride=2, padding=1))
    h = h.permute(0, 2, 3, 1).flatten(1)
    mean = h @ w["posterior/mean/kernel"] + w["posterior/mean/bias"]
    log_variance = (
        h @ w["posterior/log_variance/kernel"] + w["posterior/log_variance/bias"]
    )
    return mean, log_variance


def decode_convolutional(w, z, small):
    h = torch.relu(z @ w["decoder/hidden_0/kernel"] + w["decoder/hidden_0/bias"])
    h = h.reshape(-1, *small).permute(0, 3, 1, 2)
    for index in range(2):
        kernel = w[f"decoder/up_{index}/kernel"].permute(3, 2, 0, 1)
        bias = w[f"decoder/up_{index}/bias"]
        h = functional.conv_transpose2d(h, kernel, bias, stride=2, padding=1)
        h = torch.relu(h) if index == 0 else h
    return h.permute(0, 2, 3, 1).flatten(1)


def bound(x, noise, mean, log_variance, decode, iwae):
    """The negative bound by torch.distributions; `noise` is (B, K, L)."""
    posterior = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    prior = torch.distributions.Normal(0.0, 1.0)
    z = mean[:, None] + torch.exp(log_variance / 2)[:, None] * noise
    logits = decode(z.flatten(0, 1)).reshape(*noise.shape[:2], -1)
    pixels = torch.distributions.Bernoulli(logits=logits)
    log_px = pixels.log_prob(x.flatten(1)[:, None]).sum(-1)
    if iwae:
        density = torch.distributions.Normal(
            mean[:, None], torch.exp(log_variance / 2)[:, None]
        )
        log_w = log_px + prior.log_prob(z).sum(-1) - density.log_prob(z).sum(-1)
        return -(torch.logsumexp(log_w, 1) - math.log(noise.shape[1])).mean()
    kl = torch.distributions.kl_divergence(posterior, prior).sum(-1).mean()
    return -log_px.mean() + kl


def networks(config, w):
    """Encoder and decoder of a configuration with weights `w`."""
    if config.body == "mlp":
        return functools.partial(encode, w), functools.partial(decode, w)
    small = (config.image_shape[0] // 4, config.image_shape[1] // 4, config.hidden[-1])
    return (
        functools.partial(encode_convolutional, w),
        functools.partial(decode_convolutional, w, small=small),
    )


def loss(config, w, batch):
    """The negative bound of a batch of images and noise, a scalar."""
    images, noise = (as_tensor(batch[name], w) for name in ("images", "noise"))
    encode, decode = networks(config, w)
    iwae = config.objective == "iwae"
    return bound(images, noise, *encode(images), decode, iwae)


def as_tensor(array, w):
    return torch.tensor(array, dtype=next(iter(w.values())).dtype)


def parameters(arrays, dtype=torch.float32):
    return {k: nn.Parameter(torch.tensor(a, dtype=dtype)) for k, a in arrays.items()}


def loss_and_gradients(config, arrays, batch):
    w = parameters(arrays)
    value = loss(config, w, batch)
    value.backward()
    return value.item(), {name: p.grad.numpy() for name, p in w.items()}


def losses(config, arrays, batches, rate, momentum):
    """The losses of SGD updates with momentum, in float64."""
    w = parameters(arrays, torch.float64)
    optimizer = torch.optim.SGD(w.values(), rate, momentum)
    found = []
    for batch in batches:
        value = loss(config, w, batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(value.item())
    return found
