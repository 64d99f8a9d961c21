r"""Train a DCGAN on small images.

    zoo train dcgan_mnist                         # MNIST, half the channels
    zoo train dcgan_mnist --variant conditional   # digits on request
    zoo train dcgan_mnist --variant wgan_gp
    zoo train dcgan_mnist --dataset digits        # nothing is downloaded
    zoo train dcgan_mnist --dataset images --data-dir my_faces/ --image-size 64
    zoo train dcgan_mnist --judge classifier.mnist

Writes a grid of samples from the same latents at each evaluation, interpolations, and
curves of the losses and of D(x) and D(G(z)). Warns if training collapses. The losses of
a GAN say which network is ahead, not how good the samples are. That takes a judge, a
classifier from `recipes.classifier_mnist`, whose features compare samples with training
images.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import zoo
from zoo.engine.current import engine
from zoo.evaluation import judged_samples
from zoo.evaluation.images.codes import draw_interpolations
from zoo.evaluation.images.pictures import image_grid
from zoo.models.gan.dcgan import DCGAN, NORMS, UPSAMPLING, DCGANConfig
from zoo.models.image_classifier import ImageClassifier
from zoo.store.names import PresetName
from zoo.training.adversarial.collapse import WatchForCollapse
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    ImagesConfig,
    average,
    draw_curves,
    fit_epochs,
    load_images,
    replace,
    scaled,
    smoke_images,
)


@dataclass(frozen=True)
class Config(ImagesConfig):
    """A DCGAN, its images and its training.

    Attributes:
        conditional: condition both networks on the classes of the images.
        discriminator_norm: normalisation after the discriminator's convolutions.
        loss: adversarial loss.
        learning_rate: learning rate of both networks.
        beta_1: beta_1 of Adam.
        beta_2: beta_2 of Adam.
        ema: momentum of the moving average of the generator's weights; 0 for none.
        eval_images: test images per evaluation.
        judge: preset of a classifier, such as classifier.mnist.
        judge_images: how many samples the judge compares with as many training images,
            and test images for reference.
    """

    out: Path = Path("runs/dcgan_mnist")
    image_size: int = 64
    conditional: bool = False
    model: DCGANConfig = flags(
        DCGANConfig(),
        *("latent_dim", "width", "spectral_norm", "loss", "label_smoothing"),
        *("gradient_penalty", "discriminator_steps"),
        upsampling=UPSAMPLING,
        discriminator_norm=NORMS,
    )
    batch_size: int = 128
    epochs: int = 25
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    beta_2: float = 0.999
    ema: float = 0.0
    eval_images: int = 2000
    judge: PresetName | None = None
    judge_images: int = 10000


# Radford et al. 2016, section 4, with the sizes of pytorch/examples.
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
    """The compiled DCGAN; only the generator keeps averaged weights."""
    gan = DCGAN(replace(config.model, image_shape=image_shape, num_classes=classes))
    adam = {
        "learning_rate": config.learning_rate,
        "beta_1": config.beta_1,
        "beta_2": config.beta_2,
    }
    gan.compile(
        {
            "discriminator": keras.optimizers.Adam(**adam),
            "generator": keras.optimizers.Adam(**adam, **average(config.ema)),
        },
        accumulate=config.accumulate,
    )
    return gan


def main(config: Config) -> dict:
    """Trains, evaluates and draws; returns the summary."""
    config = smoke_images(
        config, epochs=2, eval_every=1, eval_images=100, width=4, judge_images=100
    )
    run = Run(config)
    data = load_images(config)
    if config.conditional and data.train_labels is None:
        raise ValueError(f"--conditional needs classes; {config.dataset!r} has none.")
    if config.judge is not None:
        # An unsuitable judge fails here rather than after training.
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
    test = scaled(data.test_images[rows])
    test_labels = data.test_labels[rows] if config.conditional else None
    classes = len(data.class_names) if config.conditional else 0
    gan = model(config, data.train_images.shape[1:], classes)
    shown = None if test_labels is None else test_labels[:100]
    watch = WatchForCollapse(test[:100], shown, seed=config.seed)
    watch.set_model(gan)
    # Ten rows, with one column per class.
    count = 10 * (classes or 10)
    latents = np.random.default_rng(config.seed).normal(
        size=(count, config.model.latent_dim)
    )
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

    judged_by = {"monitor": "val_diversity", "mode": "max"}
    fit_epochs(run, config, gan, batches, evaluate, **judged_by)
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
        loss=config.model.loss,
        generator_parameters=gan.generator.count_params(),
        discriminator_parameters=gan.discriminator.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
        **judged,
    )
    print(f"\nsample diversity {summary['val_diversity']:.2f}; see {run.out}")
    if judged:
        fid, floor = judged["judge_fid"], judged["judge_floor_fid"]
        print(f"FID {fid:.2f} on the judge's features (test images {floor:.2f})")
    return summary


def draw(run: Run, gan: DCGAN, latents: np.ndarray, labels: np.ndarray | None) -> None:
    """Draws samples and interpolations, and the curves of losses and scores."""
    image_grid(
        run.out / "samples.png",
        gan.generate(latents, labels),
        columns=gan.config.num_classes or 10,
        title="Samples",
    )
    draw_interpolations(
        run.out / "interpolations.png",
        gan,
        latents[:8],
        latents[8:16],
        title="From one latent to another",
        labels=None if labels is None else labels[:8],
    )
    losses = {name: f"{name}/loss" for name in ("discriminator", "generator")}
    draw_curves(run, losses, "DCGAN", unit="loss")
    scores = {
        "D(x)": "discriminator/real",
        "D(G(z))": "discriminator/fake",
        "D(G(z)), after D's update": "generator/fake",
    }
    unit = "probability" if gan.game.probabilistic else "score"
    draw_curves(run, scores, "DCGAN", "scores", unit=unit)


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
