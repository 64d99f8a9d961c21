"""Fit scaling laws to small GPTs, and predict a larger one before it is trained.

    zoo train scaling_laws                                # docs, an hour or two
    zoo train scaling_laws --dataset tinyshakespeare
    zoo train scaling_laws --table trainings.csv          # your own runs

Several sizes are trained at each of a few compute budgets, C = 6·N·D, in the same way
as `recipes.gpt_text --variant nanogpt_cpu_best`: rotary positions, Muon, one learning
rate. Their losses give the best size for each budget (IsoFLOP curves), L(C) and
L(N, D), with uncertainties. These predict the loss of the largest width at the next
budget. The prediction is written to `prediction.json` before that model is trained
(Hoffmann et al. 2022; Kaplan et al. 2020).

Sizes that a budget would train for fewer than `fewest_steps` updates are left out. The
laws describe what a model of N parameters learns from D tokens, whatever the batch
size. Runs of a few hundred updates are limited by that number instead: Muon moves a
matrix by the same amount per update, however many tokens it sees. Their losses lie
above the law, more so for larger models, which get fewer updates from a budget, and
this biases the fit: on tinyshakespeare, runs of at least 79 updates predicted a loss
3.1 % too low, and runs of at least 329 updates 0.6 %. Short runs are left out rather
than down-weighted because their excess loss is not noise around the law.

A table needs the columns parameters, tokens and loss. The laws are fitted to it, and
nothing is trained.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zoo
from zoo.data.encoded import EncodedText
from zoo.evaluation import Trainings, text_metrics
from zoo.evaluation.budgets import PlannedTraining
from zoo.evaluation.fitted_laws import Laws
from zoo.presets.registry import count_parameters
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

from . import gpt_text
from ._shared import load_text, replace, smoke
from .lm_ladder import GPT


@dataclass(frozen=True)
class Config(TextRunConfig):
    """A family of GPTs and its compute budgets.

    Attributes:
        table: CSV file of finished runs to fit the laws to, without training.
        widths: widths of the family, in increasing order; the last one is predicted.
        flops: smallest budget, in floating-point operations.
        budgets: number of budgets.
        factor: ratio of each budget to the one before, and of the prediction's budget
            to the largest.
        fewest: minimum tokens per parameter; sizes with fewer are left out of a budget.
        fewest_steps: minimum number of updates; sizes with fewer are left out of a
            budget, see above.
        most: maximum tokens per parameter; sizes with more are left out of a budget.
        head_width: width per attention head.
        width_per_layer: width per block; models have at least two blocks.
        context_length: maximum number of tokens.
        batch_size: windows per update.
        learning_rate: peak learning rate of Muon, for all sizes.
        resamples: number of bootstrap resamples.
    """

    dataset: str = "docs"
    out: Path = Path("runs/scaling_laws")
    table: Path | None = None
    widths: tuple[int, ...] = (24, 32, 40, 48, 64, 80, 96, 112)
    flops: float = 2e11
    budgets: int = 4
    factor: float = 3.0
    fewest: float = 2.0
    fewest_steps: int = 500
    most: float = 300.0
    head_width: int = 16
    width_per_layer: int = 32
    context_length: int = 64
    batch_size: int = 16
    learning_rate: float = 4e-3
    resamples: int = 200


VARIANTS = {"demo": Config()}


def gpt_config(config: Config, width: int, vocab_size: int) -> zoo.GPTConfig:
    """One size of the family: depth grows with width."""
    return replace(
        GPT,
        vocab_size=vocab_size,
        context_length=config.context_length,
        num_layers=max(2, width // config.width_per_layer),
        num_heads=max(1, width // config.head_width),
        width=width,
    )


def plan(config: Config, width: int, vocab_size: int, budget: int) -> PlannedTraining:
    """Plans the training that spends a budget, by number, on a model of one width."""
    return PlannedTraining.of(
        width,
        count_parameters(gpt_config(config, width, vocab_size)),
        config.batch_size * config.context_length,
        config.flops * config.factor**budget,
    )


def family(config: Config, vocab_size: int) -> list[PlannedTraining]:
    """Plans all trainings except the predicted one, smallest budget first."""
    plans = (
        plan(config, width, vocab_size, budget)
        for budget in range(config.budgets)
        for width in config.widths[:-1]
    )
    bounds = (config.fewest, config.most, config.fewest_steps)
    return [each for each in plans if each.within(*bounds)]


def main(config: Config) -> dict:
    """Trains the family, predicts and trains the largest; returns the summary."""
    config = smoke(
        config,
        **{"widths": (8, 12, 16), "head_width": 4, "context_length": 16},
        **{"budgets": 1, "flops": 1e6, "batch_size": 2, "resamples": 10},
        **{"fewest": 0.0, "fewest_steps": 1, "most": math.inf},
    )
    if config.table is not None:
        return fit_table(config, config.table)
    run = Run(config, staged=True)
    dataset = load_text(config)
    text = EncodedText.by_character(dataset)
    vocab_size = text.tokenizer.vocab_size
    planned = family(config, vocab_size)
    largest = plan(config, config.widths[-1], vocab_size, config.budgets)
    parts = [f"family/{each.name}" for each in planned]
    run.start({"dataset": dataset.sha256}, parts=parts)
    print(f"{len(planned)} runs, then the predicted one")

    rows, seconds = train_family(run, config, planned, text)
    laws = Laws(Trainings.of(rows), config.resamples, config.seed)
    expected = laws.predictions(largest.parameters, largest.tokens)
    run.write_json("prediction.json", dataclasses.asdict(largest) | expected)
    print(f"\nprediction for the largest model, before training: {expected}\n")

    model = train(run, config, largest, text)
    model.save_to_preset(run.out / "preset")
    loss = run.rows[-1]["val_loss"]
    measured = (largest.parameters, largest.tokens, loss)
    Trainings.of([*rows, measured]).write(config.out / "trainings.csv")
    laws.draw(run.out / "scaling_laws.png", config.dataset, measured)
    errors = {
        f"{name}_error": value / loss - 1
        for name, value in expected.items()
        if name.endswith("_loss")
    }
    summary = run.finish(
        **laws.figures(),
        **expected,
        **errors,
        parameters=largest.parameters,
        tokens=largest.tokens,
        trainings=len(planned),
        family_seconds=round(seconds, 2),
        dataset=config.dataset,
        dataset_sha256=dataset.sha256,
    )
    print(f"measured {loss:.4f}: {errors}; see {run.out}")
    return summary


def train_family(
    run: Run, config: Config, planned: Sequence[PlannedTraining], text: EncodedText
) -> tuple[list[tuple[float, ...]], float]:
    """Trains all but the largest; returns (N, D, loss) of each, and all seconds."""
    rows: list[tuple[float, ...]] = []
    seconds = 0.0
    for number, each in enumerate(planned, start=1):
        own = run.part(f"family/{each.name}")
        train(own, config, each, text)
        rows.append((each.parameters, each.tokens, own.rows[-1]["val_loss"]))
        seconds += own.seconds
        Trainings.of(rows).write(config.out / "trainings.csv")
        print(
            f"{number}/{len(planned)}: width {each.width}, {each.parameters:,} "
            f"parameters, {each.tokens:,} tokens: loss {rows[-1][2]:.4f}",
            flush=True,
        )
    return rows, seconds


def train(
    run: Run, config: Config, each: PlannedTraining, text: EncodedText
) -> zoo.GPT:
    """Trains one model, from the beginning or from its checkpoint, to the end."""
    model = zoo.GPT(gpt_config(config, each.width, text.tokenizer.vocab_size))
    model.tokenizer = text.tokenizer
    rule = replace(
        gpt_text.VARIANTS["nanogpt_cpu_best"],
        steps=each.steps,
        learning_rate=config.learning_rate,
        ema=0.0,
    )
    model.compile(gpt_text.optimizer(rule))
    length, size = config.context_length, config.batch_size
    crops = zoo.data.RandomCrops(text.train, length, size, seed=config.seed)
    validation = (text.validation, text.validation_text)
    run.fit(
        model,
        crops.batches,
        updates=each.steps,
        evaluate_every=each.steps,
        evaluate=lambda: text_metrics(model, *validation, batch_size=128),
        batch_tokens=size * length,
    )
    return model


def fit_table(config: Config, table: Path) -> dict:
    """Fits the laws to a table of runs."""
    trainings = Trainings.read(table, config.on_bad)
    run = Run(config)
    run.start({})
    laws = Laws(trainings, config.resamples, config.seed)
    laws.draw(run.out / "scaling_laws.png", table.name)
    summary = {"trainings": len(trainings), "seed": config.seed, **laws.figures()}
    run.write_json("summary.json", summary)
    for name, value in summary.items():
        print(f"{name}: {value:.6g}")
    return summary


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
