"""Train language models from n-grams to GPT on one text, and compare them.

    zoo train lm_ladder                                   # docs, minutes
    zoo train lm_ladder --variant shakespeare             # tinyshakespeare
    zoo train lm_ladder --rungs linear gpt --max-order 3  # some of the models

The rungs are n-grams of orders 1 to 6 (modified Kneser-Ney), a linear model of the mean
embedding, recurrent networks (Elman, GRU, LSTM) as large as the GPT, and the GPT, with
rotary positions and Muon as in `recipes.gpt_text --variant nanogpt_cpu_best`. Each
writes a folder under --out, whose preset loads with `from_preset`; `ladder.png` and
`samples.txt` show all of them.

All models predict the same tokens: every character of the validation text but the
first. N-grams read it in one piece. Networks read overlapping windows with a stride of
half a context, and are scored on the second half of each window (on all of the first),
so every prediction after the first window sees at least half a context.

With --resume, finished rungs are kept, and the interrupted one continues.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

import zoo
from zoo.data.encoded import EncodedText
from zoo.engine.current import engine
from zoo.evaluation import text_metrics
from zoo.evaluation.scaling_laws import compute
from zoo.evaluation.text.ladder import COLUMNS, draw_rungs, print_rungs
from zoo.evaluation.text.language import whole_text_metrics
from zoo.files.atomic import replacing, replacing_files
from zoo.models.language.language_model import LanguageModel
from zoo.presets import count_parameters
from zoo.presets.matching import matching_width
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from . import gpt_text
from ._shared import (
    AverageConfig,
    SamplesConfig,
    StepsConfig,
    fit_steps,
    load_text,
    replace,
    sample_texts,
    smoke,
)

CELLS = ("elman", "gru", "lstm")
NETWORKS = ("linear", *CELLS, "gpt")
# nanoGPT's train_shakespeare_char.py on a CPU, with rotary positions.
GPT = zoo.GPTConfig(
    1024, 64, 4, 4, 128, positions="rotary", activation="gelu", use_bias=False
)


@dataclass(frozen=True)
class Config(StepsConfig, AverageConfig, SamplesConfig):
    """A text, the models that learn it, and their training.

    Attributes:
        max_order: highest order of the n-grams, which start at order 1.
        smoothing: smoothing of the n-grams; see `zoo.NgramConfig`.
        rungs: networks to train, out of linear, elman, gru, lstm and gpt.
        num_layers: transformer blocks of the GPT.
        num_heads: attention heads of the GPT.
        width: width of the GPT and of the linear model's embeddings.
        recurrent_layers: layers of the recurrent networks, whose width is chosen to
            match the size of the GPT.
        context_length: tokens per window.
        dropout: dropout rate of the GPT and the recurrent networks.
        batch_size: windows per update.
        steps: number of updates per network.
        learning_rate: peak learning rate of the GPT, with Muon.
        recurrent_learning_rate: peak learning rate of the recurrent networks, with
            AdamW.
        linear_learning_rate: peak learning rate of the linear model, with AdamW.
    """

    dataset: str = "docs"
    out: Path = Path("runs/lm_ladder")
    max_order: int = 6
    smoothing: str = "kneser_ney"
    rungs: tuple[str, ...] = NETWORKS
    model: zoo.GPTConfig = flags(
        GPT, "num_layers", "num_heads", "width", "context_length", "dropout"
    )
    recurrent_layers: int = 2
    batch_size: int = 12
    learning_rate: float = 4e-3
    recurrent_learning_rate: float = 2e-3
    linear_learning_rate: float = 1e-2
    ema: float = 0.98
    eval_every: int = 500


VARIANTS = {
    "demo": replace(Config(), num_layers=2, width=64, steps=600, eval_every=200),
    # nanoGPT's train_shakespeare_char.py on a CPU, for twice as long.
    "shakespeare": Config(dataset="tinyshakespeare", steps=4000),
}


def main(config: Config) -> dict:
    """Trains and compares all rungs; returns the summary."""
    if unknown := sorted(set(config.rungs) - set(NETWORKS)):
        raise ValueError(f"rungs must be among {', '.join(NETWORKS)}; got {unknown}.")
    config = smoke(
        config,
        **{"num_layers": 1, "width": 16, "recurrent_layers": 1, "context_length": 32},
        **{"max_order": 2, "sample_tokens": 8},
        **{"steps": 2, "eval_every": 1, "warmup_steps": 0},
    )
    ngrams = {f"ngram_{order}": count for order in range(1, config.max_order + 1)}
    networks = {name: train for name in NETWORKS if name in config.rungs}
    run = Run(config, staged=True)
    dataset = load_text(config)
    run.start({"dataset": dataset.sha256}, parts=[*ngrams, *networks])
    text = EncodedText.by_character(dataset)
    print(
        f"{len(text.train):,} characters of {config.dataset}, "
        f"{text.tokenizer.vocab_size} distinct, {keras.config.backend()} backend"
    )
    samples = {}
    for name, climb in (ngrams | networks).items():
        rung = run.part(name)
        found = rung.finished() or climb(rung, name, config, text)
        samples[name] = found["sample"]
        kept = ("tokens_per_second", "val_perplexity", *COLUMNS)
        row = {key: found[key] for key in kept if key in found}
        run.rows.append({"update": found["steps"], "rung": name, **row})
        run.seconds += found["seconds"]
    run.write_metrics()
    show(run, samples)
    if engine().is_main:
        preset = config.out / run.rows[-1]["rung"] / "preset"
        with replacing_files(run.out / "preset") as new:
            shutil.copytree(preset, new, dirs_exist_ok=True)
    return run.finish(
        **{
            f"{row['rung']}_{key}": row[key]
            for row in run.rows
            for key in COLUMNS
            if key in row
        },
        seconds=round(run.seconds, 2),
        dataset=config.dataset,
        dataset_sha256=dataset.sha256,
        vocab_size=text.tokenizer.vocab_size,
    )


def count(run: Run, name: str, config: Config, text: EncodedText) -> dict:
    """Trains an n-gram rung by counting, in one pass over the text."""
    order = int(name.removeprefix("ngram_"))
    model = zoo.NgramLM(
        zoo.NgramConfig(text.tokenizer.vocab_size, order, config.smoothing)
    )
    start = time.perf_counter()
    model.fit(text.train)
    run.seconds = time.perf_counter() - start
    metrics = whole_text_metrics(model, text.validation, text.validation_text)
    row = {f"val_{key}": value for key, value in metrics.items()}
    rate = round(len(text.train) / run.seconds, 1)
    run.rows = [{"update": 1, **row, "tokens_per_second": rate}]
    run.write_metrics()
    return finished(run, model, config, text)


def train(run: Run, name: str, config: Config, text: EncodedText) -> dict:
    """Trains a network's rung by gradient descent."""
    model = network(name, config, text.tokenizer.vocab_size)
    model.compile(optimizer(name, config), accumulate=config.accumulate)
    print(f"{name}: {model.count_params():,} parameters")
    length, size = config.model.context_length, config.batch_size
    crops = zoo.data.RandomCrops(text.train, length, size, seed=config.seed)

    def evaluate() -> dict[str, float]:
        with model.averaged_weights(needed=False):
            return text_metrics(
                model, text.validation, text.validation_text, stride=length // 2
            )

    def samples() -> dict[str, str]:
        return {"sample": sample_texts(config, model, 1)[0]}

    model.tokenizer = text.tokenizer
    tokens = size * length
    fit_steps(run, config, model, crops.batches, evaluate, tokens, samples=samples)
    # As if embeddings were multiplied too.
    flops = compute(model.count_params(), tokens * config.steps)
    return finished(run, model, config, text, flops=float(flops))


