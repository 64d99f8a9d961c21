"""Training speed: `fit` of zoo's VAE, and a hand-written torch loop.

    python -m benchmarks.vae --backend jax

Both train in alternating turns of one process, whichever backend zoo is on.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.one_backend import HAND_WRITTEN, Figures, all_cores, command_line, timed
from benchmarks.timing import Contender


@dataclass(frozen=True)
class Setting:
    """A model's sizes and training settings."""

    hidden: tuple[int, ...]
    latent_dim: int
    activation: str
    samples: int = 1
    iwae: bool = False
    batch: int = 100
    pixels: int = 784


SETTINGS = {
    # Burda et al. 2016, one stochastic layer.
    "vae": Setting((200, 200), 50, "tanh"),
    "iwae_50": Setting((200, 200), 50, "tanh", samples=50, iwae=True),
    # Pythae's reproduction of the VAE.
    "pythae": Setting((400,), 40, "relu"),
}


class PlainVAE(nn.Module):
    """The VAE, written by hand in torch."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[setting.activation]

        def stack(widths):
            pairs = itertools.pairwise(widths)
            return [m for a, b in pairs for m in (nn.Linear(a, b), activation())]

        widths = (setting.pixels, *setting.hidden)
        self.encoder = nn.Sequential(*stack(widths))
        self.mean = nn.Linear(widths[-1], setting.latent_dim)
        self.log_variance = nn.Linear(widths[-1], setting.latent_dim)
        back = (setting.latent_dim, *reversed(setting.hidden))
        self.decoder = nn.Sequential(*stack(back), nn.Linear(back[-1], setting.pixels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the mean negative bound of images (B, pixels), a scalar."""
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        shape = (len(x), self.setting.samples, self.setting.latent_dim)
        noise = torch.randn(shape)
        z = mean[:, None] + torch.exp(0.5 * log_variance)[:, None] * noise
        logits = self.decoder(z)
        log_px = -functional.binary_cross_entropy_with_logits(
            logits, x[:, None].expand_as(logits), reduction="none"
        ).sum(-1)
        if self.setting.iwae:
            ratio = 0.5 * (noise**2 + log_variance[:, None] - z**2).sum(-1)
            bound = torch.logsumexp(log_px + ratio, 1) - math.log(self.setting.samples)
            return -bound.mean()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
        return (kl - log_px.mean(1)).mean()


def batches(setting: Setting):
    """Yields random binary pictures endlessly, the same for all contenders."""
    random = np.random.default_rng(0)
    side = math.isqrt(setting.pixels)
    size = (setting.batch, side, side, 1)
    made = [(random.random(size) > 0.8).astype("float32") for _ in range(16)]
    return itertools.cycle(made)


def plain_torch(setting: Setting) -> Contender:
    """Trains a plain loop with fused Adam."""
    torch.manual_seed(0)
    model = PlainVAE(setting)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    stream = batches(setting)

    def run(steps: int) -> float:
        for batch in itertools.islice(stream, steps):
            optimizer.zero_grad()
            loss = model(torch.from_numpy(batch.reshape(setting.batch, -1)))
            loss.backward()
            optimizer.step()
        return loss.item()

    return Contender(run)


def zoo_fit(setting: Setting) -> Contender:
    """Calls `model.fit` as a user would, including its overhead."""
    import keras

    import zoo

    keras.utils.set_random_seed(0)
    model = zoo.VAE(
        zoo.VAEConfig(
            hidden=setting.hidden,
            latent_dim=setting.latent_dim,
            activation=setting.activation,
            objective="iwae" if setting.iwae else "elbo",
            num_samples=setting.samples,
        )
    )
    model.compile(keras.optimizers.Adam(1e-3))
    return Contender.fitting(model, batches(setting))


def measure(setting: Setting, seconds: float) -> Figures:
    """Measures images per second."""
    all_cores()
    contenders = {HAND_WRITTEN: plain_torch(setting), "zoo": zoo_fit(setting)}
    return timed(contenders, setting.batch, seconds)


if __name__ == "__main__":
    command_line(
        __doc__, SETTINGS, lambda flags, case: measure(SETTINGS[case], flags.seconds)
    )
