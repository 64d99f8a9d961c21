r"""Train a variational autoencoder on small images, with a likelihood to trust.

    python -m recipes.vae_mnist                               # MNIST, minutes
    python -m recipes.vae_mnist --variant plane               # codes of 2 dimensions
    python -m recipes.vae_mnist --variant iwae_50             # hours on two cores
    python -m recipes.vae_mnist --dataset digits              # nothing is downloaded
    python -m recipes.vae_mnist --dataset images --data-dir my_pictures/ \
        --variant convolutional --observation discretized_logistic --binarize none

Leaves reconstructions, samples, interpolations, the codes' scatter and the loss's terms
as pictures, and the test set's negative log-likelihood (importance-weighted bound).
Pixels binarised anew for every batch ("dynamic") and once for all ("static") give
figures that must not be compared (Burda et al. 2016, section 5).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from scipy.stats import norm
from sklearn.decomposition import PCA

import zoo
from zoo.evaluation import likelihood_metrics
from zoo.evaluation.images.pictures import image_grid, loss_curves, scatter
from zoo.store.names import PresetName
from zoo.training import WarmupCosine
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """A VAE, its images and its training.

    Attributes:
        image_size: pictures of dataset "images" are cut and scaled to this side.
        binarize: draw pixels as zeros and ones: anew for each batch, once, or not.
        body: fully connected, or convolutional.
        hidden: the encoder's layers; the decoder mirrors them.
        activation: after each.
        latent_dim: dimensions of the code.
        observation: what the decoder's output says about a pixel.
        stddev: of the Gaussian observation.
        objective: the plain bound, or the importance-weighted one.
        num_samples: of each image's code in training.
        init: a preset to start from; its networks win over these flags.
        beta: coefficient of the KL term.
        free_bits: nats of each latent dimension that cost nothing.
        kl_warmup: updates over which the KL term's coefficient rises.
        batch_size: images an update.
        accumulate: micro-batches that a batch is cut into.
        epochs: passes over the training images.
        learning_rate: at its peak.
        final_learning_rate: at the end of the cosine.
        warmup_steps: of a linear warm-up.
        ema: momentum of the weights' moving average; 0 for none.
        eval_every: epochs between evaluations and checkpoints.
        nll_samples: of the final test likelihood's bound; 0 leaves it out.
        nll_images: test images that it is taken over; 0 for all.
    """

    dataset: str = "mnist"
    out: Path = Path("runs/vae_mnist")
    image_size: int = 32
    binarize: Literal["dynamic", "static", "none"] = "dynamic"
    body: Literal["mlp", "convolutional"] = "mlp"
    hidden: tuple[int, ...] = (200, 200)
    activation: str = "tanh"
    latent_dim: int = 50
    observation: Literal[
        "bernoulli", "gaussian", "learned_gaussian", "discretized_logistic"
    ] = "bernoulli"
    stddev: float = 0.1
    objective: Literal["elbo", "iwae"] = "elbo"
    num_samples: int = 1
    init: PresetName | None = None
    beta: float = 1.0
    free_bits: float = 0.0
    kl_warmup: int = 0
    batch_size: int = 100
    accumulate: int = 1
    epochs: int = 20
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 0
    ema: float = 0.0
    eval_every: int = 5
    nll_samples: int = 100
    nll_images: int = 1000


# One stochastic layer, as Burda et al. 2016, section 5, but for a cosine instead of
# their 3,280 epochs in steps of the learning rate.
# Warming the KL term up keeps more latents in use (Sønderby et al. 2016).
PAPER = Config(
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
    "plane": Config(latent_dim=2, epochs=30),
    "convolutional": Config(body="convolutional", hidden=(32, 64), activation="relu"),
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
    """The VAE, with new weights or those of `config.init`."""
    if config.init:
        return zoo.VAE.from_preset(
            config.init, objective=config.objective, num_samples=config.num_samples
        )
    return zoo.VAE(
        zoo.VAEConfig(
            image_shape=image_shape,
            latent_dim=config.latent_dim,
            body=config.body,
            hidden=config.hidden,
            activation=config.activation,
            observation=config.observation,
            stddev=config.stddev,
            objective=config.objective,
            num_samples=config.num_samples,
            beta=config.beta,
            free_bits=config.free_bits,
            kl_warmup=config.kl_warmup,
        )
    )


def main(config: Config) -> dict:
    """Trains, evaluates, draws; returns the summary."""
    if config.smoke:
        config = replace(config, epochs=2, eval_every=1, nll_samples=2, nll_images=4)
        if config.data_dir is None:
            config = replace(config, dataset="digits")
    run = Run(config)
    options = {"most": max(config.batch_size, 100)} if config.smoke else {}
    if config.dataset == "images":
        options["size"] = config.image_size
    data = zoo.data.load(
        config.dataset, config.data_dir, expect=zoo.data.ImageDataset, **options
    )
    run.start({"dataset": data.sha256})
    train = data.train_images[: config.batch_size if config.smoke else None]
    test = data.test_images / np.float32(255)
    if config.binarize != "none":
        test = zoo.data.binarized(data.test_images, seed=config.seed)
    batches = zoo.data.ImageBatches(
        train, config.batch_size, binarize=config.binarize, seed=config.seed
    )

    vae = model(config, train.shape[1:])
    steps = config.epochs * batches.steps_per_epoch
    vae.compile(
        keras.optimizers.Adam(
            WarmupCosine(
                config.learning_rate,
                steps,
                warmup_steps=config.warmup_steps,
                final=config.final_learning_rate,
            ),
            use_ema=config.ema > 0,
            ema_momentum=config.ema or 0.99,
        ),
        accumulate=config.accumulate,
    )

    def evaluate():
        with vae.averaged_weights(needed=False):
            return vae.evaluate(test, batch_size=500, verbose=0, return_dict=True)

    run.fit(
        vae,
        batches.batches,
        updates=steps,
        evaluate_every=config.eval_every * batches.steps_per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="images",
    )
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
        observation=config.observation,
        objective=config.objective,
        parameters=vae.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    print(f"\ntest loss {summary['val_loss']:.3f} nats; see {run.out}")
    return summary


def draw(run: Run, vae: zoo.VAE, data: zoo.data.ImageDataset, test: np.ndarray) -> None:
    """The pictures."""
    seed = run.config.seed
    rows = zoo.data.fixed_subset(len(test), 5000)
    test = test[rows]
    shown = test[:10]
    image_grid(
        run.out / "reconstructions.png",
        np.concatenate([shown, vae.reconstruct(shown)]),
        columns=len(shown),
        title="Test images and their reconstructions",
        row_names=("image", "decoded"),
    )
    image_grid(
        run.out / "samples.png",
        vae.sample(100, seed=seed),
        columns=10,
        title="Samples: decoded from the prior",
    )
    ways = [
        vae.interpolate(test[:4], test[4:8], steps=10, spherical=spherical)
        for spherical in (False, True)
    ]
    image_grid(
        run.out / "interpolations.png",
        np.concatenate(ways).reshape(-1, *test.shape[1:]),
        columns=10,
        title="From one test image's code to another's: on a line, on an arc",
        row_names=("line",) * 4 + ("arc",) * 4,
    )
    if vae.config.latent_dim == 2:
        image_grid(
            run.out / "latent_plane.png",
            latent_plane(vae, side=20),
            columns=20,
            title="The plane of codes, at the prior's quantiles",
        )
    if data.test_labels is not None:
        codes = vae.encode(test)
        axis_names = ("code 1", "code 2")
        if codes.shape[1] > 2:
            codes = PCA(2).fit_transform(codes)
            axis_names = ("first principal component", "second")
        scatter(
            run.out / "codes.png",
            codes,
            data.test_labels[rows],
            data.class_names,
            title="Codes of test images",
            axis_names=axis_names,
        )
    loss_curves(
        run.out / "loss.png",
        [row["update"] for row in run.rows],
        {
            "loss": run.curve("loss"),
            "test loss": run.curve("val_loss"),
            "test reconstruction": run.curve("val_reconstruction"),
            "test KL": run.curve("val_kl"),
        },
        title=f"VAE on {run.config.dataset} ({run.config.variant})",
        unit="nats an image",
    )


def latent_plane(vae: zoo.VAE, side: int) -> np.ndarray:
    """Images (side², H, W, C) of a plane of codes, each as likely as the other."""
    quantiles = norm.ppf((np.arange(side) + 0.5) / side)
    x, y = np.meshgrid(quantiles, quantiles[::-1])
    return vae.decode(np.stack([x.ravel(), y.ravel()], axis=-1))


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
