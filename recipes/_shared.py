"""What recipes share: flags of training, data, `--smoke`, averages and curves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np

import zoo
from zoo.data import ImageDataset, TextDataset
from zoo.evaluation.images.pictures import loss_curves
from zoo.training import WarmupCosine
from zoo.training.runs.flags import replace
from zoo.training.runs.run import Run, RunConfig, TextRunConfig

C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True)
class StepsConfig(RunConfig):
    """Training for a number of updates.

    Attributes:
        accumulate: micro-batches that each batch is cut into.
        steps: updates.
        learning_rate: at its peak.
        warmup_steps: updates over which it rises linearly, at most a tenth of all.
        weight_decay: of matrices, decoupled.
        clip: largest global norm of the gradients.
        eval_every: updates between evaluations and checkpoints.
    """

    accumulate: int = 1
    steps: int = 2000
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0
    eval_every: int = 250


@dataclass(frozen=True)
class EpochsConfig(RunConfig):
    """Training for a number of passes over the data.

    Attributes:
        batch_size: examples per update.
        accumulate: micro-batches that each batch is cut into.
        epochs: passes over the training data.
        learning_rate: at its peak.
    """

    batch_size: int = 100
    accumulate: int = 1
    epochs: int = 20
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class ImagesConfig(EpochsConfig):
    """Training on images.

    Attributes:
        image_size: side that pictures of dataset "images" are cropped and scaled to.
        eval_every: epochs between evaluations and checkpoints.
    """

    dataset: str = "mnist"
    image_size: int = 32
    eval_every: int = 1


def smoke(config: C, **changes: Any) -> C:
    """The configuration, made tiny if `--smoke` is given."""
    return replace(config, **changes) if config.smoke else config


def smoke_images(config: C, dataset: str = "digits", **changes: Any) -> C:
    """Likewise, with a dataset that needs no download unless `data_dir` is given."""
    if config.data_dir is None:
        changes["dataset"] = dataset
    return smoke(config, **changes)


def load_text(config: TextRunConfig) -> TextDataset:
    """The text that `--dataset` names."""
    return zoo.data.load(
        config.dataset, config.data_dir, expect=TextDataset, on_bad=config.on_bad
    )


def load_images(
    config: RunConfig,
    expect: Any = ImageDataset,
    size: Mapping[str, int] | None = None,
    most: int = 100,
) -> Any:
    """The images that `--dataset` names; with `--smoke`, only `most` of them.

    Args:
        config: of the run.
        expect: classes of dataset that the recipe can use.
        size: the side that pictures are scaled to, by the datasets that scale them.
        most: images to load of each part with `--smoke`.
    """
    options = {"most": most} if config.smoke else {}
    if size and config.dataset in size:
        options["size"] = size[config.dataset]
    return zoo.data.load(config.dataset, config.data_dir, expect=expect, **options)


def average(momentum: float) -> dict[str, Any]:
    """An optimizer's options for a moving average of the weights; 0 for none."""
    return {"use_ema": momentum > 0, "ema_momentum": momentum or 0.99}


def adamw(config: StepsConfig, schedule: Any, **options: Any) -> keras.optimizers.AdamW:
    """AdamW with the weight decay and the clipping of the flags."""
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip,
        **options,
    )


def cosine(config: Any, steps: int, peak: float | None = None) -> WarmupCosine:
    """A linear warm-up over at most a tenth of `steps`, then a cosine."""
    return WarmupCosine(
        config.learning_rate if peak is None else peak,
        steps,
        warmup_steps=min(config.warmup_steps, steps // 10),
        final=getattr(config, "final_learning_rate", 0.0),
    )


def evaluation(model: Any, *arrays: Any, **options: Any) -> Callable[[], dict]:
    """Evaluates the model with its averaged weights, if it keeps any."""

    def evaluate() -> dict[str, float]:
        with model.averaged_weights(needed=False):
            return model.evaluate(*arrays, verbose=0, return_dict=True, **options)

    return evaluate


def fit_epochs(
    run: Run,
    config: EpochsConfig,
    model: Any,
    batches: Any,
    evaluate: Callable[[], Mapping[str, float]],
) -> None:
    """Trains on images for `--epochs`, with an evaluation every `--eval-every`."""
    per_epoch = batches.steps_per_epoch
    run.fit(
        model,
        batches.batches,
        updates=config.epochs * per_epoch,
        evaluate_every=getattr(config, "eval_every", 1) * per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="images",
    )


def draw_curves(
    run: Run, curves: Mapping[str, str], about: str, file: str = "loss", **options: Any
) -> None:
    """Draws metrics over the updates, as far as the run has them.

    Args:
        run: whose metrics to draw.
        curves: the names of metrics, by their words in the legend.
        about: what was trained.
        file: name of the picture, without its ending.
        **options: of `loss_curves`.
    """
    loss_curves(
        run.out / f"{file}.png",
        [row["update"] for row in run.rows],
        {
            words: run.curve(name)
            for words, name in curves.items()
            if name in run.rows[-1]
        },
        title=f"{about} on {run.config.dataset} ({run.config.variant})",
        **options,
    )


def scaled(images: np.ndarray) -> np.ndarray:
    """8-bit images as numbers from 0 to 1."""
    return images / np.float32(255)
