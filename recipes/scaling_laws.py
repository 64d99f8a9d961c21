"""Fit scaling laws to small GPTs, and predict a larger one before it is trained.

    python -m recipes.scaling_laws                                # docs, an hour or two
    python -m recipes.scaling_laws --dataset tinyshakespeare
    python -m recipes.scaling_laws --table trainings.csv          # anyone's trainings

Several sizes are trained at each of a few budgets of compute, C = 6·N·D, as
`recipes.gpt_text --variant nanogpt_cpu_best` trains: rotary positions, Muon, one
learning rate. Their losses give the best size for a compute (IsoFLOP curves),
L(C), and L(N, D), with uncertainty; from them comes the loss of the largest width at
the next budget, written down in `prediction.json` before that training starts
(Hoffmann et al. 2022; Kaplan et al. 2020).

A size that a budget would train for fewer than `fewest_steps` updates is not trained on
it. The laws say what D tokens teach a model of N parameters, however many at a time. A
training of a few hundred updates is limited by their number instead: Muon moves a
matrix by so much an update, whatever the tokens behind it. Its loss lies above the law,
more so for larger models, whose updates a budget makes fewer, and bends what is fitted:
on tinyshakespeare, trainings from 79 updates on foretold a loss 3.1 % too low, those
from 329 on 0.6 %. They are left out, not weighed down, since what they have too much is
no noise about the law.

A table needs the columns parameters, tokens and loss; its laws are fitted, and nothing
is trained.
"""

import dataclasses
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import zoo
from recipes import gpt_text
from zoo.evaluation import Trainings, text_metrics
from zoo.evaluation.images.pictures import save_figure
from zoo.evaluation.scaling_laws import (
    FLOPS_PER_TOKEN_AND_PARAMETER,
    ChinchillaLaw,
    ComputeLaw,
    Fit,
    KaplanLaw,
    fit_scaling_law,
    isoflop_minimum,
)
from zoo.presets.registry import count_parameters
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig


