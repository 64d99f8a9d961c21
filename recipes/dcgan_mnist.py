r"""Train a DCGAN on small images.

    python -m recipes.dcgan_mnist                         # MNIST, half the channels
    python -m recipes.dcgan_mnist --variant conditional   # digits that are asked for
    python -m recipes.dcgan_mnist --variant wgan_gp
    python -m recipes.dcgan_mnist --dataset digits        # nothing is downloaded
    python -m recipes.dcgan_mnist --dataset images --data-dir my_faces/ --image-size 64
    python -m recipes.dcgan_mnist --judge classifier.mnist

Leaves a grid of samples from the same latents at each evaluation, interpolations, and
curves of the losses and of D(x) and D(G(z)). Warns where training collapses. A GAN's
losses say who is ahead, not how good samples are: that takes a judge, a classifier
from `recipes.classifier_mnist`, by whose features samples are compared with training
images.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np

import zoo
from zoo.data import ImageDataset
from zoo.engine.current import engine
from zoo.evaluation import judged_samples
from zoo.evaluation.images.pictures import image_grid, loss_curves
from zoo.models.gan.dcgan import DCGAN, DCGANConfig
from zoo.models.image_classifier import ImageClassifier
from zoo.store.names import PresetName
from zoo.training.adversarial.collapse import WatchForCollapse
from zoo.training.adversarial.losses import LossName
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """A DCGAN, its images and its training.

    Attributes:
        image_size: pictures of dataset "images" are cut and scaled to this side.
        conditional: tell both networks the images' classes.
        latent_dim: of the generator's noise.
        width: channels of the layers next to the image.
        upsampling: by transposed convolutions, or by resizing before convolutions.
        discriminator_norm: after the discriminator's convolutions.
        spectral_norm: of the discriminator's weights.
        loss: of the game.
        label_smoothing: what the target of real images lies below 1.
        gradient_penalty: coefficient of wgan_gp's penalty.
        discriminator_steps: for one of the generator.
        batch_size: images an update.
        accumulate: micro-batches that a batch is cut into.
        epochs: passes over the training images.
        learning_rate: of both networks.
        beta_1: of Adam.
        beta_2: of Adam.
        ema: momentum of the generator's moving average; 0 for none.
        eval_every: epochs between evaluations and checkpoints.
        eval_images: test images of an evaluation.
        judge: a classifier: classifier.mnist, or another preset.
        judge_images: samples for the judge, and real images of either part.
    """

    dataset: str = "mnist"
    out: Path = Path("runs/dcgan_mnist")
    image_size: int = 64
    conditional: bool = False
    latent_dim: int = 100
    width: int = 64
    upsampling: Literal["transposed", "resize"] = "transposed"
    discriminator_norm: Literal["batch", "layer", "none"] = "batch"
    spectral_norm: bool = False
    loss: LossName = "non_saturating"
    label_smoothing: float = 0.0
    gradient_penalty: float = 10.0
    discriminator_steps: int = 1
    batch_size: int = 128
    accumulate: int = 1
    epochs: int = 25
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    beta_2: float = 0.999
    ema: float = 0.0
    eval_every: int = 1
    eval_images: int = 2000
    judge: PresetName | None = None
    judge_images: int = 10000


# Radford et al. 2016, section 4, in the sizes of pytorch/examples.
PAPER = Config()
VARIANTS = {
    "demo": replace(PAPER, width=32, epochs=5),
    "dcgan": PAPER,
    "conditional": replace(PAPER, conditional=True),
    "resize": replace(PAPER, upsampling="resize"),
    # Gulrajani et al. 2017, algorithm 1.
    "wgan_gp": replace(
        PAPER,
        loss="wgan_gp",
        discriminator_norm="layer",
        discriminator_steps=5,
        learning_rate=1e-4,
        beta_1=0.0,
        beta_2=0.9,
    ),
    # Miyato et al. 2018, setting B of table 1.
    "spectral": replace(
        PAPER,
        loss="hinge",
        discriminator_norm="none",
        spectral_norm=True,
        learning_rate=1e-4,
    ),
}


def model(config: Config, image_shape: tuple[int, int, int], classes: int) -> DCGAN:
    """The compiled DCGAN; the generator alone keeps averaged weights."""
    gan = DCGAN(
        DCGANConfig(
            image_shape=image_shape,
            latent_dim=config.latent_dim,
            num_classes=classes,
            width=config.width,
            upsampling=config.upsampling,
            discriminator_norm=config.discriminator_norm,
            spectral_norm=config.spectral_norm,
            loss=config.loss,
            label_smoothing=config.label_smoothing,
            gradient_penalty=config.gradient_penalty,
            discriminator_steps=config.discriminator_steps,
        )
    )
    adam = {
        "learning_rate": config.learning_rate,
        "beta_1": config.beta_1,
        "beta_2": config.beta_2,
    }
    average = {"use_ema": config.ema > 0, "ema_momentum": config.ema or 0.99}
    gan.compile(
        {
            "discriminator": keras.optimizers.Adam(**adam),
            "generator": keras.optimizers.Adam(**adam, **average),
        },
        accumulate=config.accumulate,
    )
    return gan


def main(config: Config) -> dict:
    """Trains, evaluates, draws; returns the summary."""
    if config.smoke:
        config = replace(config, epochs=2, eval_every=1, eval_images=100, width=4)
        config = replace(config, judge_images=100)
        if config.data_dir is None:
            config = replace(config, dataset="digits")
    run = Run(config)
    options = {"most": max(config.batch_size, 100)} if config.smoke else {}
    if config.dataset == "images":
        options["size"] = config.image_size
    data = zoo.data.load(
        config.dataset, config.data_dir, expect=ImageDataset, **options
    )
    if config.conditional and data.train_labels is None:
        raise ValueError(f"--conditional needs classes; {config.dataset!r} has none")
    if config.judge is not None:
        # Now rather than after the training, if it does not fit.
        ImageClassifier.check_judge(config.judge, data.train_images.shape[1:])
    run.start({"dataset": data.sha256})
    train = slice(config.batch_size if config.smoke else None)
    batches = zoo.data.ImageBatches(
        data.train_images[train],
        config.batch_size,
        labels=data.train_labels[train] if config.conditional else None,
        seed=config.seed,
    )
    rows = zoo.data.fixed_subset(len(data.test_images), config.eval_images)
    test = data.test_images[rows] / np.float32(255)
    test_labels = data.test_labels[rows] if config.conditional else None
    classes = len(data.class_names) if config.conditional else 0
    gan = model(config, data.train_images.shape[1:], classes)
    shown = None if test_labels is None else test_labels[:100]
    watch = WatchForCollapse(test[:100], shown, seed=config.seed)
    watch.set_model(gan)
    # Ten rows, with a column a class.
    count = 10 * (classes or 10)
    latents = np.random.default_rng(config.seed).normal(size=(count, config.latent_dim))
    labels = np.arange(count) % classes if classes else None

    def evaluate() -> dict[str, float]:
        with gan.averaged_weights(needed=False):
            metrics = gan.evaluate(
                test, test_labels, batch_size=500, verbose=0, return_dict=True
            )
            update = int(engine().numpy(gan.optimizer.iterations))
            image_grid(
                run.out / "samples" / f"{update:06d}.png",
                gan.generate(latents, labels),
                columns=classes or 10,
                title=f"Samples after {update} updates",
            )
            return {**metrics, "diversity": watch.look(metrics)}

    run.fit(
        gan,
        batches.batches,
        updates=config.epochs * batches.steps_per_epoch,
        evaluate_every=config.eval_every * batches.steps_per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="images",
    )
    draw(run, gan, latents, labels)
    gan.save_to_preset(run.out / "preset")
    judged = {}
    if config.judge is not None:
        judge = ImageClassifier.from_preset(config.judge)
        judged = judged_samples(
            lambda count: gan.sample(count, seed=config.seed),
            judge,
            data,
            config.judge_images,
            config.seed,
        )
    summary = run.finish(
        epochs=config.epochs,
        loss=config.loss,
        generator_parameters=gan.generator.count_params(),
        discriminator_parameters=gan.discriminator.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
        **judged,
    )
    print(f"\ndiversity of samples {summary['val_diversity']:.2f}; see {run.out}")
    if judged:
        fid, floor = judged["judge_fid"], judged["judge_floor_fid"]
        print(f"FID {fid:.2f} by the judge's features, {floor:.2f} of test images")
    return summary


def draw(run: Run, gan: DCGAN, latents: np.ndarray, labels: np.ndarray | None) -> None:
    """The pictures."""
    image_grid(
        run.out / "samples.png",
        gan.generate(latents, labels),
        columns=gan.config.num_classes or 10,
        title="Samples",
    )
    ways = [
        gan.interpolate(
            latents[:8],
            latents[8:16],
            steps=10,
            spherical=spherical,
            labels=None if labels is None else labels[:8],
        )
        for spherical in (False, True)
    ]
    image_grid(
        run.out / "interpolations.png",
        np.concatenate(ways).reshape(-1, *gan.config.image_shape),
        columns=10,
        title="From one latent to another: on a line, on an arc",
        row_names=("line",) * 8 + ("arc",) * 8,
    )
    updates = [row["update"] for row in run.rows]
    about = f"DCGAN on {run.config.dataset} ({run.config.variant})"
    curves = {
        name: run.curve(f"{name}/loss") for name in ("discriminator", "generator")
    }
    loss_curves(run.out / "loss.png", updates, curves, title=about, unit="loss")
    judgements = {
        "D(x)": run.curve("discriminator/real"),
        "D(G(z))": run.curve("discriminator/fake"),
        "D(G(z)), after D's update": run.curve("generator/fake"),
    }
    unit = "probability" if gan.game.probabilistic else "score"
    loss_curves(run.out / "scores.png", updates, judgements, title=about, unit=unit)


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
