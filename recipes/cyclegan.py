r"""Train a CycleGAN on two domains of pictures, of which there are no pairs.

    python -m recipes.cyclegan --data-dir horse2zebra/            # trainA, trainB, ...
    python -m recipes.cyclegan --data-dir horse2zebra.zip         # the same, zipped
    python -m recipes.cyclegan --data-dir my_pictures/            # any two folders
    python -m recipes.cyclegan --variant small --data-dir ...     # of 32 x 32 pixels
    python -m recipes.cyclegan --variant shapes --data-dir ...    # whose shapes differ
    python -m recipes.cyclegan --smoke                            # nothing needed

Leaves grids of test pictures, their translations and these translated back, at each
evaluation and at the end; curves of losses and scores. Where the answer is known, it
says how near translations come (PSNR, SSIM), beside pictures left as they are; with
`--judge`, a classifier of both domains (`recipes.classifier_mnist --dataset unpaired`),
what share of them passes for the other domain.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np

import zoo
from zoo.data import UnpairedDataset, fixed_subset
from zoo.engine.current import engine
from zoo.evaluation import judged_translations
from zoo.evaluation.images.pictures import image_grid, loss_curves
from zoo.models.gan.cyclegan import CycleGAN, CycleGANConfig, Direction
from zoo.models.image_classifier import ImageClassifier
from zoo.store.names import PresetName
from zoo.training import ConstantThenLinear
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """A CycleGAN, its pictures and its training.

    Attributes:
        load_size: pictures of dataset "unpaired" are cut to squares and scaled to
            this side; of other datasets they stay as they are.
        crop_size: side of the squares cut out of them at random; 0 for all of them.
        flip: mirror half of them left to right.
        judge: a classifier of both domains: a preset, by name or folder.
        width: channels of the layers next to the pictures.
        residual_blocks: of each generator.
        discriminator_layers: 3 judge patches of 70 x 70 pixels.
        upsampling: by transposed convolutions, or by resizing before convolutions.
        cycle_weight: of the cycle beside the adversarial terms.
        identity_weight: of the identity, as a share of cycle_weight.
        history: generated pictures that each discriminator's history keeps.
        batch_size: pictures of each domain an update.
        accumulate: micro-batches that a batch is cut into.
        epochs: passes over the larger domain.
        constant_epochs: before the learning rate falls linearly to zero.
        learning_rate: of all networks.
        beta_1: of Adam.
        ema: momentum of the generators' moving averages; 0 for none.
        eval_every: epochs between evaluations and checkpoints.
        eval_images: test pictures of an evaluation in the course of training.
    """

    dataset: str = "unpaired"
    out: Path = Path("runs/cyclegan")
    load_size: int = 286
    crop_size: int = 256
    flip: bool = True
    judge: PresetName | None = None
    width: int = 64
    residual_blocks: int = 9
    discriminator_layers: int = 3
    upsampling: Literal["transposed", "resize"] = "transposed"
    cycle_weight: float = 10.0
    identity_weight: float = 0.5
    history: int = 50
    batch_size: int = 1
    accumulate: int = 1
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
    # The paper's weights hold a translation to the picture's own shapes and colours,
    # and a horse in place. These let a deer come of it, for less of a way back.
    "shapes": replace(
        SMALL, cycle_weight=2.0, identity_weight=0.0, epochs=4, constant_epochs=4
    ),
}


def model(config: Config, data: UnpairedDataset, steps_per_epoch: int) -> CycleGAN:
    """The compiled CycleGAN; the generators alone keep averaged weights."""
    height, width = data.train_a.shape[1:3]
    cyclegan = CycleGAN(
        CycleGANConfig(
            image_size=(config.crop_size or height, config.crop_size or width),
            channels=(data.train_a.shape[-1], data.train_b.shape[-1]),
            width=config.width,
            residual_blocks=config.residual_blocks,
            discriminator_layers=config.discriminator_layers,
            upsampling=config.upsampling,
            cycle_weight=config.cycle_weight,
            identity_weight=config.identity_weight,
            history=config.history,
        )
    )
    average = {"use_ema": config.ema > 0, "ema_momentum": config.ema or 0.99}

    def adam(**options) -> keras.optimizers.Adam:
        rate = ConstantThenLinear(
            config.learning_rate,
            config.epochs * steps_per_epoch,
            config.constant_epochs * steps_per_epoch,
        )
        return keras.optimizers.Adam(rate, beta_1=config.beta_1, **options)

    cyclegan.compile(
        {"generators": adam(**average), "discriminators": adam()},
        accumulate=config.accumulate,
    )
    return cyclegan


def main(config: Config) -> dict:
    """Trains, evaluates, draws; returns the summary."""
    if config.smoke:
        config = replace(
            config,
            epochs=2,
            constant_epochs=1,
            eval_every=1,
            eval_images=4,
            width=4,
            residual_blocks=1,
            discriminator_layers=2,
        )
        if config.data_dir is None:
            config = replace(config, dataset="small_digit_outlines", crop_size=0)
    run = Run(config)
    options = {"most": max(config.batch_size, 10)} if config.smoke else {}
    if config.dataset == "unpaired":
        options["size"] = config.load_size
    data = zoo.data.load(
        config.dataset, config.data_dir, expect=UnpairedDataset, **options
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
        _fitting(x, cyclegan.config.image_size) / np.float32(255)
        for x in (data.test_a, data.test_b)
    )
    smaller = min(len(a), len(b))
    few = min(config.eval_images, smaller)
    some_a, some_b = (x[fixed_subset(len(x), few)] for x in (a, b))

    def evaluate() -> dict[str, float]:
        with cyclegan.averaged_weights(needed=False):
            update = int(engine().numpy(cyclegan.optimizer.iterations))
            draw_pairs(run.out / "samples" / f"{update:07d}.png", cyclegan, a, b, data)
            return {
                **cyclegan.evaluate(
                    some_a, some_b, batch_size=8, verbose=0, return_dict=True
                ),
                **judged_translations(
                    cyclegan, some_a, some_b, paired=data.paired_test, judge=judge
                ),
            }

    run.fit(
        cyclegan,
        batches.batches,
        updates=config.epochs * batches.steps_per_epoch,
        evaluate_every=config.eval_every * batches.steps_per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="images",
    )
    draw_curves(run)
    with cyclegan.averaged_weights(needed=False):
        draw_pairs(run.out / "translations.png", cyclegan, a, b, data)
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


def draw_pairs(
    path: Path, cyclegan: CycleGAN, a: np.ndarray, b: np.ndarray, data: UnpairedDataset
) -> None:
    """Pictures, their translations and these translated back, of both domains."""
    rows, names = [], []
    ways: list[tuple[np.ndarray, Direction, Direction]]
    ways = [(a, "a_to_b", "b_to_a"), (b, "b_to_a", "a_to_b")]
    for (pictures, there, back), given in zip(ways, data.domains, strict=True):
        shown = pictures[fixed_subset(len(pictures), 10)]
        translated = cyclegan.translate(shown, there)
        rows += [shown, translated, cyclegan.translate(translated, back)]
        names += [given, "translated", "and back"]
    channels = max(row.shape[-1] for row in rows)
    image_grid(
        path,
        np.concatenate([np.broadcast_to(r, (*r.shape[:3], channels)) for r in rows]),
        columns=len(rows[0]),
        title=f"{data.domains[0]} and {data.domains[1]}",
        row_names=names,
    )


def draw_curves(run: Run) -> None:
    """Of losses and scores."""
    updates = [row["update"] for row in run.rows]
    about = f"CycleGAN on {run.config.dataset} ({run.config.variant})"
    terms = ("a_to_b", "b_to_a", "cycle_a", "cycle_b", "identity")
    curves = {
        name: run.curve(f"generators/{name}")
        for name in terms
        if f"generators/{name}" in run.rows[-1]
    }
    loss_curves(run.out / "loss.png", updates, curves, title=about, unit="loss")
    scores = {
        f"{kind} {domain}": run.curve(f"discriminators/{kind}_{domain}")
        for domain in "ab"
        for kind in ("real", "fake")
    }
    loss_curves(run.out / "scores.png", updates, scores, title=about, unit="score")


def _fitting(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of images that are larger than those trained on."""
    height, width = size
    top, left = (n - m for n, m in zip(images.shape[1:3], size, strict=True))
    return images[:, top // 2 : top // 2 + height, left // 2 : left // 2 + width]


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
