"""Sample quality: zoo's DCGAN and a plain torch one, one judge, several seeds.

    python -m benchmarks.dcgan_quality

Architecture, width, batches and updates are the same; each contender runs once per
seed. FID and the other metrics compare 10,000 samples with all training images on the
judge's features; the test images give the floor. Slow: six trainings by default.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import torch

import zoo
from benchmarks.gan import ADAM, adam
from tests.models import plain_torch_dcgan
from zoo.evaluation import (
    ClassifierFeatures,
    difference_interval,
    mean_interval,
    mode_coverage,
    sample_metrics,
)
from zoo.models.image_classifier import ImageClassifier

LATENT, BATCH, SAMPLES = 100, 128, 10_000
Sample = Callable[[int], np.ndarray]


def train_zoo(batches: zoo.data.ImageBatches, width: int, updates: int) -> Sample:
    """Trains zoo's DCGAN with `fit`."""
    gan = zoo.DCGAN(zoo.DCGANConfig(width=width, latent_dim=LATENT))
    names = ("discriminator", "generator")
    gan.compile({name: keras.optimizers.Adam(**ADAM) for name in names})
    gan.fit(batches.batches(), steps_per_epoch=updates, verbose=0)
    return lambda seed: gan.sample(SAMPLES, seed=seed)


def train_torch(batches: zoo.data.ImageBatches, width: int, updates: int) -> Sample:
    """Trains a plain loop; weights start as in pytorch/examples, biases as in torch."""
    generator = plain_torch_dcgan.Generator(LATENT, 7, [2 * width, width, 1])
    discriminator = plain_torch_dcgan.Discriminator(7, [1, width, 2 * width])
    for network in (generator, discriminator):
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.weight, 1.0, 0.02)
            elif hasattr(module, "weight"):
                torch.nn.init.normal_(module.weight, 0.0, 0.02)
    networks = (generator, discriminator)
    optimizers = [adam(network.parameters()) for network in networks]
    for update in range(updates):
        (images,) = batches.batch(update)
        real = torch.from_numpy(2 * images - 1).permute(0, 3, 1, 2)
        latents = torch.randn(BATCH, LATENT)
        plain_torch_dcgan.step(*networks, *optimizers, real, latents)

    def sample(seed: int) -> np.ndarray:
        generator.eval()
        latents = torch.randn(
            SAMPLES, LATENT, generator=torch.Generator().manual_seed(seed)
        )
        with torch.no_grad():
            drawn = torch.cat([generator(z) for z in latents.split(500)])
        return (drawn.permute(0, 2, 3, 1).numpy() + 1) / 2

    return sample


CONTENDERS = {"torch": train_torch, "zoo": train_zoo}


def main() -> None:
    """Trains all; prints each run, then the comparison, as lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", default="classifier.mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--contender", choices=CONTENDERS, action="append", help="default: both"
    )
    arguments = parser.parse_args()
    data = zoo.data.load("mnist", arguments.data_dir)
    train, test = (
        images / np.float32(255) for images in (data.train_images, data.test_images)
    )
    ImageClassifier.check_judge(arguments.judge, train.shape[1:])
    judge = ImageClassifier.from_preset(arguments.judge)
    features = ClassifierFeatures(judge)
    names = arguments.contender or list(CONTENDERS)
    runs: dict[str, list[dict]] = {name: [] for name in names}
    for seed in arguments.seeds:
        batches = zoo.data.ImageBatches(data.train_images, BATCH, seed=seed)
        updates = arguments.epochs * batches.steps_per_epoch
        for name in names:
            keras.utils.set_random_seed(seed)
            start = time.perf_counter()
            sample = CONTENDERS[name](batches, arguments.width, updates)
            seconds = time.perf_counter() - start
            samples = sample(seed)
            metrics = sample_metrics(train, samples, features, test=test, seed=seed)
            modes = mode_coverage(judge.predict_classes(samples), 10)
            metrics |= {"modes_covered": modes.covered}
            run = {"contender": name, "seed": seed, "seconds": round(seconds, 1)}
            runs[name].append(run | metrics)
            print(json.dumps(run | metrics), flush=True)
    fids = {name: [run["fid"] for run in found] for name, found in runs.items()}
    comparison = {name: str(mean_interval(values)) for name, values in fids.items()}
    if len(fids) == 2:
        difference = difference_interval(fids["zoo"], fids["torch"])
        comparison["zoo less torch"] = str(difference)
    print(json.dumps(comparison))


if __name__ == "__main__":
    main()
