"""Train every language model from counting to GPT on one text, and compare them.

    python -m recipes.lm_ladder                                   # docs, minutes
    python -m recipes.lm_ladder --variant shakespeare             # tinyshakespeare
    python -m recipes.lm_ladder --rungs linear gpt --max-order 3  # some of the networks

The rungs: n-grams of orders 1 to 6 (modified Kneser-Ney), a linear model of the mean
embedding, recurrent networks (Elman's, GRU, LSTM) as large as the GPT, and the GPT,
with rotary positions and Muon as `recipes.gpt_text --variant nanogpt_cpu_best`. Each
leaves a folder under --out, whose preset loads by `from_preset`; `ladder.png` and
`samples.txt` show all of them.

All predict the same tokens: every character of the validation text but the first.
N-grams read it in one piece. Networks read overlapping windows, each half a context
after the one before, and count the second half of each (of the first, all of it), so
that they always see at least half a context.

Finished rungs are not trained again with --resume, and the one in the middle goes on.
"""

import shutil
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import zoo
from recipes import gpt_text
from zoo.engine.current import engine
from zoo.evaluation import text_metrics
from zoo.evaluation.images.pictures import save_figure
from zoo.evaluation.text.language import bits_per_byte
from zoo.files.atomic import replacing, replacing_files
from zoo.models.language.language_model import LanguageModel
from zoo.presets import count_parameters
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

CELLS = ("elman", "gru", "lstm")
NETWORKS = ("linear", *CELLS, "gpt")
# What the table shows of a rung.
COLUMNS = {
    "parameters": "{:,.0f}",
    "seconds": "{:,.2f}",
    "flops": "{:.1e}",
    "val_loss": "{:.3f}",
    "val_bits_per_byte": "{:.3f}",
    "val_bits_per_character": "{:.3f}",
}


@dataclass(frozen=True)
class Config(TextRunConfig):
    """A text, and the sizes of what learns it.

    Attributes:
        max_order: of the n-grams, which begin with order 1.
        smoothing: of the n-grams; see `zoo.NgramConfig`.
        rungs: the networks, of linear, elman, gru, lstm and gpt.
        num_layers: transformer blocks of the GPT.
        num_heads: attention heads of the GPT.
        width: of the GPT and of the linear model's embeddings.
        recurrent_layers: of recurrent networks, as wide as makes them as large as the
            GPT.
        context_length: tokens of a window.
        dropout: of the GPT and the recurrent networks.
        batch_size: windows an update.
        accumulate: micro-batches that a batch is cut into.
        steps: updates of each network.
        learning_rate: of the GPT at its peak, by Muon.
        recurrent_learning_rate: of the recurrent networks, by AdamW.
        linear_learning_rate: of the linear model, likewise.
        ema: momentum of the weights' moving average, of all networks.
        warmup_steps: of a linear warm-up.
        weight_decay: of matrices, decoupled.
        clip: the largest global norm of the gradients.
        eval_every: updates between evaluations and checkpoints.
        prompt: how the samples begin.
        sample_tokens: how long they are, at most what the context takes.
        temperature: of sampling.
    """

    dataset: str = "docs"
    out: Path = Path("runs/lm_ladder")
    max_order: int = 6
    smoothing: str = "kneser_ney"
    rungs: tuple[str, ...] = NETWORKS
    num_layers: int = 4
    num_heads: int = 4
    width: int = 128
    recurrent_layers: int = 2
    context_length: int = 64
    dropout: float = 0.0
    batch_size: int = 12
    accumulate: int = 1
    steps: int = 2000
    learning_rate: float = 4e-3
    recurrent_learning_rate: float = 2e-3
    linear_learning_rate: float = 1e-2
    warmup_steps: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0
    ema: float = 0.98
    eval_every: int = 500
    prompt: str = "\n"
    sample_tokens: int = 200
    temperature: float = 0.8


# Sizes and text of nanoGPT's train_shakespeare_char.py on a CPU, for twice as long.
SHAKESPEARE = Config(dataset="tinyshakespeare", steps=4000)
VARIANTS = {
    "demo": Config(num_layers=2, width=64, steps=600, eval_every=200),
    "shakespeare": SHAKESPEARE,
}