@dataclass(frozen=True)
class Config(TextRunConfig):
    """A family of GPTs and the budgets that they spend.

    Attributes:
        table: a CSV of trainings; it is fitted, and nothing is trained.
        widths: of the family, from the smallest; the last is predicted.
        flops: of the smallest budget.
        budgets: how many.
        factor: from one budget to the next, and to the prediction.
        fewest: tokens a parameter, below which a size leaves a budget out.
        fewest_steps: updates, below which it does so too: see above.
        most: tokens a parameter, above which a size leaves a budget out.
        head_width: width over attention heads.
        width_per_layer: width over blocks; there are two or more.
        context_length: the most tokens a model looks at.
        batch_size: windows an update.
        learning_rate: of Muon at its peak, for all sizes.
        resamples: of the bootstrap.
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


@dataclass(frozen=True)
class Plan:
    """One training.

    Attributes:
        width: of the model.
        parameters: N.
        steps: updates.
        tokens: D, of all updates.
    """

    width: int
    parameters: int
    steps: int
    tokens: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"width_{self.width}_steps_{self.steps}"


def gpt_config(config: Config, width: int, vocab_size: int) -> zoo.GPTConfig:
    """One size of the family: depth grows with width."""
    return zoo.GPTConfig(
        vocab_size=vocab_size,
        context_length=config.context_length,
        num_layers=max(2, width // config.width_per_layer),
        num_heads=max(1, width // config.head_width),
        width=width,
        positions="rotary",
        activation="gelu",
        use_bias=False,
    )


def plan(config: Config, width: int, vocab_size: int, flops: float) -> Plan:
    """How long a size is trained on a budget."""
    sizes = gpt_config(config, width, vocab_size)
    parameters = count_parameters(sizes)
    batch = config.batch_size * config.context_length
    steps = round(flops / (FLOPS_PER_TOKEN_AND_PARAMETER * parameters * batch))
    return Plan(width, parameters, max(steps, 1), max(steps, 1) * batch)


def family(config: Config, vocab_size: int) -> list[Plan]:
    """All trainings but the one that is predicted, from the cheapest."""
    plans = [
        plan(config, width, vocab_size, config.flops * config.factor**budget)
        for budget in range(config.budgets)
        for width in config.widths[:-1]
    ]
    return [
        each
        for each in plans
        if config.fewest <= each.tokens / each.parameters <= config.most
        and each.steps >= config.fewest_steps
    ]


def main(config: Config) -> dict:
    """Trains the family, fits, predicts, trains the largest; returns the summary."""
    if config.smoke:
        config = replace(config, widths=(8, 12, 16), budgets=1, head_width=4)
        config = replace(config, context_length=16, fewest=0.0, most=math.inf)
        config = replace(config, flops=1e6, batch_size=2, resamples=10)
        config = replace(config, fewest_steps=1)
    if config.table is not None:
        return fit_table(config, config.table)
    run = Run(config, staged=True)
    text = zoo.data.load(
        config.dataset,
        config.data_dir,
        expect=zoo.data.TextDataset,
        on_bad=config.on_bad,
    )
    tokenizer = zoo.Tokenizer.characters(text.train + text.validation)
    planned = family(config, tokenizer.vocab_size)
    largest = plan(
        config,
        config.widths[-1],
        tokenizer.vocab_size,
        config.flops * config.factor**config.budgets,
    )
    run.start(
        {"dataset": text.sha256}, parts=[f"family/{each.name}" for each in planned]
    )
    print(f"{len(planned)} trainings, then the one that is predicted")

    rows: list[tuple[float, float, float]] = []
    seconds = 0.0
    for number, each in enumerate(planned, start=1):
        own = run.part(f"family/{each.name}")
        train(own, config, each, text, tokenizer)
        rows.append((each.parameters, each.tokens, own.rows[-1]["val_loss"]))
        seconds += own.seconds
        Trainings.of(rows).write(config.out / "trainings.csv")
        print(
            f"{number}/{len(planned)}: width {each.width}, {each.parameters:,} "
            f"parameters, {each.tokens:,} tokens: loss {rows[-1][2]:.4f}",
            flush=True,
        )
    trainings = Trainings.of(rows)
    laws = Laws(trainings, config.resamples, config.seed)
    expected = laws.predictions(largest.parameters, largest.tokens)
    run.write_json("prediction.json", dataclasses.asdict(largest) | expected)
    print(f"\nPredicted, before it is trained: {expected}\n")

    model = train(run, config, largest, text, tokenizer)
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
        dataset_sha256=text.sha256,
    )
    print(f"measured {loss:.4f}: {errors}; see {run.out}")
    return summary


def train(run: Run, config: Config, each: Plan, text, tokenizer) -> zoo.GPT:
    """One training from its start, or from where it was stopped, to its end."""
    model = zoo.GPT(gpt_config(config, each.width, tokenizer.vocab_size))
    model.tokenizer = tokenizer
    rule = replace(
        gpt_text.VARIANTS["nanogpt_cpu_best"],
        steps=each.steps,
        learning_rate=config.learning_rate,
        ema=0.0,
    )
    model.compile(gpt_text.optimizer(rule))
    validation = tokenizer.encode(text.validation)
    crops = zoo.data.RandomCrops(
        tokenizer.encode(text.train),
        config.context_length,
        config.batch_size,
        seed=config.seed,
    )
    run.fit(
        model,
        crops.batches,
        updates=each.steps,
        evaluate_every=each.steps,
        evaluate=lambda: text_metrics(model, validation, text.validation, 128),
        batch_tokens=config.batch_size * config.context_length,
    )
    return model


def fit_table(config: Config, table: Path) -> dict:
    """The laws of somebody's trainings."""
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


