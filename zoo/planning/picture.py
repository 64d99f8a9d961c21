"""Shows a plan: as tables in the terminal and as stacked bars."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zoo.planning.plan import Plan, ways_to_fit

# Okabe and Ito's palette, safe for colour-blind readers.
COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7")
LIGHT = COLOURS[1:3]
PREFIXES = "kMGTPEZY"


def shown(plan: Plan) -> list[RenderableType]:
    """A plan as texts and tables for `rich`."""
    parts = [_heading(plan), _memory(plan), _verdict(plan), _activations(plan)]
    if plan.communication:
        parts.append(_communication(plan))
    return [*parts, _time(plan)]


def facts(plan: Plan) -> dict[str, Any]:
    """A plan as plain data: bytes are per device, times in seconds or days."""
    config = plan.config
    return {
        "preset": config.preset,
        "device": config.device,
        "devices": config.mesh.size,
        "parameters": plan.num_parameters,
        "memory_bytes": {
            name: parts(plan, remat) | {"total": plan.total(remat)}
            for name, remat in (("kept", False), ("rematerialised", True))
        },
        "device_memory_bytes": plan.device.memory,
        "fits": plan.fits,
        "kept_by_one_block_bytes": plan.activations,
        "sent_per_update_bytes": plan.communication,
        "updates": plan.steps,
        "tokens_per_update": config.rows * plan.model.context_length,
        "flop_per_update": plan.flops,
        "seconds_per_update": plan.seconds_per_step,
        "days": plan.days,
        "not_sharded": list(plan.replicated),
    }


def amount(number: float, unit: str) -> str:
    """A number with a decimal prefix: `amount(3.2e9, "B")` is "3.20 GB"."""
    if not number:
        return "–"
    step = max(1, min(int(math.log10(number)) // 3, len(PREFIXES)))
    number /= 1000**step
    return f"{number:,.{_decimals(number)}f} {PREFIXES[step - 1]}{unit}"


def _decimals(number: float) -> int:
    return 2 if number < 10 else 1 if number < 100 else 0


def _heading(plan: Plan) -> RenderableType:
    config, model = plan.config, plan.model
    rows = config.rows // config.mesh_data
    sharded = ", parameters sharded" if config.shard_parameters else ""
    return Text.assemble(
        (f"\n{config.preset}", "bold"),
        f": {plan.num_parameters:,} parameters, {model.num_layers} layers of width "
        f"{model.width}, {model.num_heads} heads, context {model.context_length}\n"
        f"{config.mesh.size} × {config.device} (data {config.mesh_data} × model "
        f"{config.mesh_model}{sharded}), {config.precision}, {config.optimizer}"
        f"{' with a moving average' if config.ema else ''}\n"
        f"{config.rows} rows ({config.rows * model.context_length:,} tokens) per "
        f"update; {rows} per device in {config.accumulate} micro-batch"
        f"{'es' if config.accumulate > 1 else ''}, {config.attention} attention\n",
    )


def parts(plan: Plan, remat: bool) -> dict[str, int]:
    """The peak memory by purpose, in bytes."""
    peak = plan.peaks[remat]
    return {
        "parameters": plan.parameters,
        "optimizer state": plan.optimizer,
        "gradients": peak.gradients,
        "activations": peak.activations,
        "copies of weights": peak.copies,
    }


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _sum(title: str, sizes: Mapping[str, float]) -> Table:
    """A table of bytes by name, with their total."""
    table = _table(title, "", "per device")
    for name, size in sizes.items():
        table.add_row(name, amount(size, "B"))
    table.add_section()
    table.add_row("total", amount(sum(sizes.values()), "B"))
    return table


def _memory(plan: Plan) -> Table:
    table = _table("Peak memory per device", "", "kept", "rematerialised")
    without, with_remat = parts(plan, remat=False), parts(plan, remat=True)
    for name, size in without.items():
        table.add_row(name, amount(size, "B"), amount(with_remat[name], "B"))
    table.add_section()
    totals = [plan.total(remat) for remat in (False, True)]
    table.add_row(
        "total", *(Text(amount(size, "B"), "bold") for size in totals), style="bold"
    )
    table.add_row("share of the device", *(_share(size, plan) for size in totals))
    table.add_row("peak", *(plan.peaks[remat].name for remat in (False, True)))
    table.add_section()
    table.add_row("for comparison: all gradients", *2 * [amount(plan.gradients, "B")])
    return table


def _share(size: int, plan: Plan) -> Text:
    share = size / plan.device.memory
    return Text(f"{share:,.1%}", "green" if share <= 1 else "red")


def _verdict(plan: Plan) -> RenderableType:
    memory, total = plan.device.memory, plan.total(plan.config.remat)
    how = "with" if plan.config.remat else "without"
    if plan.fits:
        free = amount(memory - total, "B")
        text = Text(
            f"It fits into {amount(memory, 'B')} {how} rematerialisation: {free} left "
            "for what is not counted (framework overhead, fragmentation).\n",
            "green",
        )
    else:
        over = amount(total - memory, "B")
        text = Text(
            f"It does not fit into {amount(memory, 'B')} {how} rematerialisation: "
            f"{over} too much. {_advice(plan)}\n",
            "red",
        )
    if plan.replicated:
        names = ", ".join(plan.replicated)
        text.append(f"Not sharded, since no axis divides them: {names}.\n")
    return text


def _advice(plan: Plan) -> str:
    ways = [
        " ".join(_flag(name, value) for name, value in change.items())
        for change in ways_to_fit(plan)
    ]
    if ways:
        return f"It would fit with {', or with '.join(ways)}."
    return (
        "It needs more devices, or larger ones: see mesh_data with shard_parameters, "
        "and mesh_model."
    )


def _flag(name: str, value: Any) -> str:
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {value}"


def _activations(plan: Plan) -> Table:
    return _sum("Kept by one block for its backward pass", plan.activations)


def _communication(plan: Plan) -> Table:
    return _sum("Sent by a device per update", plan.communication)


def _time(plan: Plan) -> RenderableType:
    config = plan.config
    tokens = plan.steps * config.rows * plan.model.context_length / 1e9
    all_flops = amount(plan.flops * plan.steps, "FLOP")
    recomputed = " with recomputation" if config.remat else ""
    return Group(
        Text("Time", "bold"),
        f"{amount(plan.flops, 'FLOP')} per update{recomputed}\n"
        f"{all_flops} for {tokens:,.2f} billion tokens in {plan.steps:,} updates",
        Text.assemble(
            f"At {config.utilisation:.0%} of {amount(plan.peak_flops, 'FLOP/s')} per "
            f"device, including waiting: {plan.seconds_per_step:,.2f} s per update, ",
            (f"{plan.days:,.1f} days", "bold"),
            f" in total ({plan.days * config.mesh.size:,.0f} device-days)\n",
        ),
    )


def draw(plan: Plan, path: Path) -> None:
    """Draws a PNG of the peak memory as stacked bars below the device's memory."""
    from matplotlib.figure import Figure

    from zoo.files.atomic import replacing

    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.add_subplot()
    bars = [parts(plan, remat) for remat in (False, True)]
    highest = max(plan.total(False), plan.total(True), plan.device.memory) / 1e9
    below = [0.0, 0.0]
    for name, colour in zip(bars[0], COLOURS, strict=True):
        sizes = [bar[name] / 1e9 for bar in bars]
        if not any(sizes):
            continue
        axes.bar((0, 1), sizes, 0.55, bottom=below, color=colour, label=name)
        for x, size in enumerate(sizes):
            if size > 0.04 * highest:
                label = amount(size * 1e9, "B")
                middle = below[x] + size / 2
                ink = "black" if colour in LIGHT else "white"
                axes.text(x, middle, label, ha="center", va="center", color=ink)
        below = [low + size for low, size in zip(below, sizes, strict=True)]
    for x, total in enumerate(below):
        label = amount(total * 1e9, "B")
        axes.annotate(
            label,
            (x, total),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            weight="bold",
        )
    memory = plan.device.memory / 1e9
    axes.axhline(memory, color="black", linestyle="--", linewidth=1.2)
    axes.annotate(
        f"{plan.config.device}\n{amount(plan.device.memory, 'B')}",
        (1.0, memory),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
    )
    axes.set_xticks((0, 1), ("activations kept", "rematerialised"))
    axes.set(xlim=(-0.5, 1.5), ylim=(0, 1.12 * highest), ylabel="GB per device")
    axes.set_title(_caption(plan), loc="left", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside right center", frameon=False
    )
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _caption(plan: Plan) -> str:
    config = plan.config
    sharded = ", sharded parameters" if config.shard_parameters else ""
    return (
        f"{config.preset}: peak memory of a step\n"
        f"data {config.mesh_data} × model {config.mesh_model}{sharded}, "
        f"{config.rows} rows of {plan.model.context_length}, {config.precision}, "
        f"{config.optimizer}"
    )
