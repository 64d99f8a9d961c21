r"""Train a CycleGAN on unpaired pictures of two domains.

    zoo train cyclegan --data-dir horse2zebra/            # trainA, trainB, ...
    zoo train cyclegan --data-dir horse2zebra.zip         # the same, zipped
    zoo train cyclegan --data-dir my_pictures/            # any two folders
    zoo train cyclegan --variant small --data-dir ...     # 32 x 32 pixels
    zoo train cyclegan --variant shapes --data-dir ...    # change shapes too
    zoo train cyclegan --smoke                            # nothing needed

Writes grids of test pictures, their translations and the translations back, at each
evaluation and at the end, and curves of losses and scores. For test pictures in pairs,
it reports how close translations come to the true ones (PSNR, SSIM), compared with
untranslated pictures. With `--judge`, a classifier of the two domains (see
`recipes.classifier_mnist --dataset unpaired`), it reports the fraction of translations
that are classified as the target domain.
"""

from dataclasses import dataclass
from pathlib import Path

import keras

import zoo
from zoo.data import UnpairedDataset, fixed_subset
from zoo.engine.current import engine
from zoo.evaluation import judged_translations
from zoo.evaluation.images.translations import draw_translations, middle_of
from zoo.models.gan.cyclegan import CycleGAN, CycleGANConfig
from zoo.models.image_classifier import ImageClassifier
from zoo.store.names import PresetName
from zoo.training import ConstantThenLinear
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    EpochsConfig,
    average,
    draw_curves,
    fit_epochs,
    load_images,
    replace,
    scaled,
    smoke_images,
)


@dataclass(frozen=True)
class Config(EpochsConfig):
    """A CycleGAN, its pictures and its training.

    Attributes:
        load_size: side length that dataset "unpaired" is cropped and scaled to; other
            datasets keep their size.
        crop_size: side length of random crops in training; 0 to use whole pictures.
        flip: mirror pictures left to right with probability one half.
        judge: preset of a classifier of the two domains, by name or folder.
        width: channels of the layers next to the pictures.
        residual_blocks: residual blocks per generator.
        upsampling: "transposed" convolutions, or "resize" before convolutions.
        batch_size: pictures of each domain per update.
        epochs: passes over the larger domain.
        constant_epochs: epochs before the learning rate decays linearly to zero.
        learning_rate: initial learning rate of all networks.
        beta_1: beta_1 of Adam.
        ema: momentum of the moving average of the generators' weights; 0 for none.
        eval_every: epochs between evaluations and checkpoints.
        eval_images: test pictures per evaluation during training.
    """

    dataset: str = "unpaired"
    out: Path = Path("runs/cyclegan")
    load_size: int = 286
    crop_size: int = 256
    flip: bool = True
    judge: PresetName | None = None
    model: CycleGANConfig = flags(
        CycleGANConfig(),
        *("width", "residual_blocks", "discriminator_layers", "upsampling"),
        *("cycle_weight", "identity_weight", "history"),
    )
    batch_size: int = 1
    epochs: int = 200
    constant_epochs: int = 100
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    ema: float = 0.0
    eval_every: int = 10
    eval_images: int = 200


# Zhu et al. 2017, sections 4 and 7.1.
PAPER = Config()
SMALL = replace(
    PAPER,
    load_size=32,
    crop_size=0,
    width=32,
    residual_blocks=4,
    discriminator_layers=2,
    batch_size=4,
    epochs=10,
    constant_epochs=5,
    ema=0.999,
    eval_every=1,
)
VARIANTS = {
    "paper": PAPER,
    "paper_128": replace(PAPER, load_size=143, crop_size=128, residual_blocks=6),
    "small": SMALL,
    # The paper's weights tie a translation to the shapes and colours of its source.
    # These let a horse become a deer, at the cost of a less exact translation back.
    "shapes": replace(
        SMALL, cycle_weight=2.0, identity_weight=0.0, epochs=4, constant_epochs=4
    ),
}


