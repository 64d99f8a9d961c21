"""Compares language models: a table of their figures, and a picture.

Each row has the name of its model as `rung`, and some of `COLUMNS`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.evaluation.images.pictures import save_figure

# The columns of the table, and how each is formatted.
COLUMNS = {
    "parameters": "{:,.0f}",
    "seconds": "{:,.2f}",
    "flops": "{:.1e}",
    "val_loss": "{:.3f}",
    "val_bits_per_byte": "{:.3f}",
    "val_bits_per_character": "{:.3f}",
}


def print_rungs(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints a table with one line per model."""
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


def draw_rungs(path: Path, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draws bits per byte over seconds of training, and over parameters, as a PNG."""
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
        # Networks are close in size and loss: names beside them would overlap.
        for row, marker in zip(networks, "s^vDP", strict=False):
            place = row[measure], row["val_bits_per_byte"]
            axes.plot(*place, marker, alpha=0.8, label=row["rung"])
        axes.set(xscale="log", xlabel=measure)
        axes.margins(0.12)
        axes.grid(alpha=0.3)
    left.set(xlabel="seconds of training", ylabel="bits per byte of validation text")
    right.set(xlabel="parameters, or n-grams counted")
    left.legend(frameon=False)
    figure.suptitle(title)
    save_figure(figure, path)