class Laws:
    """What a table of trainings says; a law that it is too small for is left out."""

    def __init__(self, trainings: Trainings, resamples: int, seed: int) -> None:
        self.trainings = trainings
        self.minima: list[tuple[float, float, float]] = []
        for budget in trainings.budgets():
            if len(budget) < 3:
                continue
            try:
                size, loss = isoflop_minimum(budget.parameters, budget.losses)
            except ValueError as error:
                print(f"No best size at {budget.flops.mean():.2g} FLOPs. {error}")
                continue
            self.minima.append((float(np.exp(np.log(budget.flops).mean())), size, loss))
        n, d = trainings.parameters, trainings.tokens
        flops, _, lowest = np.array(self.minima).reshape(-1, 3).T
        self.fits: dict[str, Fit] = {}
        for name, form, losses, *inputs in (
            ("chinchilla", ChinchillaLaw, trainings.losses, n, d),
            ("kaplan", KaplanLaw, trainings.losses, n, d),
            ("compute", ComputeLaw, lowest, flops),
        ):
            try:
                self.fits[name] = fit_scaling_law(
                    form, losses, *inputs, resamples=resamples, seed=seed
                )
            except ValueError as error:
                print(f"No law of {name}. {error}")

    def predictions(self, parameters: float, tokens: float) -> dict[str, float]:
        """By each law, the loss of one more training and the ends of its interval."""
        found: dict[str, float] = {}
        flops = FLOPS_PER_TOKEN_AND_PARAMETER * parameters * tokens
        for name, fit in self.fits.items():
            inputs = (flops,) if name == "compute" else (parameters, tokens)
            predicted = fit.predict(*inputs)
            found[f"{name}_loss"] = predicted.loss
            found[f"{name}_low"] = predicted.low
            found[f"{name}_high"] = predicted.high
        return found

    def figures(self) -> dict[str, float]:
        """The constants of all laws with 95 % intervals, as one flat object."""
        found = {}
        for name, fit in self.fits.items():
            constants = dataclasses.asdict(fit.law)
            for constant, (low, high) in fit.intervals().items():
                found[f"{name}_{constant}"] = constants[constant]
                found[f"{name}_{constant}_low"] = float(low)
                found[f"{name}_{constant}_high"] = float(high)
        return found

    def draw(self, path: Path, title: str, measured=None) -> None:
        """IsoFLOP curves, L(C), and the best size; all on logarithmic axes."""
        from matplotlib import colormaps
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullFormatter, ScalarFormatter

        figure = Figure(figsize=(15, 4.5), layout="constrained")
        curves, frontier, best = figure.subplots(1, 3)
        budgets = self.trainings.budgets()
        colours = colormaps["viridis"](np.linspace(0, 0.9, len(budgets)))
        for budget, colour in zip(budgets, colours, strict=True):
            order = np.argsort(budget.parameters)
            curves.plot(
                budget.parameters[order],
                budget.losses[order],
                marker="o",
                color=colour,
                label=f"{budget.flops.mean():.1e}",
            )
            frontier.scatter(budget.flops, budget.losses, color=colour, s=14)
        flops, sizes, lowest = np.array(self.minima).reshape(-1, 3).T
        if self.minima:
            curves.plot(sizes, lowest, "k*", label="lowest")
            best.plot(flops, sizes, "k*", label="lowest of each budget")
        spent = [*self.trainings.flops]
        if measured is not None:
            n, d, loss = measured
            spent.append(FLOPS_PER_TOKEN_AND_PARAMETER * n * d)
            curves.plot(n, loss, "r*", markersize=12, label="predicted one")
            frontier.plot(spent[-1], loss, "r*", markersize=12, label="measured")
            for name, value in self.predictions(n, d).items():
                if name == "chinchilla_loss":
                    frontier.plot(spent[-1], value, "kx", label="predicted, L(N, D)")
        line = np.geomspace(min(spent) / 2, max(spent) * 2, 100)
        if (fit := self.fits.get("compute")) is not None:
            law = fit.law
            frontier.plot(
                line,
                law.loss(line),
                "k-",
                linewidth=1,
                label=f"{law.a:.3g}·C^{law.b:.3f} + {law.c:.3g}",
            )
            draws = np.array([again.loss(line) for again in fit.resampled])
            low, high = np.quantile(draws, [0.025, 0.975], axis=0)
            frontier.fill_between(line, low, high, color="black", alpha=0.12)
        for name, style in (("chinchilla", "-"), ("kaplan", "--")):
            if (fit := self.fits.get(name)) is not None:
                size, tokens = fit.law.optimal(line)
                best.plot(line, size, f"C0{style}", label=name)
                reached = fit.law.loss(size, tokens)
                frontier.plot(line, reached, f"C0{style}", linewidth=1, label=name)
        curves.set(xlabel="parameters", ylabel="nats a token", title="One compute")
        frontier.set(xlabel="FLOPs", ylabel="nats a token", title="L(C)")
        best.set(xlabel="FLOPs", ylabel="parameters", title="Best size")
        for axes in (curves, frontier, best):
            if not axes.has_data():
                axes.set_axis_off()
                continue
            axes.set_xscale("log")
            axes.set_yscale("log")
            # Labels between powers of ten would lie on each other.
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.3, which="both")
            axes.legend(frameon=False, fontsize=8)
            if axes is not best:  # losses within one power of ten
                axes.yaxis.set_major_formatter(ScalarFormatter())
                axes.yaxis.set_minor_formatter(ScalarFormatter())
        figure.suptitle(f"Scaling laws: {title}")
        save_figure(figure, path)


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
