"""Training speed: `fit` of zoo's DCGAN and CycleGAN beside plain torch loops.

    python -m benchmarks.gan --backend jax

Both train in one process and take turns, whichever backend zoo is on.
"""

import argparse
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import Contender, interleave
from benchmarks.training import BACKENDS, HAND_WRITTEN
from tests.models import plain_torch_cyclegan, plain_torch_dcgan

DCGAN = {"image_shape": (28, 28, 1), "width": 64}
DCGAN_BATCH = 128  # Radford et al. 2016
# Smaller than the paper's 256 x 256 and width 64, to take turns often.
CYCLEGAN = {"image_size": (64, 64), "width": 32, "residual_blocks": 6}
CYCLEGAN_BATCH = 1  # Zhu et al. 2017
ADAM = {"beta_1": 0.5, "learning_rate": 2e-4}


def adam(parameters) -> torch.optim.Optimizer:
    """As the reference implementations have it, in its fastest form."""
    betas = (ADAM["beta_1"], 0.999)
    return torch.optim.Adam(parameters, ADAM["learning_rate"], betas, fused=True)


def images(batch: int, shape: tuple[int, ...], channels_first: bool):
    """Endless random pictures, the same for all."""
    random = np.random.default_rng(0)
    made = [random.random((batch, *shape), dtype="float32") for _ in range(16)]
    if channels_first:
        # Prepared beforehand, as data loaders in other processes do.
        made = [torch.from_numpy(2 * x - 1).permute(0, 3, 1, 2) for x in made]
        made = [x.contiguous() for x in made]
    return itertools.cycle(made)


def torch_dcgan() -> Contender:
    """pytorch/examples' networks and step."""
    side, channels = DCGAN["image_shape"][0] // 4, DCGAN["image_shape"][2]
    widths = [DCGAN["width"], 2 * DCGAN["width"]]
    generator = plain_torch_dcgan.Generator(100, side, [*reversed(widths), channels])
    discriminator = plain_torch_dcgan.Discriminator(side, [channels, *widths])
    players = {x: adam(x.parameters()) for x in (discriminator, generator)}
    loss = functional.binary_cross_entropy_with_logits
    stream = images(DCGAN_BATCH, DCGAN["image_shape"], channels_first=True)
    ones, zeros = torch.ones(DCGAN_BATCH), torch.zeros(DCGAN_BATCH)

    def run(steps: int) -> float:
        for real in itertools.islice(stream, steps):
            fake = generator(torch.randn(DCGAN_BATCH, 100))
            players[discriminator].zero_grad()
            loss(discriminator(real), ones).backward()
            loss(discriminator(fake.detach()), zeros).backward()
            players[discriminator].step()
            players[generator].zero_grad()
            found = loss(discriminator(fake), ones)
            found.backward()
            players[generator].step()
        return found.item()

    return Contender(run)


def zoo_dcgan() -> Contender:
    """`model.fit` as a user calls it, its own overhead included."""
    import keras

    import zoo

    model = zoo.DCGAN(zoo.DCGANConfig(**DCGAN))
    model.compile(
        {name: keras.optimizers.Adam(**ADAM) for name in ("discriminator", "generator")}
    )
    stream = images(DCGAN_BATCH, DCGAN["image_shape"], channels_first=False)

    def run(steps: int) -> float:
        history = model.fit(stream, steps_per_epoch=steps, epochs=1, verbose=0)
        return history.history["generator/loss"][-1]

    return Contender(run)


def torch_cyclegan() -> Contender:
    """The authors' networks and step, with their history."""
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
    """`model.fit` likewise."""
    import keras

    import zoo

    model = zoo.CycleGAN(zoo.CycleGANConfig(**CYCLEGAN))
    names = ("generators", "discriminators")
    model.compile({name: keras.optimizers.Adam(**ADAM) for name in names})
    shape = (*CYCLEGAN["image_size"], 3)
    streams = [images(CYCLEGAN_BATCH, shape, channels_first=False) for _ in "ab"]
    pairs = zip(*streams, strict=True)

    def run(steps: int) -> float:
        history = model.fit(pairs, steps_per_epoch=steps, epochs=1, verbose=0)
        return history.history["generators/loss"][-1]

    return Contender(run)


MODELS: dict[str, tuple[int, dict[str, Callable[[], Contender]]]] = {
    "dcgan": (DCGAN_BATCH, {HAND_WRITTEN: torch_dcgan, "zoo": zoo_dcgan}),
    "cyclegan": (CYCLEGAN_BATCH, {HAND_WRITTEN: torch_cyclegan, "zoo": zoo_cyclegan}),
}


def measure(model: str, seconds: float) -> dict[str, dict[str, float]]:
    """Both contenders' speed, in images (of each domain) a second."""
    batch, makers = MODELS[model]
    contenders = {name: make() for name, make in makers.items()}
    trial = interleave(contenders, HAND_WRITTEN, batch, rounds=1, steps=3)
    step_seconds = sum(r.milliseconds_per_step for r in trial.values()) / 1000
    rounds = 9
    steps = max(2, min(100, int(seconds / step_seconds / rounds)))
    results = interleave(contenders, HAND_WRITTEN, batch, rounds=rounds, steps=steps)
    return {name: asdict(result) for name, result in results.items()}


def main() -> None:
    """Measures one backend, and prints the results as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--seconds", type=float, default=60.0, help="per model")
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = arguments.backend
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    results = {
        name: measure(name, arguments.seconds) for name in arguments.model or MODELS
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
