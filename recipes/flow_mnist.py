r"""Train a normalizing flow on small images, with exact likelihoods.

    zoo train flow_mnist                              # MNIST, hours on one core
    zoo train flow_mnist --variant realnvp            # affine couplings and masks
    zoo train flow_mnist --variant glow               # actnorm and 1 x 1 convolutions
    zoo train flow_mnist --variant multiscale         # the uvadlc notebook's
    zoo train flow_mnist --variant conditional        # a density for each class
    zoo train flow_mnist --variant digits             # a minute; nothing is downloaded

Reports the negative log-likelihood of the test images in bits per dimension, under
uniform or variational dequantization, with one draw of noise and with several
(importance-weighted). Draws samples, their dependence on the temperature,
reconstructions and their largest error, interpolations and the curve of training.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import zoo
from zoo.evaluation.images.codes import draw_interpolations, draw_reconstructions
from zoo.evaluation.images.pictures import image_grid
from zoo.models.flows.flow import DEQUANTIZATIONS, MIXINGS, PRESETS
from zoo.store.names import PresetName
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    AverageConfig,
    CosineConfig,
    ImagesConfig,
    average,
    cosine,
    draw_curves,
    evaluation,
    fit_epochs,
    load_images,
    replace,
    scaled,
    smoke_images,
)

# Sklearn's digits have 17 gray levels, other images 256.
LEVELS = {"digits": 17}
TEMPERATURES = (0.6, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Config(ImagesConfig, CosineConfig, AverageConfig):
    """A flow, its images and its training.

    Attributes:
        conditional: whether the density is conditioned on the images' classes.
        clip: maximum global norm of the gradients, of the loss in nats per image.
        init: preset to start from, whose architecture overrides these flags.
        nll_samples: draws of noise per image in the final likelihood; 0 to skip it.
        nll_images: number of test images in that likelihood; 0 for all.
    """

    out: Path = Path("runs/flow_mnist")
    # Placeholders: the shape comes from the data.
    model: zoo.NormalizingFlowConfig = flags(
        zoo.NormalizingFlowConfig(
            dequantization="variational",
            stages=("squeeze", "squeeze"),
            steps=(6, 4),
            hidden=(48, 64),
            actnorm=True,
            network="residual",
            num_blocks=2,
            num_bins=8,
            noise_hidden=24,
        ),
        *("stages", "steps", "hidden", "actnorm", "network", "num_blocks"),
        *("num_bins", "noise_steps", "noise_hidden"),
        dequantization=DEQUANTIZATIONS[1:],
        mixing=MIXINGS,
    )
    conditional: bool = False
    init: PresetName | None = None
    batch_size: int = 64
    epochs: int = 8
    learning_rate: float = 2e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 300
    ema: float = 0.998
    clip: float = 500.0
    nll_samples: int = 8
    nll_images: int = 2000


AFFINE = replace(
    Config(),
    batch_size=128,
    epochs=200,
    learning_rate=1e-3,
    eval_every=5,
    ema=0.999,
)
VARIANTS = {
    "spline": Config(),
    # Dinh et al. 2017, at a size for 28 x 28 images.
    "realnvp": replace(
        AFFINE,
        model=zoo.NormalizingFlowConfig(
            stages=("checkerboard", "squeeze", "checkerboard"),
            steps=(3, 3, 4),
            hidden=(32, 64, 64),
            actnorm=True,
            network="residual",
            num_blocks=2,
        ),
    ),
    # Kingma & Dhariwal 2018, at a size for 28 x 28 images.
    "glow": replace(
        AFFINE,
        model=zoo.NormalizingFlowConfig(
            stages=("squeeze", "squeeze"),
            steps=(8, 8),
            hidden=(64, 128),
            mixing="convolution",
            actnorm=True,
            network="plain",
        ),
    ),
    "multiscale": replace(AFFINE, model=PRESETS["flow_multiscale_28"]),
    "variational": replace(AFFINE, model=PRESETS["flow_variational_28"]),
    "conditional": replace(Config(), conditional=True),
    "digits": replace(
        Config(),
        dataset="digits",
        steps=(6, 2),
        hidden=(24, 24),
        num_blocks=1,
        noise_steps=2,
        noise_hidden=8,
        epochs=60,
        eval_every=10,
        warmup_steps=50,
        ema=0.98,
        nll_images=0,
    ),
}


def model(config: Config, data: zoo.data.ImageDataset) -> zoo.NormalizingFlow:
    """The flow, with new weights or those of the preset `config.init`."""
    if config.init:
        return zoo.NormalizingFlow.from_preset(config.init)
    changes = {
        "image_shape": data.train_images.shape[1:],
        "levels": LEVELS.get(config.dataset, 256),
        "num_classes": len(data.class_names) if config.conditional else 0,
    }
    return zoo.NormalizingFlow(replace(config.model, **changes))


def main(config: Config) -> dict:
    """Trains, evaluates and draws; returns the summary."""
    config = smoke_images(
        config,
        epochs=2,
        eval_every=1,
        steps=(2,) * len(config.model.stages),
        hidden=(4,) * len(config.model.stages),
        noise_hidden=4,
        num_blocks=1,
        nll_samples=2,
        nll_images=4,
    )
    run = Run(config)
    data = load_images(config)
    if config.conditional and data.train_labels is None:
        raise ValueError(
            f"conditional must be false for dataset {config.dataset!r}, whose images "
            "have no classes."
        )
    run.start({"dataset": data.sha256})
    train = slice(config.batch_size if config.smoke else None)
    labels, test_labels = None, None
    if config.conditional:
        labels, test_labels = data.train_labels[train], data.test_labels
    test = scaled(data.test_images)
    batches = zoo.data.ImageBatches(
        data.train_images[train], config.batch_size, labels=labels, seed=config.seed
    )

    flow = model(config, data)
    rate = cosine(config, config.epochs * batches.steps_per_epoch)
    adam = keras.optimizers.Adam(
        rate, global_clipnorm=config.clip, **average(config.ema)
    )
    flow.compile(adam, accumulate=config.accumulate)
    print(f"{flow.count_params():,} parameters")

    classes = flow.config.num_classes
    shown = np.arange(100) % classes if classes else None

    def samples() -> dict[str, np.ndarray]:
        return {"samples": flow.sample(100, labels=shown, seed=config.seed)}

    given = (test,) if test_labels is None else (test, test_labels)
    tested = evaluation(flow, *given, batch_size=500)
    fit_epochs(run, config, flow, batches, tested, samples=samples)
    figures = draw(run, flow, *given)
    figures |= likelihood(config, flow, *given)
    flow.save_to_preset(run.out / "preset")
    summary = run.finish(
        **figures,
        epochs=config.epochs,
        dequantization=flow.config.dequantization,
        levels=flow.config.levels,
        parameters=flow.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    print(f"\n{summary['val_bits_per_dim']:.3f} bits/dim; see {run.out}")
    return summary


def likelihood(
    config: Config,
    flow: zoo.NormalizingFlow,
    test: np.ndarray,
    labels: np.ndarray | None = None,
) -> dict[str, float]:
    """Bits per dimension of test images, importance-weighted, with its error."""
    if not config.nll_samples:
        return {}
    rows = zoo.data.fixed_subset(len(test), config.nll_images or None)
    given = (test[rows],) if labels is None else (test[rows], labels[rows])
    nats = -flow.log_likelihood(
        *given, num_samples=config.nll_samples, seed=config.seed
    )
    bits = nats / (flow.config.num_values * math.log(2))
    return {
        f"bits_per_dim_{config.nll_samples}_draws": float(bits.mean()),
        "bits_per_dim_error": float(bits.std() / math.sqrt(len(bits))),
    }


def draw(
    run: Run,
    flow: zoo.NormalizingFlow,
    test: np.ndarray,
    labels: np.ndarray | None = None,
) -> dict[str, float]:
    """Draws all the pictures that the module docstring lists."""
    seed, classes = run.config.seed, flow.config.num_classes
    rows = zoo.data.fixed_subset(len(test), 10)
    images, own = test[rows], None if labels is None else labels[rows]
    decoded = flow.reconstruct(images, own)
    error = float(np.abs(decoded - images).max())
    draw_reconstructions(
        run.out / "reconstructions.png",
        images,
        decoded,
        f"Test images and what their latents decode to; largest difference {error:.1e}",
    )
    count = 100
    image_grid(
        run.out / "samples.png",
        flow.sample(
            count, labels=np.arange(count) % classes if classes else None, seed=seed
        ),
        columns=10,
        title="Samples",
    )
    of_ten = np.arange(10) % classes if classes else None
    colder = [
        flow.sample(10, labels=of_ten, temperature=heat, seed=seed)
        for heat in TEMPERATURES
    ]
    image_grid(
        run.out / "temperatures.png",
        np.concatenate(colder),
        columns=10,
        title="The same latents at several temperatures",
        row_names=[str(heat) for heat in TEMPERATURES],
    )
    draw_interpolations(
        run.out / "interpolations.png",
        flow,
        images[:4],
        images[4:8],
        title="From one test image's latents to another's",
        **({} if own is None else {"labels": own[:4]}),
    )
    curves = {"training": "bits_per_dim", "test": "val_bits_per_dim"}
    draw_curves(run, curves, "Flow", "bits_per_dim", unit="bits per dimension")
    return {"reconstruction_error": error}


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
