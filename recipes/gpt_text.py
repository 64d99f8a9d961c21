"""Train a GPT on text, from raw characters to samples.

    zoo train gpt_text                                  # the demo, minutes
    zoo train gpt_text --variant nanogpt_cpu --dataset tinyshakespeare
    zoo train gpt_text --dataset text --data-dir my_texts/ --out runs/mine

KERAS_BACKEND=tensorflow, jax or torch selects the backend. An interrupted run continues
with --resume, and ends as if it had never been interrupted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras

import zoo
from zoo.data.encoded import EncodedText
from zoo.evaluation import text_metrics
from zoo.files.atomic import replacing
from zoo.layers.activations import ACTIVATIONS
from zoo.models.language.gpt_config import POSITIONS
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    AverageConfig,
    CosineConfig,
    SamplesConfig,
    StepsConfig,
    announce,
    average,
    cosine,
    draw_curves,
    fit_steps,
    load_text,
    replace,
    sample_texts,
    smoke,
)


@dataclass(frozen=True)
class Config(StepsConfig, CosineConfig, AverageConfig, SamplesConfig):
    """A GPT, its text and its training.

    Attributes:
        tokenizer: one token per character, or byte-level BPE trained on the text.
        vocab_size: size of the BPE vocabulary.
        activation: activation of the feed-forward layers; exact GELU is fast on torch,
            and its tanh approximation under XLA.
        batch_size: windows per update.
        optimizer: AdamW, or Muon for the matrices and AdamW for the rest.
        beta_2: beta_2 of Adam.
        num_samples: number of samples to show at the end.
        top_k: sample from the k most likely tokens; 0 for all of them.
    """

    dataset: str = "docs"
    out: Path = Path("runs/gpt_text")
    tokenizer: Literal["characters", "bpe"] = "characters"
    model: zoo.GPTConfig = flags(
        zoo.GPTConfig(1024, 64, 4, 4, 128, use_bias=False, activation="gelu"),
        *("vocab_size", "num_layers", "num_heads", "width", "context_length"),
        *("dropout", "remat"),
        positions=POSITIONS,
        activation=tuple(ACTIVATIONS),
    )
    batch_size: int = 12
    optimizer: Literal["adamw", "muon"] = "adamw"
    final_learning_rate: float = 1e-4
    beta_2: float = 0.99
    num_samples: int = 4
    top_k: int = 40


# nanoGPT's train_shakespeare_char.py with the CPU flags from its README.
NANOGPT_CPU = Config()
VARIANTS = {
    "demo": replace(
        NANOGPT_CPU,
        tokenizer="bpe",
        context_length=128,
        positions="rotary",
        optimizer="muon",
        learning_rate=4e-3,
        final_learning_rate=2e-4,
        warmup_steps=20,
        steps=600,
        eval_every=100,
        prompt="The",
        num_samples=3,
        sample_tokens=100,
        temperature=0.7,
    ),
    "nanogpt_cpu": NANOGPT_CPU,
    "nanogpt_cpu_best": replace(
        NANOGPT_CPU,
        positions="rotary",
        optimizer="muon",
        learning_rate=4e-3,
        final_learning_rate=1e-5,
        warmup_steps=50,
        ema=0.98,
    ),
    # nanoGPT's train_shakespeare_char.py as it is, for a GPU; its loss there is 1.4697.
    "nanogpt_gpu": replace(
        NANOGPT_CPU,
        num_layers=6,
        num_heads=6,
        width=384,
        context_length=256,
        dropout=0.2,
        batch_size=64,
        steps=5000,
    ),
}


def optimizer(config: Config) -> keras.optimizers.Optimizer:
    """AdamW as in nanoGPT, or Keras's Muon (Jordan et al. 2024)."""
    common = {
        "learning_rate": cosine(config, config.steps),
        "weight_decay": config.weight_decay,
        "global_clipnorm": config.clip,
        **average(config.ema),
    }
    if config.optimizer == "adamw":
        return keras.optimizers.AdamW(beta_2=config.beta_2, **common)
    return keras.optimizers.Muon(
        adam_beta_2=config.beta_2,
        adam_weight_decay=config.weight_decay,
        exclude_layers=["positions", "embedding"],
        **common,
    )


def main(config: Config) -> dict:
    """Trains, evaluates and samples; returns the summary."""
    config = smoke(
        config,
        **{"num_layers": 2, "width": 32, "context_length": 32, "sample_tokens": 8},
        **{"steps": 2, "eval_every": 1, "warmup_steps": 0},
    )
    run = Run(config)
    dataset = load_text(config)
    run.start({"dataset": dataset.sha256})
    if config.tokenizer == "characters":
        text = EncodedText.by_character(dataset)
    else:
        tokenizer = zoo.Tokenizer.train_bpe([dataset.train], config.model.vocab_size)
        text = EncodedText.of(dataset, tokenizer)
    model = zoo.GPT(replace(config.model, vocab_size=text.tokenizer.vocab_size))
    model.tokenizer = text.tokenizer
    model.compile(optimizer(config), accumulate=config.accumulate)
    announce(model, f"{len(text.train):,} tokens of {config.dataset}")

    def evaluate() -> dict:
        with model.averaged_weights(needed=False):
            return text_metrics(model, text.validation, text.validation_text)

    length, size = config.model.context_length, config.batch_size
    crops = zoo.data.RandomCrops(text.train, length, size, seed=config.seed)

    def samples() -> dict[str, str]:
        texts = sample_texts(config, model, config.num_samples, top_k=config.top_k)
        return {"samples": "\n---\n".join(texts)}

    tokens = size * length
    fit_steps(run, config, model, crops.batches, evaluate, tokens, samples=samples)

    shown = samples()["samples"]
    with replacing(run.out / "samples.txt") as file:
        file.write(f"{shown}\n".encode())
    draw_curves(run, {"training": "loss", "validation": "val_loss"}, "GPT")
    model.save_to_preset(run.out / "preset")
    summary = run.finish(
        parameters=model.count_params(),
        dataset=config.dataset,
        dataset_sha256=dataset.sha256,
        vocab_size=text.tokenizer.vocab_size,
    )
    print(f"\n{shown}\n\nvalidation loss {summary['val_loss']:.4f}; see {run.out}")
    return summary


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
