"""Generate digits on request with a VQ-VAE and a GPT over its codes.

    zoo train classifier_mnist                       # the judge, once
    zoo train image_tokens_mnist --classifier runs/classifier_mnist/preset
    zoo train image_tokens_mnist --conditioning text # "the digit three"
    zoo train image_tokens_mnist --variant digits    # nothing is downloaded

Both stages are trained here, the VQ-VAE in subfolder `stage1` of the run's folder. The
judge reports how many samples show the requested class. A run interrupted in either
stage continues with --resume, and ends as if it had never been interrupted.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

import zoo
from zoo.data.images.requests import ClassRequests
from zoo.evaluation import judged_requests
from zoo.evaluation.images.codes import (
    code_usage,
    draw_code_usage,
    draw_reconstructions,
)
from zoo.evaluation.images.pictures import image_grid
from zoo.models.autoencoders.vqvae import VQVAE, VQVAEConfig
from zoo.models.image_classifier import ImageClassifier
from zoo.models.image_tokens import ImageTokens, LabelPrefix, TextPrefix, token_sizes
from zoo.presets.registry import find
from zoo.store.names import PresetName
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    StepsConfig,
    adamw,
    cosine,
    draw_curves,
    evaluation,
    fit_steps,
    load_images,
    replace,
    scaled,
    smoke,
    smoke_images,
)


@dataclass(frozen=True)
class Config(StepsConfig):
    """A VQ-VAE, a GPT, their images and their training.

    Attributes:
        conditioning: request images by class number or by text.
        classifier: preset of the judge, such as classifier.mnist.
        channels: channels of the VQ-VAE's hidden layers.
        decay: decay rate of the codebook's moving averages.
        vqvae_batch_size: images per update of the first stage.
        vqvae_steps: number of updates of the first stage.
        vqvae_learning_rate: peak learning rate of the first stage.
        dropout: dropout rate of the GPT.
        batch_size: images per update of the second stage.
        steps: number of updates of the second stage.
        learning_rate: peak learning rate of the second stage.
        final_learning_rate: learning rate at the end of the cosine decay, in both
            stages.
        warmup_steps: updates of linear warm-up in each stage, at most a tenth of all.
        weight_decay: decoupled weight decay of the GPT's matrices.
        clip: maximum global norm of the GPT's gradients.
        eval_images: test images per evaluation of the second stage.
        temperature: sampling temperature.
        top_k: sample from the k most likely codes; 0 for all of them.
        samples_per_class: samples of each class that the judge sees.
    """

    dataset: str = "mnist"
    out: Path = Path("runs/image_tokens_mnist")
    conditioning: Literal["label", "text"] = "label"
    classifier: PresetName | None = None
    vqvae: VQVAEConfig = flags(
        # A placeholder: the shape comes from the data.
        VQVAEConfig((1024, 1024, 1)),
        *("num_codes", "code_dim", "channels", "num_residual_blocks"),
        *("downsampling", "commitment", "decay"),
    )
    vqvae_batch_size: int = 100
    vqvae_steps: int = 2000
    vqvae_learning_rate: float = 2e-3
    gpt: zoo.GPTConfig = flags(
        # Placeholders: both numbers of tokens come from the codes and the prefix.
        zoo.GPTConfig(1, 1, 4, 4, 96, dropout=0.1, activation="gelu", use_bias=False),
        *("num_layers", "num_heads", "width", "dropout"),
    )
    batch_size: int = 50
    steps: int = 4000
    learning_rate: float = 2e-3
    final_learning_rate: float = 1e-5
    eval_every: int = 500
    eval_images: int = 1000
    temperature: float = 1.0
    top_k: int = 0
    samples_per_class: int = 100


VARIANTS = {
    "mnist": Config(),
    "digits": replace(
        Config(),
        dataset="digits",
        num_codes=32,
        code_dim=16,
        downsampling=1,
        vqvae_steps=1000,
        steps=1000,
        eval_every=250,
    ),
}


def main(config: Config) -> dict:
    """Trains both stages, samples and judges; returns the summary."""
    if config.data_dir is None:
        config = smoke(config, downsampling=1, num_codes=32)
    config = smoke_images(
        config,
        **{"vqvae_steps": 2, "steps": 2, "eval_every": 1, "warmup_steps": 0},
        **{"num_layers": 1, "width": 16, "samples_per_class": 1},
    )
    if config.classifier is not None:
        # A missing classifier fails here rather than after training.
        find(config.classifier)
    run = Run(config, staged=True)
    data = load_images(config, most=config.vqvae_batch_size)
    if not data.class_names:
        raise ValueError(
            f"The images of {config.dataset!r} have no classes to request."
        )
    requests = ClassRequests(data.class_names, config.conditioning)
    run.start({"dataset": data.sha256}, parts=["stage1"])
    first = run.part("stage1")
    vqvae = train_vqvae(first, config, data)
    train, test = (
        (vqvae.encode(scaled(images)), labels)
        for images, labels in (
            (data.train_images, data.train_labels),
            (data.test_images, data.test_labels),
        )
    )
    model = train_gpt(run, config, vqvae, requests, train, test)
    counts = np.bincount(test[0].ravel(), minlength=config.vqvae.num_codes)
    draw(run, first, model, scaled(data.test_images), counts, requests)
    model.save_to_preset(run.out / "preset")
    first.finish(parameters=vqvae.count_params(), dataset=data.name)
    summary = run.finish(
        **judge(config, model, requests),
        **code_usage(counts),
        seconds=round(first.seconds + run.seconds, 2),
        vqvae_seconds=round(first.seconds, 2),
        vqvae_steps=first.rows[-1]["update"],
        val_reconstruction=first.rows[-1]["val_reconstruction"],
        conditioning=config.conditioning,
        parameters=vqvae.count_params() + model.gpt.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    print(
        f"\n{summary['val_loss']:.3f} nats per code, class accuracy "
        f"{summary.get('class_accuracy', float('nan')):.1%}; see {run.out}"
    )
    return summary


def train_vqvae(run: Run, config: Config, data: zoo.data.ImageDataset) -> VQVAE:
    """Trains the VQ-VAE, the first stage."""
    vqvae = VQVAE(replace(config.vqvae, image_shape=data.train_images.shape[1:]))
    rate = cosine(config, config.vqvae_steps, config.vqvae_learning_rate)
    vqvae.compile(keras.optimizers.Adam(rate), accumulate=config.accumulate)
    size = config.vqvae_batch_size
    batches = zoo.data.ImageBatches(data.train_images, size, seed=config.seed)
    evaluate = evaluation(vqvae, scaled(data.test_images), batch_size=500)
    first = replace(config, steps=config.vqvae_steps)
    shown = scaled(data.test_images[:9])

    def samples() -> dict[str, np.ndarray]:
        return {"images": shown, "reconstructions": vqvae.reconstruct(shown)}

    fit_steps(
        *(run, first, vqvae, batches.batches, evaluate, size, "images"),
        samples=samples,
    )
    return vqvae


def train_gpt(
    run: Run,
    config: Config,
    vqvae: VQVAE,
    requests: ClassRequests,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> ImageTokens:
    """Trains the GPT, the second stage, on the codes and classes of images."""
    prefix: LabelPrefix | TextPrefix = LabelPrefix(len(requests.words))
    if config.conditioning == "text":
        prefix = TextPrefix.of(requests.texts())
    vocab_size, context_length = token_sizes(vqvae, prefix)
    gpt = zoo.GPT(
        replace(config.gpt, vocab_size=vocab_size, context_length=context_length)
    )
    model = ImageTokens(vqvae, gpt, prefix)
    optimizer = adamw(config, cosine(config, config.steps), beta_2=0.99)
    gpt.compile(optimizer, accumulate=config.accumulate)
    (codes, labels), (test_codes, test_labels) = train, test

    def batches(start: int) -> Iterator[tuple]:
        for update in itertools.count(start):
            rng = np.random.default_rng((config.seed, update))
            rows = rng.integers(len(codes), size=config.batch_size)
            yield model.sequences(codes[rows], requests(labels[rows], rng))

    kept = zoo.data.fixed_subset(len(test_codes), config.eval_images)
    asked = requests(test_labels[kept], np.random.default_rng(config.seed))
    inputs, targets, weights = model.sequences(test_codes[kept], asked)
    evaluate = evaluation(gpt, inputs, targets, sample_weight=weights, batch_size=100)
    labels_once = np.arange(len(requests.words))
    each = requests(labels_once, np.random.default_rng(config.seed))

    def samples() -> dict[str, np.ndarray]:
        drawn = model.sample(
            prompts=each,
            seed=config.seed,
            temperature=config.temperature,
            top_k=config.top_k,
        )
        return {"samples": drawn}

    fit_steps(
        *(run, config, gpt, batches, evaluate, config.batch_size, "images"),
        samples=samples,
    )
    return model


def sample(config: Config, model: ImageTokens, prompts: Sequence[Any]) -> np.ndarray:
    """Draws an image for each prompt."""
    return model.sample(
        prompts=prompts,
        seed=config.seed,
        temperature=config.temperature,
        top_k=config.top_k,
    )


def judge(config: Config, model: ImageTokens, requests: ClassRequests) -> dict:
    """The fraction of samples that are classified as the requested class."""
    if config.classifier is None:
        return {}
    rng = np.random.default_rng(config.seed + 1)
    return judged_requests(
        lambda labels: sample(config, model, requests(labels, rng)),
        ImageClassifier.from_preset(config.classifier),
        requests.words,
        config.samples_per_class,
    )


def draw(
    run: Run,
    first: Run,
    model: ImageTokens,
    test: np.ndarray,
    counts: np.ndarray,
    requests: ClassRequests,
) -> None:
    """Draws reconstructions, samples, code usage and the losses of both stages."""
    config: Config = run.config  # type: ignore[assignment]
    shown = test[zoo.data.fixed_subset(len(test), 10)]
    draw_reconstructions(
        run.out / "reconstructions.png",
        shown,
        model.vqvae.reconstruct(shown),
        f"Test images through {config.vqvae.num_codes} codes",
    )
    labels = np.repeat(np.arange(len(requests.words)), 10)
    image_grid(
        run.out / "samples.png",
        sample(config, model, requests(labels, np.random.default_rng(config.seed))),
        columns=10,
        title="Samples, one row per request",
        row_names=requests.words,
    )
    draw_code_usage(run.out / "code_usage.png", counts)
    curves = {"training": "loss", "test": "val_loss"}
    draw_curves(first, curves, "VQ-VAE", run.out / "vqvae_loss.png", unit="loss")
    draw_curves(run, curves, "GPT", unit="nats per code")


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
