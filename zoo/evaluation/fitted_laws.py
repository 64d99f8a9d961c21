"""What a table of trainings says about scaling: laws, predictions, a picture."""

import dataclasses
from pathlib import Path

import numpy as np

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
from zoo.evaluation.trainings import Trainings


class Laws:
    """All scaling laws fitted to a table of trainings.

    A law for which the table is too small is left out, with a word on why.

    Args:
        trainings: the table.
        resamples: of the bootstrap behind the intervals.
        seed: of the bootstrap.
    """

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
        """Each law's loss for one more training, and the ends of its interval."""
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

    def draw(
        self,
        path: Path,
        title: str,
        measured: tuple[float, float, float] | None = None,
    ) -> None:
        """Draws IsoFLOP curves, L(C), and the best size, on logarithmic axes."""
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
        curves.set(xlabel="parameters", ylabel="nats per token", title="One compute")
        frontier.set(xlabel="FLOPs", ylabel="nats per token", title="L(C)")
        best.set(xlabel="FLOPs", ylabel="parameters", title="Best size")
        for axes in (curves, frontier, best):
            if not axes.has_data():
                axes.set_axis_off()
                continue
            axes.set_xscale("log")
            axes.set_yscale("log")
            # Labels between powers of ten would overlap.
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.3, which="both")
            axes.legend(frameon=False, fontsize=8)
            if axes is not best:  # losses within one power of ten
                axes.yaxis.set_major_formatter(ScalarFormatter())
                axes.yaxis.set_minor_formatter(ScalarFormatter())
        figure.suptitle(f"Scaling laws: {title}")
        save_figure(figure, path)
