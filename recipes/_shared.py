"""What recipes share: flags of training, data, `--smoke`, averages and curves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

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
class CosineConfig(RunConfig):
    """A learning rate that falls by a cosine.

    Attributes:
        learning_rate: at its peak.
        final_learning_rate: at the end of the cosine.
        warmup_steps: updates of a linear warm-up.
    """

    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 100


@dataclass(frozen=True)
class AverageConfig(RunConfig):
    """Averaged weights, which are evaluated, sampled from and kept.

    Attributes:
        ema: momentum of the weights' moving average; 0 for none.
    """

    ema: float = 0.0


@dataclass(frozen=True)
class SamplesConfig(TextRunConfig):
    """Samples of text.

    Attributes:
        prompt: how they begin.
        sample_tokens: how long they are, at most what the context takes.
        temperature: of sampling.
    """

    prompt: str = "\n"
    sample_tokens: int = 200
    temperature: float = 0.8


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


def smoke(config: C, /, **changes: Any) -> C:
    """The configuration, made tiny if `--smoke` is given."""
    return replace(config, **changes) if config.smoke else config


def smoke_images(config: C, dataset: str = "digits", /, **changes: Any) -> C:
    """As `smoke`, with a dataset that needs no download unless `data_dir` is given."""
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
    most: int = 0,
) -> Any:
    """The images that `--dataset` names; with `--smoke`, only `most` of them.

    Args:
        config: of the run.
        expect: classes of dataset that the recipe can use.
        size: the side that pictures are scaled to, by the datasets that scale them;
            `--image-size` for dataset "images" by default.
        most: images to load of each part with `--smoke`; 0 for a batch, or 100.
    """
    if isinstance(config, ImagesConfig):
        size, most = {"images": config.image_size}, max(config.batch_size, 100)
    options = {"most": most} if config.smoke else {}
    if size and config.dataset in size:
        options["size"] = size[config.dataset]
    return zoo.data.load(config.dataset, config.data_dir, expect=expect, **options)


def sample_texts(config: Any, model: Any, count: int, **options: Any) -> list[str]:
    """Continuations of the prompt, without the blanks around them."""
    room = config.model.context_length - len(model.tokenizer.encode(config.prompt))
    samples = model.generate(
        [config.prompt] * count,
        min(config.sample_tokens, room),
        temperature=config.temperature,
        seed=config.seed,
        **options,
    )
    return [sample.strip() for sample in samples]


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


def fit_steps(
    run: Run,
    config: Any,
    model: Any,
    batches: Callable[[int], Any],
    evaluate: Callable[[], Mapping[str, float]],
    size: int,
    unit: Literal["tokens", "images", "sequences"] = "tokens",
) -> None:
    """Trains for `--steps`; `size` is what a batch has of the unit."""
    run.fit(
        model,
        batches,
        updates=config.steps,
        evaluate_every=config.eval_every,
        evaluate=evaluate,
        batch_tokens=size,
        unit=unit,
    )


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
    run: Run,
    curves: Mapping[str, str],
    about: str,
    file: str | Path = "loss",
    **options: Any,
) -> None:
    """Draws metrics over the updates, as far as the run has them.

    Args:
        run: whose metrics to draw.
        curves: the names of metrics, by their words in the legend.
        about: what was trained.
        file: the picture's name without its ending, or its path.
        **options: of `loss_curves`.
    """
    loss_curves(
        run.out / file if isinstance(file, Path) else run.out / f"{file}.png",
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
