"""pytorch/examples' DCGAN in any size, and its tensors in our layout."""

import torch
from torch import nn
from torch.nn import functional


class Generator(nn.Module):
    """From latents (B, L) to images; `channels` from the first map to the image."""

    def __init__(self, latent_dim, side, channels):
        super().__init__()
        pairs = list(zip(channels, channels[1:], strict=False))
        self.project = nn.ConvTranspose2d(latent_dim, channels[0], side, bias=False)
        self.norm = nn.ModuleList(nn.BatchNorm2d(a) for a, _ in pairs)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1, bias=b == channels[-1]) for a, b in pairs
        )

    def forward(self, latents):
        x = self.project(latents[:, :, None, None])
        for norm, up in zip(self.norm, self.up, strict=True):
            x = up(torch.relu(norm(x)))
        return torch.tanh(x)


class Discriminator(nn.Module):
    """From images to scores (B,); `channels` go from the image on."""

    def __init__(self, side, channels, norm=True):
        super().__init__()
        pairs = list(zip(channels, channels[1:], strict=False))
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1, bias=not (norm and index))
            for index, (a, b) in enumerate(pairs)
        )
        self.norm = nn.ModuleList(
            nn.BatchNorm2d(b) if norm and index else nn.Identity()
            for index, (_, b) in enumerate(pairs)
        )
        self.score = nn.Conv2d(channels[-1], 1, side)

    def forward(self, images):
        x = images
        for down, norm in zip(self.down, self.norm, strict=True):
            x = functional.leaky_relu(norm(down(x)), 0.2)
        return self.score(x).flatten()


def step(
    generator,
    discriminator,
    generator_optimizer,
    discriminator_optimizer,
    real,
    latents,
):
    """One step on real images (B, C, H, W), discriminator first; returns its losses."""
    cross_entropy = functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
    fake = generator(latents)
    discriminator_optimizer.zero_grad()
    real_scores, fake_scores = discriminator(real), discriminator(fake.detach())
    loss = cross_entropy(real_scores, ones) + cross_entropy(fake_scores, zeros)
    loss.backward()
    discriminator_optimizer.step()
    generator_optimizer.zero_grad()
    scores = discriminator(fake)
    generator_loss = cross_entropy(scores, ones)
    generator_loss.backward()
    generator_optimizer.step()
    return {
        "discriminator/loss": loss,
        "discriminator/real": torch.sigmoid(real_scores).mean(),
        "discriminator/fake": torch.sigmoid(fake_scores).mean(),
        "generator/loss": generator_loss,
        "generator/fake": torch.sigmoid(scores).mean(),
    }


def in_our_layout(network, prefix, read=lambda parameter: parameter):
    """What `read` returns for each parameter, under our paths and axis order."""
    kinds = {"weight": "gamma", "bias": "beta"}
    found = {}
    for name, parameter in network.named_parameters():
        layer, *stage, kind = name.split(".")
        x = read(parameter).detach()
        if layer == "norm":
            kind = kinds[kind]
        elif kind == "weight":
            kind = "kernel"
            if layer == "project":  # (L, C, H, W) to (L, H·W·C)
                x = x.permute(0, 2, 3, 1).flatten(1)
            elif layer == "score":  # (1, C, H, W) to (H·W·C, 1)
                x = x.permute(0, 2, 3, 1).flatten(1).T
            else:
                x = x.permute(2, 3, 1, 0)
        body = "" if layer == "score" else prefix
        found[f"{body}{'_'.join([layer, *stage])}/{kind}"] = x.numpy().copy()
    return found


def biased_variance(norm, passes, rows):
    """A running variance that starts at 1, without Bessel's correction, as in Keras."""
    start = 0.9**passes
    return start + (norm.running_var.numpy() - start) * (rows - 1) / rows
