"""Pictures of a training run."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def loss_curves(
    path: Path,
    updates: Sequence[int],
    curves: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    unit: str = "nats a token",
) -> None:
    """Draws losses over updates into a PNG; gaps (None) are bridged."""
    from matplotlib.figure import Figure

    from zoo.data.atomic_files import replacing

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, values in curves.items():
        points = [(x, y) for x, y in zip(updates, values, strict=True) if y is not None]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        (line,) = axes.plot(x, y, marker="." if len(x) < 50 else "", label=name)
        axes.annotate(
            f"{y[-1]:.3f}",
            (x[-1], y[-1]),
            textcoords="offset points",
            xytext=(6, 0),
            va="center",
            color=line.get_color(),
        )
    axes.set(xlabel="updates", ylabel=unit, title=title)
    axes.margins(x=0.08)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)
