"""Training speed: `fit` of zoo's DCGAN and CycleGAN, and plain torch loops.

    python -m benchmarks.gan --backend jax

Both train in alternating turns of one process, whichever backend zoo is on.
"""

import itertools
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.one_backend import HAND_WRITTEN, Figures, all_cores, command_line, timed
from benchmarks.timing import Contender
from tests.models import plain_torch_cyclegan, plain_torch_dcgan

DCGAN = {"image_shape": (28, 28, 1), "width": 64}
DCGAN_BATCH = 128  # Radford et al. 2016
# Smaller than the paper's 256 x 256 and width 64, so that turns are short.
CYCLEGAN = {"image_size": (64, 64), "width": 32, "residual_blocks": 6}
CYCLEGAN_BATCH = 1  # Zhu et al. 2017
ADAM = {"beta_1": 0.5, "learning_rate": 2e-4}


def adam(parameters) -> torch.optim.Optimizer:
    """Returns the reference implementations' Adam, in its fastest form."""
    betas = (ADAM["beta_1"], 0.999)
    return torch.optim.Adam(parameters, ADAM["learning_rate"], betas, fused=True)


def images(batch: int, shape: tuple[int, ...], channels_first: bool):
    """Yields random pictures endlessly, the same for all contenders."""
    random = np.random.default_rng(0)
    made = [random.random((batch, *shape), dtype="float32") for _ in range(16)]
    if channels_first:
        # Prepared beforehand, as data loaders in other processes do.
        made = [torch.from_numpy(2 * x - 1).permute(0, 3, 1, 2) for x in made]
        made = [x.contiguous() for x in made]
    return itertools.cycle(made)


def torch_dcgan() -> Contender:
    """Trains with the networks and step of pytorch/examples."""
    side, channels = DCGAN["image_shape"][0] // 4, DCGAN["image_shape"][2]
    widths = [DCGAN["width"], 2 * DCGAN["width"]]
    generator = plain_torch_dcgan.Generator(100, side, [*reversed(widths), channels])
    discriminator = plain_torch_dcgan.Discriminator(side, [channels, *widths])
    networks = (generator, discriminator)
    optimizers = [adam(network.parameters()) for network in networks]
    stream = images(DCGAN_BATCH, DCGAN["image_shape"], channels_first=True)

    def run(steps: int) -> float:
        for real in itertools.islice(stream, steps):
            latents = torch.randn(DCGAN_BATCH, 100)
            losses = plain_torch_dcgan.step(*networks, *optimizers, real, latents)
        return losses["generator/loss"].item()

    return Contender(run)


def zoo_dcgan() -> Contender:
    """Calls `model.fit` as a user would, including its overhead."""
    import keras

    import zoo

    model = zoo.DCGAN(zoo.DCGANConfig(**DCGAN))
    model.compile(
        {name: keras.optimizers.Adam(**ADAM) for name in ("discriminator", "generator")}
    )
    stream = images(DCGAN_BATCH, DCGAN["image_shape"], channels_first=False)
    return Contender.fitting(model, stream, loss="generator/loss")


def torch_cyclegan() -> Contender:
    """Trains with the authors' networks and step, and their image history."""
    import zoo

    config = zoo.CycleGANConfig(**CYCLEGAN)
    networks = plain_torch_cyclegan.networks(config)
    optimizers = plain_torch_cyclegan.optimizers(networks, adam)
    shape = (*config.image_size, 3)
    streams = [images(CYCLEGAN_BATCH, shape, channels_first=True) for _ in "ab"]
    pools = {f"show_{name}": plain_torch_cyclegan.Pool(config.history) for name in "ab"}

    def run(steps: int) -> float:
        for a, b in itertools.islice(zip(*streams, strict=True), steps):
            losses = plain_torch_cyclegan.step(
                networks, optimizers, a, b, config, **pools
            )
        return losses["generators/loss"].item()

    return Contender(run)


def zoo_cyclegan() -> Contender:
    """Calls CycleGAN's `model.fit` as a user would, including its overhead."""
    import keras

    import zoo

    model = zoo.CycleGAN(zoo.CycleGANConfig(**CYCLEGAN))
    names = ("generators", "discriminators")
    model.compile({name: keras.optimizers.Adam(**ADAM) for name in names})
    shape = (*CYCLEGAN["image_size"], 3)
    streams = [images(CYCLEGAN_BATCH, shape, channels_first=False) for _ in "ab"]
    pairs = zip(*streams, strict=True)
    return Contender.fitting(model, pairs, loss="generators/loss")


MODELS: dict[str, tuple[int, dict[str, Callable[[], Contender]]]] = {
    "dcgan": (DCGAN_BATCH, {HAND_WRITTEN: torch_dcgan, "zoo": zoo_dcgan}),
    "cyclegan": (CYCLEGAN_BATCH, {HAND_WRITTEN: torch_cyclegan, "zoo": zoo_cyclegan}),
}


def measure(model: str, seconds: float) -> Figures:
    """Measures images (of each domain) per second."""
    all_cores()
    batch, makers = MODELS[model]
    return timed({name: make() for name, make in makers.items()}, batch, seconds)


if __name__ == "__main__":
    command_line(__doc__, MODELS, lambda flags, case: measure(case, flags.seconds))
