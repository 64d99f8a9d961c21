"""Draw digits that are asked for: a VQ-VAE, then a GPT over its codes.

    python -m recipes.classifier_mnist                       # the judge, once
    python -m recipes.image_tokens_mnist --classifier runs/classifier_mnist/preset
    python -m recipes.image_tokens_mnist --conditioning text # "the digit three"
    python -m recipes.image_tokens_mnist --variant digits    # nothing is downloaded

Both stages are trained here, the VQ-VAE in the folder `stage1` of the run's. The judge
says how many of the samples show what was asked for. A run that was stopped in either
stage goes on with --resume, and ends as if it had not been.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np

import zoo
from zoo.evaluation import judged_requests
from zoo.evaluation.images.pictures import image_grid, loss_curves, save_figure
from zoo.models.autoencoders.vqvae import VQVAE, VQVAEConfig
from zoo.models.image_classifier import ImageClassifier
from zoo.models.image_tokens import ImageTokens, LabelPrefix, TextPrefix, token_sizes
from zoo.presets.registry import find
from zoo.store.names import PresetName
from zoo.training import WarmupCosine
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, RunConfig

DIGITS = dict(
    zip(
        "0123456789",
        "zero one two three four five six seven eight nine".split(),
        strict=True,
    )
)
TEMPLATES = ("{word}", "{article} {word}", "the digit {word}", "draw {article} {word}")


@dataclass(frozen=True)
class Config(RunConfig):
    """A VQ-VAE, a GPT, their images and their training.

    Attributes:
        conditioning: ask for images by a class's number or by a text.
        classifier: the judge: classifier.mnist, or another preset.
        num_codes: in the VQ-VAE's codebook.
        code_dim: of their vectors.
        channels: of the VQ-VAE's hidden layers.
        num_residual_blocks: in its encoder, and in its decoder.
        downsampling: convolutions that halve the picture's sides.
        commitment: coefficient of the commitment loss.
        decay: of the codebook's moving averages.
        vqvae_batch_size: images an update of the first stage.
        vqvae_steps: updates of the first stage.
        vqvae_learning_rate: at its peak.
        num_layers: transformer blocks.
        num_heads: attention heads.
        width: of the residual stream.
        dropout: of the GPT, in training.
        batch_size: images an update of the second stage.
        steps: updates of the second stage.
        learning_rate: at its peak.
        final_learning_rate: at the end of the cosine; also of the first stage.
        warmup_steps: of a linear warm-up; also of the first stage.
        weight_decay: of the GPT's matrices, decoupled.
        clip: the largest global norm of the GPT's gradients.
        accumulate: micro-batches that a batch is cut into.
        eval_every: updates between evaluations and checkpoints.
        eval_images: test images of the second stage's evaluations.
        temperature: of sampling.
        top_k: of sampling; 0 for all.
        samples_per_class: for the judge.
    """

    dataset: str = "mnist"
    out: Path = Path("runs/image_tokens_mnist")
    conditioning: Literal["label", "text"] = "label"
    classifier: PresetName | None = None
    num_codes: int = 128
    code_dim: int = 32
    channels: int = 32
    num_residual_blocks: int = 2
    downsampling: int = 2
    commitment: float = 0.25
    decay: float = 0.99
    vqvae_batch_size: int = 100
    vqvae_steps: int = 2000
    vqvae_learning_rate: float = 2e-3
    num_layers: int = 4
    num_heads: int = 4
    width: int = 96
    dropout: float = 0.1
    batch_size: int = 50
    steps: int = 4000
    learning_rate: float = 2e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0
    accumulate: int = 1
    eval_every: int = 500
    eval_images: int = 1000
    temperature: float = 1.0
    top_k: int = 0
    samples_per_class: int = 100


VARIANTS = {
    "mnist": Config(),
    "digits": Config(
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
    """Trains both, samples, judges; returns the summary."""
    if config.smoke:
        config = replace(config, vqvae_steps=2, steps=2, eval_every=1, warmup_steps=0)
        config = replace(config, num_layers=1, width=16, samples_per_class=1)
        if config.data_dir is None:
            config = replace(config, dataset="digits", downsampling=1, num_codes=32)
    if config.classifier is not None:
        # Now rather than after the training, if it is not there.
        find(config.classifier)
    run = Run(config, staged=True)
    options = {"most": config.vqvae_batch_size} if config.smoke else {}
    data = zoo.data.load(
        config.dataset, config.data_dir, expect=zoo.data.ImageDataset, **options
    )
    if not data.class_names:
        raise ValueError(
            f"The images of {config.dataset!r} have no classes to ask for."
        )
    run.start({"dataset": data.sha256}, parts=["stage1"])
    first = run.part("stage1")
    vqvae = train_vqvae(first, config, data)
    test = data.test_images / np.float32(255)
    codes = vqvae.encode(data.train_images / np.float32(255))
    test_codes = vqvae.encode(test)

    words = [DIGITS.get(name, name) for name in data.class_names]
    model = train_gpt(run, config, vqvae, data, words, codes, test_codes)

    counts = np.bincount(test_codes.ravel(), minlength=config.num_codes)
    draw(run, first, model, test, counts, words)
    model.save_to_preset(run.out / "preset")
    parts = counts[counts > 0] / counts.sum()
    first.finish(parameters=vqvae.count_params(), dataset=data.name)
    summary = run.finish(
        **judge(config, model, words),
        seconds=round(first.seconds + run.seconds, 2),
        vqvae_seconds=round(first.seconds, 2),
        vqvae_steps=first.rows[-1]["update"],
        val_reconstruction=first.rows[-1]["val_reconstruction"],
        codes_used=int((counts > 0).sum()),
        code_perplexity=float(np.exp(-(parts * np.log(parts)).sum())),
        conditioning=config.conditioning,
        parameters=vqvae.count_params() + model.gpt.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    print(
        f"\n{summary['val_loss']:.3f} nats a code, asked class in "
        f"{summary.get('class_accuracy', float('nan')):.1%}; see {run.out}"
    )
    return summary


def schedule(config: Config, peak: float, steps: int) -> WarmupCosine:
    """A warm-up, then a cosine."""
    return WarmupCosine(
        peak,
        steps,
        warmup_steps=min(config.warmup_steps, steps // 10),
        final=config.final_learning_rate,
    )


def train_vqvae(run: Run, config: Config, data: zoo.data.ImageDataset) -> VQVAE:
    """The first stage."""
    vqvae = VQVAE(
        VQVAEConfig(
            image_shape=data.train_images.shape[1:],
            num_codes=config.num_codes,
            code_dim=config.code_dim,
            channels=config.channels,
            num_residual_blocks=config.num_residual_blocks,
            downsampling=config.downsampling,
            commitment=config.commitment,
            decay=config.decay,
        )
    )
    rate = schedule(config, config.vqvae_learning_rate, config.vqvae_steps)
    vqvae.compile(keras.optimizers.Adam(rate), accumulate=config.accumulate)
    batches = zoo.data.ImageBatches(
        data.train_images, config.vqvae_batch_size, seed=config.seed
    )
    test = data.test_images / np.float32(255)
    run.fit(
        vqvae,
        batches.batches,
        updates=config.vqvae_steps,
        evaluate_every=config.eval_every,
        evaluate=lambda: vqvae.evaluate(
            test, batch_size=500, verbose=0, return_dict=True
        ),
        batch_tokens=config.vqvae_batch_size,
        unit="images",
    )
    return vqvae


def train_gpt(
    run: Run, config: Config, vqvae: VQVAE, data, words, codes, test_codes
) -> ImageTokens:
    """The second stage."""
    prefix: LabelPrefix | TextPrefix = LabelPrefix(len(words))
    if config.conditioning == "text":
        prefix = TextPrefix.of([say(w, t) for w in words for t in TEMPLATES])
    gpt = zoo.GPT(
        zoo.GPTConfig(
            *token_sizes(vqvae, prefix),
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            width=config.width,
            dropout=config.dropout,
            activation="gelu",
            use_bias=False,
        )
    )
    model = ImageTokens(vqvae, gpt, prefix)
    gpt.compile(
        keras.optimizers.AdamW(
            schedule(config, config.learning_rate, config.steps),
            beta_2=0.99,
            weight_decay=config.weight_decay,
            global_clipnorm=config.clip,
        ),
        accumulate=config.accumulate,
    )

    def batches(start: int) -> Iterator[tuple]:
        for update in itertools.count(start):
            rng = np.random.default_rng((config.seed, update))
            rows = rng.integers(len(codes), size=config.batch_size)
            asked = prompts(config, words, data.train_labels[rows], rng)
            yield model.sequences(codes[rows], asked)

    kept = zoo.data.fixed_subset(len(test_codes), config.eval_images)
    rng = np.random.default_rng(config.seed)
    asked = prompts(config, words, data.test_labels[kept], rng)
    inputs, targets, weights = model.sequences(test_codes[kept], asked)
    run.fit(
        gpt,
        batches,
        updates=config.steps,
        evaluate_every=config.eval_every,
        evaluate=lambda: gpt.evaluate(
            inputs,
            targets,
            sample_weight=weights,
            batch_size=100,
            verbose=0,
            return_dict=True,
        ),
        batch_tokens=config.batch_size,
        unit="images",
    )
    return model


def say(word: str, template: str) -> str:
    """A prompt for one digit."""
    return template.format(word=word, article="an" if word == "eight" else "a")


def prompts(config: Config, words, labels, rng: np.random.Generator):
    """What asks for these classes: their numbers, or texts drawn from the templates."""
    if config.conditioning == "label":
        return labels
    drawn = rng.integers(len(TEMPLATES), size=len(labels))
    return [
        say(words[label], TEMPLATES[index])
        for label, index in zip(labels, drawn, strict=True)
    ]


def judge(config: Config, model: ImageTokens, words: list[str]) -> dict:
    """The share of samples that the classifier gives the class that was asked for."""
    if config.classifier is None:
        return {}
    classifier = ImageClassifier.from_preset(config.classifier)
    rng = np.random.default_rng(config.seed + 1)

    def drawn(labels):
        return model.sample(
            prompts=prompts(config, words, labels, rng),
            seed=config.seed,
            temperature=config.temperature,
            top_k=config.top_k,
        )

    return judged_requests(drawn, classifier, words, config.samples_per_class)


def draw(run: Run, first: Run, model: ImageTokens, test, counts, words) -> None:
    """The pictures."""
    config: Config = run.config  # type: ignore[assignment]
    shown = test[zoo.data.fixed_subset(len(test), 10)]
    image_grid(
        run.out / "reconstructions.png",
        np.concatenate([shown, model.vqvae.reconstruct(shown)]),
        columns=10,
        title=f"Test images through {config.num_codes} codes",
        row_names=("image", "decoded"),
    )
    labels = np.repeat(np.arange(len(words)), 10)
    asked = prompts(config, words, labels, np.random.default_rng(config.seed))
    image_grid(
        run.out / "samples.png",
        model.sample(
            prompts=asked,
            seed=config.seed,
            temperature=config.temperature,
            top_k=config.top_k,
        ),
        columns=10,
        title="Samples, a row for what was asked",
        row_names=words,
    )
    code_usage(run.out / "code_usage.png", counts)
    for name, stage, unit in (
        ("vqvae_loss", first, "loss"),
        ("loss", run, "nats a code"),
    ):
        loss_curves(
            run.out / f"{name}.png",
            [row["update"] for row in stage.rows],
            {"training": stage.curve("loss"), "test": stage.curve("val_loss")},
            title=f"{config.dataset} ({config.variant})",
            unit=unit,
        )


def code_usage(path: Path, counts: np.ndarray) -> None:
    """Draws how often each code occurs, from the most frequent to the rarest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot()
    shares = np.sort(counts)[::-1] / counts.sum()
    axes.bar(np.arange(len(shares)), shares, width=1.0)
    axes.axhline(1 / len(shares), color="black", linewidth=0.8, linestyle="--")
    axes.set(
        xlabel="codes, by frequency",
        ylabel="share of all places",
        title=f"{(counts > 0).sum()} of {len(counts)} codes occur; dashed: equal use",
    )
    save_figure(figure, path)


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
