"""Every recipe at a size that trains in seconds, and its data."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.training.runs.flags import replace

WORDS = "the a cat dog sat ran on mat and then it was good bad".split()
SENTENCES, PICTURES = 48, 6


def sentences(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    drawn = (rng.choice(WORDS, 8) for _ in range(count))
    return [" ".join(words).capitalize() + "." for words in drawn]


def make_data(folder: Path) -> None:
    """Writes texts, labelled and translated sentences, and two domains of pictures."""
    text, table, parallel = (folder / name for name in ("text", "table", "parallel"))
    for made in (text, table, parallel):
        made.mkdir(parents=True)
    (text / "a.txt").write_text("\n\n".join(sentences(200, 0)) + "\n")
    for seed, part in enumerate(("train", "dev", "test"), start=1):
        rows = [f"{x}\t{i % 2}\n" for i, x in enumerate(sentences(SENTENCES, seed))]
        (table / f"{part}.tsv").write_text("".join(rows))
    for seed, part in enumerate(("train", "val", "test_2016_flickr"), start=1):
        lines = "\n".join(sentences(SENTENCES, seed)) + "\n"
        (parallel / f"{part}.en").write_text(lines)
        (parallel / f"{part}.de").write_text(lines.upper())
    rng = np.random.default_rng(0)
    for part in ("trainA", "trainB", "testA", "testB"):
        (folder / "pairs" / part).mkdir(parents=True)
        for number in range(PICTURES):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype="uint8")
            Image.fromarray(pixels).save(folder / "pairs" / part / f"{number}.png")


GPT = {"num_layers": 1, "num_heads": 2, "width": 16, "context_length": 16}
OFTEN = {"steps": 6, "eval_every": 2}
TEXT = {"dataset": "text", "data_dir": "text"}
TABLE = {"dataset": "tsv", "data_dir": "table", "batch_size": 8}
DIGITS = {"dataset": "digits", "batch_size": 500}

# The variant of each recipe, and the settings that make it small.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_text": (
        "nanogpt_cpu",
        {
            **(TEXT | GPT | OFTEN),
            "batch_size": 4,
            "accumulate": 2,
            "dropout": 0.1,
            "ema": 0.9,
            "sample_tokens": 8,
        },
    ),
    "lm_ladder": (
        "demo",
        {
            **(TEXT | GPT | OFTEN),
            "max_order": 2,
            "rungs": ("linear", "gru", "gpt"),
            "recurrent_layers": 1,
            "batch_size": 4,
            "sample_tokens": 4,
        },
    ),
    "elmo": (
        "tsv",
        {
            **(TABLE | OFTEN),
            "vocab_size": 80,
            "length": 12,
            "num_layers": 1,
            "width": 8,
            "hidden_width": 4,
            "classifiers": 2,
            "epochs": 2,
        },
    ),
    "self_attention_tour": (
        "animals",
        {**(TABLE | OFTEN), "vocab_size": 80, "length": 12, "width": 8},
    ),
    "scaling_laws": (
        "demo",
        {
            **TEXT,
            "widths": (8, 12, 16),
            "budgets": 1,
            "flops": 1e6,
            "fewest": 0.0,
            "fewest_steps": 1,
            "most": math.inf,
            "head_width": 4,
            "context_length": 16,
            "batch_size": 2,
            "resamples": 4,
        },
    ),
    "vae_mnist": (
        "demo",
        {
            **DIGITS,
            "hidden": (16,),
            "latent_dim": 4,
            "epochs": 6,
            "eval_every": 1,
            "kl_warmup": 6,
            "nll_samples": 2,
            "nll_images": 8,
        },
    ),
    "flow_mnist": (
        "digits",
        {
            **DIGITS,
            "steps": (2, 1),
            "hidden": (4, 4),
            "noise_hidden": 4,
            "epochs": 4,
            "eval_every": 1,
            "warmup_steps": 2,
            "nll_samples": 2,
            "nll_images": 8,
        },
    ),
    "autoencoder_mnist": (
        "deep",
        {
            **DIGITS,
            "hidden": (16,),
            "code_dim": 4,
            "epochs": 4,
            "eval_every": 1,
            "warmup_steps": 2,
        },
    ),
    "classifier_mnist": (
        "small",
        {**DIGITS, "hidden": (4,), "num_features": 8, "epochs": 4},
    ),
    "dcgan_mnist": (
        "demo",
        {
            **DIGITS,
            "width": 4,
            "epochs": 4,
            "eval_every": 1,
            "eval_images": 100,
            "ema": 0.9,
        },
    ),
    "diffusion_mnist": (
        "digits",
        {
            **DIGITS,
            "width": 8,
            "multipliers": (1, 2),
            "epochs": 4,
            "eval_every": 1,
            "warmup_steps": 0,
            "ema": 0.9,
            "eval_images": 16,
            "sample_steps": 2,
            "guidance": (1.0, 2.0),
            "nll_images": 4,
            "nll_steps": 1,
        },
    ),
    "gan_1d": ("non_saturating", {**OFTEN, "hidden": (8,), "batch_size": 16}),
    "cyclegan": (
        "small",
        {
            "data_dir": "pairs",
            "load_size": 16,
            "width": 4,
            "residual_blocks": 1,
            "discriminator_layers": 1,
            "batch_size": 2,
            "epochs": 3,
            "constant_epochs": 2,
            "history": 6,
            "eval_images": 4,
        },
    ),
    "image_tokens_mnist": (
        "digits",
        {
            **(DIGITS | OFTEN),
            "num_codes": 8,
            "code_dim": 4,
            "channels": 4,
            "num_residual_blocks": 1,
            "vqvae_batch_size": 500,
            "vqvae_steps": 4,
            "num_layers": 1,
            "num_heads": 2,
            "width": 16,
            "batch_size": 8,
            "eval_images": 16,
        },
    ),
    "bert_pretrain": (
        "demo",
        {
            **(TEXT | GPT | OFTEN),
            "vocab_size": 300,
            "context_length": 32,
            "batch_size": 8,
            "eval_sequences": 16,
            "duplicates": 2,
            "paragraphs": 4,
        },
    ),
    "bert_finetune": ("tsv", {**TABLE, "length": 32, "epochs": 3, "ema": 0.5}),
    "translation": (
        "demo",
        {
            **OFTEN,
            "dataset": "parallel",
            "data_dir": "parallel",
            "num_layers": 1,
            "num_heads": 2,
            "width": 16,
            "feed_forward_width": 16,
            "vocab_size": 300,
            "batch_tokens": 256,
            "num_beams": 2,
            "test_sentences": 2,
        },
    ),
}


def small_run(name: str, data: Path) -> tuple[Any, Any]:
    """Returns a recipe's module and its small configuration."""
    module = importlib.import_module(f"recipes.{name}")
    variant, changes = RUNS[name]
    if "data_dir" in changes:
        changes = changes | {"data_dir": data / changes["data_dir"]}
    return module, replace(module.VARIANTS[variant], variant=variant, **changes)