@dataclass(frozen=True)
class Text:
    """What all rungs learn from and are tested on."""

    tokenizer: zoo.Tokenizer
    train: np.ndarray
    validation: np.ndarray
    validation_text: str

    @classmethod
    def of(cls, dataset: zoo.data.TextDataset) -> "Text":
        """A token a character."""
        tokenizer = zoo.Tokenizer.characters(dataset.train + dataset.validation)
        train, validation = map(tokenizer.encode, (dataset.train, dataset.validation))
        return cls(tokenizer, train, validation, dataset.validation)


def main(config: Config) -> dict:
    """Climbs all rungs, compares them; returns the summary."""
    if unknown := sorted(set(config.rungs) - set(NETWORKS)):
        raise ValueError(f"rungs must be of {', '.join(NETWORKS)}; got {unknown}")
    if config.smoke:
        config = replace(config, num_layers=1, width=16, steps=2, eval_every=1)
        config = replace(config, recurrent_layers=1, context_length=32, max_order=2)
        config = replace(config, warmup_steps=0, sample_tokens=8)
    climbs: dict[str, Callable] = {
        f"ngram_{order}": count for order in range(1, config.max_order + 1)
    } | {name: train for name in NETWORKS if name in config.rungs}
    run = Run(config, staged=True)
    dataset = zoo.data.load(
        config.dataset,
        config.data_dir,
        expect=zoo.data.TextDataset,
        on_bad=config.on_bad,
    )
    run.start({"dataset": dataset.sha256}, parts=list(climbs))
    text = Text.of(dataset)
    print(
        f"{len(text.train):,} characters of {config.dataset}, "
        f"{text.tokenizer.vocab_size} different ones, {keras.config.backend()} backend"
    )
    samples = {}
    for name, climb in climbs.items():
        rung = run.part(name)
        found = rung.finished() or climb(rung, name, config, text)
        samples[name] = found["sample"]
        kept = ("tokens_per_second", "val_perplexity", *COLUMNS)
        row = {key: found[key] for key in kept if key in found}
        run.rows.append({"update": found["steps"], "rung": name, **row})
        run.seconds += found["seconds"]
    run.write_metrics()
    show(run.rows)
    draw(run.out / "ladder.png", run.rows, f"{config.dataset} ({config.variant})")
    lines = [f"=== {name} ===\n{sample}\n" for name, sample in samples.items()]
    with replacing(run.out / "samples.txt") as file:
        file.write("\n".join(lines).encode())
    if engine().is_main:
        preset = config.out / run.rows[-1]["rung"] / "preset"
        with replacing_files(run.out / "preset") as new:
            shutil.copytree(preset, new, dirs_exist_ok=True)
    summary = run.finish(
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
    print(f"\nSamples of all and a picture are in {run.out}")
    return summary


def count(run: Run, name: str, config: Config, text: Text) -> dict:
    """An n-gram rung: one pass over the text."""
    order = int(name.removeprefix("ngram_"))
    model = zoo.NgramLM(
        zoo.NgramConfig(text.tokenizer.vocab_size, order, config.smoothing)
    )
    start = time.perf_counter()
    model.fit(text.train)
    run.seconds = time.perf_counter() - start
    nats = -model.log_probs(text.validation)
    loss = float(nats.mean())
    run.rows = [
        {
            "update": 1,
            "val_loss": loss,
            "val_perplexity": float(np.exp(loss)),
            "val_bits_per_byte": bits_per_byte(-nats, text.validation_text),
            "tokens_per_second": round(len(text.train) / run.seconds, 1),
        }
    ]
    run.write_metrics()
    return finished(run, model, config, text)


def train(run: Run, name: str, config: Config, text: Text) -> dict:
    """A network's rung."""
    model = network(name, config, text.tokenizer.vocab_size)
    model.compile(optimizer(name, config), accumulate=config.accumulate)
    print(f"{name}: {model.count_params():,} parameters")
    crops = zoo.data.RandomCrops(
        text.train, config.context_length, config.batch_size, seed=config.seed
    )
    batch_tokens = config.batch_size * config.context_length

    def evaluate() -> dict[str, float]:
        with model.averaged_weights(needed=False):
            return text_metrics(
                model,
                text.validation,
                text.validation_text,
                stride=config.context_length // 2,
            )

    run.fit(
        model,
        crops.batches,
        updates=config.steps,
        evaluate_every=config.eval_every,
        evaluate=evaluate,
        batch_tokens=batch_tokens,
    )
    # A multiplication and an addition a parameter and token, and twice that on the way
    # back (Kaplan et al. 2020), as if embeddings were multiplied too.
    flops = 6.0 * model.count_params() * batch_tokens * config.steps
    return finished(run, model, config, text, flops=flops)


def network(name: str, config: Config, vocab_size: int) -> LanguageModel:
    """The GPT, or what is compared with it."""
    sizes = (vocab_size, config.context_length)
    gpt = zoo.GPTConfig(
        *sizes,
        config.num_layers,
        config.num_heads,
        config.width,
        dropout=config.dropout,
        positions="rotary",
        activation="gelu",
        use_bias=False,
    )
    if name == "gpt":
        return zoo.GPT(gpt)
    if name == "linear":
        return zoo.LinearLM(zoo.LinearLMConfig(*sizes, config.width))

    def recurrent(width: int) -> zoo.RecurrentLMConfig:
        layers, dropout = config.recurrent_layers, config.dropout
        return zoo.RecurrentLMConfig(*sizes, layers, width, cell=name, dropout=dropout)

    widths = range(8, 2**14, 8)
    matched = bisect_left(
        widths,
        count_parameters(gpt),
        key=lambda width: count_parameters(recurrent(width)),
    )
    return zoo.RecurrentLM(recurrent(widths[matched]))


def optimizer(name: str, config: Config) -> keras.optimizers.Optimizer:
    """Of the GPT as `recipes.gpt_text` trains its best, of the others AdamW."""
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


def finished(run: Run, model: Any, config: Config, text: Text, **figures: Any) -> dict:
    """Samples, saves, and writes the rung's summary."""
    model.tokenizer = text.tokenizer
    room = config.context_length - len(text.tokenizer.encode(config.prompt))
    sample = model.generate(
        config.prompt,
        min(config.sample_tokens, room),
        temperature=config.temperature,
        seed=config.seed,
    )
    model.save_to_preset(run.out / "preset")
    bytes_a_character = len(text.validation_text.encode()) / len(text.validation_text)
    bits = run.rows[-1]["val_bits_per_byte"]
    return run.finish(
        sample=sample.strip(),
        parameters=model.count_params(),
        val_bits_per_character=bits * bytes_a_character,
        seconds=round(run.seconds, 4),
        **figures,
    )


def show(rows: list[dict]) -> None:
    """Prints a line a rung."""
    from rich.console import Console
    from rich.table import Table

    table = Table("rung")
    for name in COLUMNS:
        table.add_column(name.removeprefix("val_").replace("_", " "), justify="right")
    for row in rows:
        cells = [
            form.format(row[name]) if name in row else "-"
            for name, form in COLUMNS.items()
        ]
        table.add_row(row["rung"].replace("_", " "), *cells)
    Console().print(table)


def draw(path: Path, rows: list[dict], title: str) -> None:
    """Bits a byte over the cost of training, and over parameters, into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    ngrams = [row for row in rows if row["rung"].startswith("ngram_")]
    networks = [row for row in rows if row not in ngrams]
    for axes, measure in ((left, "seconds"), (right, "parameters")):
        places = [(row[measure], row["val_bits_per_byte"]) for row in ngrams]
        (points,) = axes.plot(*zip(*places, strict=True), "o-", label="n-grams")
        for row, place in zip(ngrams, places, strict=True):
            axes.annotate(
                row["rung"].removeprefix("ngram_"),
                place,
                textcoords="offset points",
                xytext=(6, 4),
                color=points.get_color(),
            )
        # Of about one size and loss: names beside them would lie on each other.
        for row, marker in zip(networks, "s^vDP", strict=False):
            place = row[measure], row["val_bits_per_byte"]
            axes.plot(*place, marker, alpha=0.8, label=row["rung"])
        axes.set(xscale="log", xlabel=measure)
        axes.margins(0.12)
        axes.grid(alpha=0.3)
    left.set(xlabel="seconds of training", ylabel="bits a byte of validation text")
    right.set(xlabel="parameters, or n-grams counted")
    left.legend(frameon=False)
    figure.suptitle(title)
    save_figure(figure, path)


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
