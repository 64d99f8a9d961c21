"""Shared by the recipes: training flags, data, `--smoke`, averages and curves."""

from collections.abc import Callable, Mapping, Sequence
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
    """Training for a fixed number of updates.

    Attributes:
        accumulate: micro-batches per batch, whose gradients are accumulated.
        steps: number of updates.
        learning_rate: peak learning rate.
        warmup_steps: updates of linear warm-up, at most a tenth of `steps`.
        weight_decay: decoupled weight decay of the matrices.
        clip: maximum global norm of the gradients.
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
    """A learning rate with cosine decay.

    Attributes:
        learning_rate: peak learning rate.
        final_learning_rate: learning rate at the end of the cosine decay.
        warmup_steps: updates of linear warm-up.
    """

    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 100


@dataclass(frozen=True)
class AverageConfig(RunConfig):
    """Averaged weights, which are evaluated, sampled from and saved.

    Attributes:
        ema: momentum of the moving average of the weights; 0 for none.
    """

    ema: float = 0.0


@dataclass(frozen=True)
class SamplesConfig(TextRunConfig):
    """Samples of text.

    Attributes:
        prompt: text that every sample begins with.
        sample_tokens: tokens per sample after the prompt, as far as the context allows.
        temperature: sampling temperature.
    """

    prompt: str = "\n"
    sample_tokens: int = 200
    temperature: float = 0.8


@dataclass(frozen=True)
class EpochsConfig(RunConfig):
    """Training for a fixed number of epochs.

    Attributes:
        batch_size: examples per update.
        accumulate: micro-batches per batch, whose gradients are accumulated.
        epochs: passes over the training data.
        learning_rate: peak learning rate.
    """

    batch_size: int = 100
    accumulate: int = 1
    epochs: int = 20
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class ImagesConfig(EpochsConfig):
    """Training on images.

    Attributes:
        image_size: side length that dataset "images" is cropped and scaled to.
        eval_every: epochs between evaluations and checkpoints.
    """

    dataset: str = "mnist"
    image_size: int = 32
    eval_every: int = 1


def smoke(config: C, /, **changes: Any) -> C:
    """Applies `changes`, which make a run tiny, if `--smoke` is given."""
    return replace(config, **changes) if config.smoke else config


def smoke_images(config: C, dataset: str = "digits", /, **changes: Any) -> C:
    """Like `smoke`; without `data_dir`, also picks a dataset that needs no download."""
    if config.data_dir is None:
        changes["dataset"] = dataset
    return smoke(config, **changes)


def load(config: TextRunConfig, *expect: type, **options: Any) -> Any:
    """Loads the dataset of texts that `--dataset` names.

    Args:
        config: configuration of the run.
        *expect: dataset classes that the recipe accepts.
        **options: further options of the dataset.
    """
    return zoo.data.load(
        config.dataset,
        config.data_dir,
        expect=expect,
        on_bad=config.on_bad,
        **options,
    )


def load_text(config: TextRunConfig) -> TextDataset:
    """Loads the text that `--dataset` names."""
    text: TextDataset = load(config, TextDataset)
    return text


def load_images(
    config: RunConfig,
    expect: Any = ImageDataset,
    size: Mapping[str, int] | None = None,
    most: int = 0,
) -> Any:
    """Loads the images that `--dataset` names; with `--smoke`, only `most` of them.

    Args:
        config: configuration of the run.
        expect: dataset classes that the recipe accepts.
        size: side length to scale images to, by dataset name. An `ImagesConfig` scales
            dataset "images" to `--image-size` instead.
        most: images to load per part with `--smoke`. With an `ImagesConfig`, it is
            the batch size, and at least 100, instead.
    """
    if isinstance(config, ImagesConfig):
        size, most = {"images": config.image_size}, max(config.batch_size, 100)
    options = {"most": most} if config.smoke else {}
    if size and config.dataset in size:
        options["size"] = size[config.dataset]
    return zoo.data.load(config.dataset, config.data_dir, expect=expect, **options)


def sample_texts(config: Any, model: Any, count: int, **options: Any) -> list[str]:
    """Samples `count` continuations of the prompt, stripped of whitespace."""
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
    """Optimizer options for a moving average of the weights; 0 for none."""
    return {"use_ema": momentum > 0, "ema_momentum": momentum or 0.99}


def adamw(config: StepsConfig, schedule: Any, **options: Any) -> keras.optimizers.AdamW:
    """AdamW with the weight decay and gradient clipping of the configuration."""
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip,
        **options,
    )


def cosine(config: Any, steps: int, peak: float | None = None) -> WarmupCosine:
    """Linear warm-up over at most a tenth of `steps`, then cosine decay."""
    return WarmupCosine(
        config.learning_rate if peak is None else peak,
        steps,
        warmup_steps=min(config.warmup_steps, steps // 10),
        final=getattr(config, "final_learning_rate", 0.0),
    )


def evaluation(model: Any, *arrays: Any, **options: Any) -> Callable[[], dict]:
    """A function that evaluates the model, with averaged weights if it has any."""

    def evaluate() -> dict[str, float]:
        with model.averaged_weights(needed=False):
            return model.evaluate(*arrays, verbose=0, return_dict=True, **options)

    return evaluate


def evaluation_of_batches(model: Any, batches: Sequence[Any]) -> Callable[[], dict]:
    """Like `evaluation`, on batches of different shapes."""
    return lambda: evaluation(model, iter(batches), steps=len(batches))()


def announce(model: Any, data: str) -> None:
    """Prints what is about to be trained: parameters, data and backend."""
    backend = keras.config.backend()
    print(f"{model.count_params():,} parameters, {data}, {backend} backend")


def fit_steps(
    run: Run,
    config: Any,
    model: Any,
    batches: Callable[[int], Any],
    evaluate: Callable[[], Mapping[str, float]],
    size: int,
    unit: Literal["tokens", "images", "sequences"] = "tokens",
    **options: Any,
) -> None:
    """Trains for `--steps` updates; `size` is the number of units per batch.

    `options` are further arguments of `Run.fit`.
    """
    run.fit(
        model,
        batches,
        updates=config.steps,
        evaluate_every=config.eval_every,
        evaluate=evaluate,
        batch_tokens=size,
        unit=unit,
        **options,
    )


def fit_epochs(
    run: Run,
    config: EpochsConfig,
    model: Any,
    batches: Any,
    evaluate: Callable[[], Mapping[str, float]],
    **options: Any,
) -> None:
    """Trains on images for `--epochs`, evaluating every `--eval-every` epochs.

    `options` are further arguments of `Run.fit`.
    """
    per_epoch = batches.steps_per_epoch
    run.fit(
        model,
        batches.batches,
        updates=config.epochs * per_epoch,
        evaluate_every=getattr(config, "eval_every", 1) * per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="images",
        **options,
    )


def draw_curves(
    run: Run,
    curves: Mapping[str, str],
    about: str,
    file: str | Path = "loss",
    **options: Any,
) -> None:
    """Plots metrics against updates; metrics that the run does not have are left out.

    Args:
        run: the run whose metrics to plot.
        curves: metric names by legend label.
        about: what was trained, for the title.
        file: name of the image file without its extension, or its path.
        **options: further arguments of `loss_curves`.
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
    """Scales 8-bit images to [0, 1], float32."""
    return images / np.float32(255)