def network(name: str, config: Config, vocab_size: int) -> LanguageModel:
    """Builds the GPT, or a network to compare with it."""
    gpt = replace(config.model, vocab_size=vocab_size)
    sizes = (vocab_size, gpt.context_length)
    if name == "gpt":
        return zoo.GPT(gpt)
    if name == "linear":
        return zoo.LinearLM(zoo.LinearLMConfig(*sizes, gpt.width))
    layers, dropout = config.recurrent_layers, gpt.dropout
    narrow = zoo.RecurrentLMConfig(*sizes, layers, 8, cell=name, dropout=dropout)
    return zoo.RecurrentLM(matching_width(narrow, count_parameters(gpt)))


def optimizer(name: str, config: Config) -> keras.optimizers.Optimizer:
    """Muon for the GPT, as in the best variant of `recipes.gpt_text`; else AdamW."""
    rates = dict.fromkeys(CELLS, config.recurrent_learning_rate)
    rates |= {"linear": config.linear_learning_rate, "gpt": config.learning_rate}
    return gpt_text.optimizer(
        gpt_text.Config(
            optimizer="muon" if name == "gpt" else "adamw",
            learning_rate=rates[name],
            final_learning_rate=rates[name] / 100,
            steps=config.steps,
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
            clip=config.clip,
            ema=config.ema,
        )
    )


def finished(
    run: Run, model: Any, config: Config, text: EncodedText, **figures: Any
) -> dict:
    """Samples from a rung, saves it and writes its summary."""
    model.tokenizer = text.tokenizer
    (sample,) = sample_texts(config, model, 1)
    model.save_to_preset(run.out / "preset")
    bytes_per_character = len(text.validation_text.encode()) / len(text.validation_text)
    bits = run.rows[-1]["val_bits_per_byte"]
    return run.finish(
        sample=sample,
        parameters=model.count_params(),
        val_bits_per_character=bits * bytes_per_character,
        seconds=round(run.seconds, 4),
        **figures,
    )


def show(run: Run, samples: Mapping[str, str]) -> None:
    """Prints the table of all rungs, and writes the chart and the samples."""
    config = run.config
    print_rungs(run.rows)
    draw_rungs(run.out / "ladder.png", run.rows, f"{config.dataset} ({config.variant})")
    lines = [f"=== {name} ===\n{sample}\n" for name, sample in samples.items()]
    with replacing(run.out / "samples.txt") as file:
        file.write("\n".join(lines).encode())
    print(f"\nsee the chart and samples of all models in {run.out}")


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
