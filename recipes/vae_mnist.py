r"""Train a variational autoencoder on small images, and estimate its likelihood.

    zoo train vae_mnist                               # MNIST, minutes
    zoo train vae_mnist --variant plane               # 2-dimensional codes
    zoo train vae_mnist --variant iwae_50             # hours on two cores
    zoo train vae_mnist --dataset digits              # nothing is downloaded
    zoo train vae_mnist --dataset images --data-dir my_pictures/ \
        --variant convolutional --observation discretized_logistic --binarize none

Draws reconstructions, samples, interpolations, codes and the terms of the loss, and
reports the negative log-likelihood of the test set (importance-weighted bound). Results
for pixels binarised again for every batch ("dynamic") and only once ("static") are not
comparable (Burda et al. 2016, section 5).
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import zoo
from zoo.data.images.batches import Binarize
from zoo.evaluation import likelihood_metrics
from zoo.evaluation.images.codes import (
    draw_codes,
    draw_interpolations,
    draw_reconstructions,
    latent_plane,
)
from zoo.evaluation.images.pictures import image_grid
from zoo.layers.convolution.coders import BODIES
from zoo.layers.latent.observations import OBSERVATIONS
from zoo.models.autoencoders.vae import OBJECTIVES
from zoo.store.names import PresetName
from zoo.training import WarmupCosine
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    AverageConfig,
    CosineConfig,
    ImagesConfig,
    average,
    draw_curves,
    evaluation,
    fit_epochs,
    load_images,
    replace,
    scaled,
    smoke_images,
)


@dataclass(frozen=True)
class Config(ImagesConfig, CosineConfig, AverageConfig):
    """A VAE, its images and its training.

    Attributes:
        binarize: sample pixels as zeros and ones for every batch, once, or not at all.
        observation: distribution of a pixel given the decoder's output.
        init: preset to start from, whose architecture overrides these flags.
        nll_samples: samples per image in the final likelihood bound of the test set; 0
            to skip it.
        nll_images: number of test images in that bound; 0 for all.
    """

    out: Path = Path("runs/vae_mnist")
    binarize: Binarize = "dynamic"
    model: zoo.VAEConfig = flags(
        # A placeholder: the shape comes from the data.
        zoo.VAEConfig((1024, 1024, 1)),
        *("hidden", "activation", "latent_dim", "stddev", "num_samples"),
        *("beta", "free_bits", "kl_warmup"),
        body=BODIES,
        observation=OBSERVATIONS,
        objective=OBJECTIVES,
    )
    init: PresetName | None = None
    warmup_steps: int = 0
    eval_every: int = 5
    nll_samples: int = 100
    nll_images: int = 1000


# One stochastic layer, as in Burda et al. 2016, section 5, but with cosine decay
# instead of 3,280 epochs with a stepwise learning rate.
# Warming up the KL term keeps more latents in use (Sønderby et al. 2016).
PAPER = replace(
    Config(),
    epochs=400,
    learning_rate=2e-3,
    final_learning_rate=2e-5,
    kl_warmup=36_000,
    eval_every=20,
    nll_samples=5000,
    nll_images=0,
)
VARIANTS = {
    "demo": Config(),
    "plane": replace(Config(), latent_dim=2, epochs=30),
    "convolutional": replace(
        Config(), body="convolutional", hidden=(32, 64), activation="relu"
    ),
    "vae": PAPER,
    "iwae_50": replace(
        PAPER,
        objective="iwae",
        num_samples=50,
        epochs=100,
        eval_every=5,
        learning_rate=1e-3,
        final_learning_rate=1e-5,
        kl_warmup=0,
    ),
    # Pythae's reproduction of the VAE: 784-400-40, fixed binarisation, Adam at 1e-4.
    "pythae": replace(
        PAPER,
        binarize="static",
        hidden=(400,),
        activation="relu",
        latent_dim=40,
        learning_rate=1e-4,
        final_learning_rate=1e-6,
        kl_warmup=0,
        nll_samples=200,
    ),
}


def model(config: Config, image_shape: tuple[int, int, int]) -> zoo.VAE:
    """The VAE, with new weights or those of the preset `config.init`."""
    if config.init:
        return zoo.VAE.from_preset(
            config.init,
            objective=config.model.objective,
            num_samples=config.model.num_samples,
        )
    return zoo.VAE(replace(config.model, image_shape=image_shape))


def main(config: Config) -> dict:
    """Trains, evaluates and draws; returns the summary."""
    config = smoke_images(config, epochs=2, eval_every=1, nll_samples=2, nll_images=4)
    run = Run(config)
    data = load_images(config)
    run.start({"dataset": data.sha256})
    train = data.train_images[: config.batch_size if config.smoke else None]
    test = scaled(data.test_images)
    if config.binarize != "none":
        test = zoo.data.binarized(data.test_images, seed=config.seed)
    batches = zoo.data.ImageBatches(
        train, config.batch_size, binarize=config.binarize, seed=config.seed
    )

    vae = model(config, train.shape[1:])
    steps = config.epochs * batches.steps_per_epoch
    rate = WarmupCosine(
        config.learning_rate,
        steps,
        warmup_steps=config.warmup_steps,
        final=config.final_learning_rate,
    )
    adam = keras.optimizers.Adam(rate, **average(config.ema))
    vae.compile(adam, accumulate=config.accumulate)

    def samples() -> dict[str, np.ndarray]:
        return {"samples": vae.sample(100, seed=config.seed)}

    tested = evaluation(vae, test, batch_size=500)
    fit_epochs(run, config, vae, batches, tested, samples=samples)
    draw(run, vae, data, test)
    figures = {}
    if config.nll_samples:
        images = test[zoo.data.fixed_subset(len(test), config.nll_images or None)]
        figures = likelihood_metrics(vae, images, config.nll_samples, config.seed)
    vae.save_to_preset(run.out / "preset")
    summary = run.finish(
        **figures,
        epochs=config.epochs,
        binarization=config.binarize,
        observation=config.model.observation,
        objective=config.model.objective,
        parameters=vae.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    print(f"\ntest loss {summary['val_loss']:.3f} nats; see {run.out}")
    return summary


def draw(run: Run, vae: zoo.VAE, data: zoo.data.ImageDataset, test: np.ndarray) -> None:
    """Draws all the pictures that the module docstring lists."""
    seed = run.config.seed
    rows = zoo.data.fixed_subset(len(test), 5000)
    test = test[rows]
    shown = test[:10]
    draw_reconstructions(
        run.out / "reconstructions.png",
        shown,
        vae.reconstruct(shown),
        "Test images and their reconstructions",
    )
    image_grid(
        run.out / "samples.png",
        vae.sample(100, seed=seed),
        columns=10,
        title="Samples: decoded from the prior",
    )
    draw_interpolations(
        run.out / "interpolations.png",
        vae,
        test[:4],
        test[4:8],
        title="From one test image's code to another's",
    )
    if vae.config.latent_dim == 2:
        image_grid(
            run.out / "latent_plane.png",
            latent_plane(vae, side=20),
            columns=20,
            title="The plane of codes, at the prior's quantiles",
        )
    if data.test_labels is not None:
        labels = data.test_labels[rows]
        draw_codes(run.out / "codes.png", vae.encode(test), labels, data.class_names)
    curves = {
        "loss": "loss",
        "test loss": "val_loss",
        "test reconstruction": "val_reconstruction",
        "test KL": "val_kl",
    }
    draw_curves(run, curves, "VAE", unit="nats per image")


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