def model(config: Config, data: UnpairedDataset, steps_per_epoch: int) -> CycleGAN:
    """The compiled CycleGAN; only the generators keep averaged weights."""
    height, width = data.train_a.shape[1:3]
    cyclegan = CycleGAN(
        replace(
            config.model,
            image_size=(config.crop_size or height, config.crop_size or width),
            channels=(data.train_a.shape[-1], data.train_b.shape[-1]),
        )
    )

    def adam(**options) -> keras.optimizers.Adam:
        rate = ConstantThenLinear(
            config.learning_rate,
            config.epochs * steps_per_epoch,
            config.constant_epochs * steps_per_epoch,
        )
        return keras.optimizers.Adam(rate, beta_1=config.beta_1, **options)

    cyclegan.compile(
        {"generators": adam(**average(config.ema)), "discriminators": adam()},
        accumulate=config.accumulate,
    )
    return cyclegan


def main(config: Config) -> dict:
    """Trains, evaluates and draws; returns the summary."""
    config = smoke_images(
        config,
        "small_digit_outlines",
        **{"width": 4, "residual_blocks": 1, "discriminator_layers": 2},
        **{"epochs": 2, "constant_epochs": 1, "eval_every": 1, "eval_images": 4},
    )
    if config.smoke and config.data_dir is None:
        config = replace(config, crop_size=0)
    run = Run(config)
    data = load_images(
        config,
        UnpairedDataset,
        {"unpaired": config.load_size},
        most=max(config.batch_size, 10),
    )
    run.start({"dataset": data.sha256})
    kept = config.batch_size if config.smoke else None
    batches = zoo.data.UnpairedBatches(
        data.train_a[:kept],
        data.train_b[:kept],
        config.batch_size,
        crop=config.crop_size or None,
        flip=config.flip,
        seed=config.seed,
    )
    cyclegan = model(config, data, batches.steps_per_epoch)
    judge = None
    if config.judge is not None:
        size = cyclegan.config.image_size
        ImageClassifier.check_judge(config.judge, (*size, data.train_a.shape[-1]))
        judge = ImageClassifier.from_preset(config.judge)
    a, b = (
        scaled(middle_of(x, cyclegan.config.image_size))
        for x in (data.test_a, data.test_b)
    )
    smaller = min(len(a), len(b))
    few = min(config.eval_images, smaller)
    some_a, some_b = (x[fixed_subset(len(x), few)] for x in (a, b))

    def evaluate() -> dict[str, float]:
        with cyclegan.averaged_weights(needed=False):
            update = int(engine().numpy(cyclegan.optimizer.iterations))
            draw_translations(
                run.out / "samples" / f"{update:07d}.png", cyclegan, a, b, data.domains
            )
            return {
                **cyclegan.evaluate(
                    some_a, some_b, batch_size=8, verbose=0, return_dict=True
                ),
                **judged_translations(
                    cyclegan, some_a, some_b, paired=data.paired_test, judge=judge
                ),
            }

    judged_by = {"monitor": "val_generators/loss"}
    fit_epochs(run, config, cyclegan, batches, evaluate, **judged_by)
    terms = ("a_to_b", "b_to_a", "cycle_a", "cycle_b", "identity")
    losses = {name: f"generators/{name}" for name in terms}
    draw_curves(run, losses, "CycleGAN", unit="loss")
    scores = {
        f"{kind} {domain}": f"discriminators/{kind}_{domain}"
        for domain in "ab"
        for kind in ("real", "fake")
    }
    draw_curves(run, scores, "CycleGAN", "scores", unit="score")
    with cyclegan.averaged_weights(needed=False):
        draw_translations(run.out / "translations.png", cyclegan, a, b, data.domains)
        if not config.smoke:
            some_a, some_b = (x[fixed_subset(len(x), smaller)] for x in (a, b))
        found = judged_translations(
            cyclegan, some_a, some_b, paired=data.paired_test, judge=judge
        )
        cyclegan.save_to_preset(run.out / "preset")
    summary = run.finish(
        **found,
        test_images=len(some_a),
        epochs=config.epochs,
        generator_parameters=cyclegan.a_to_b.count_params(),
        discriminator_parameters=cyclegan.discriminator_a.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    for name, value in found.items():
        print(f"{name} {value:.4f}")
    print(f"see {run.out}")
    return summary


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
