"""Plots and image grids, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def loss_curves(
    path: Path,
    updates: Sequence[int],
    curves: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    unit: str = "nats per token",
) -> None:
    """Plots losses over updates as a PNG.

    Args:
        path: the PNG file.
        updates: the numbers of the updates.
        curves: values by name, one per update; missing ones (None) are bridged.
        title: the text above the plot.
        unit: the unit of the values.
    """
    from matplotlib.figure import Figure

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
    axes.margins(x=0.12)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_figure(figure, path)


def image_grid(
    path: Path,
    images: np.ndarray,
    *,
    columns: int,
    title: str,
    row_names: Sequence[str] = (),
    captions: Sequence[str] = (),
) -> None:
    """Draws a grid of images as a PNG, each pixel at least two pixels wide.

    Args:
        path: the PNG file.
        images: (N, H, W, C), with C 1 or 3; values are clipped to [0, 1].
        columns: images per row; must divide N.
        title: the text above the grid.
        row_names: labels on the left of the rows.
        captions: one line of text below each image, cut to the image's width.

    Raises:
        ValueError: the images do not fill the rows, or are neither grey nor RGB.
    """
    from matplotlib.figure import Figure

    count, height, width, channels = images.shape
    rows, rest = divmod(count, columns)
    if rest or channels not in (1, 3):
        raise ValueError(
            f"A grid needs full rows of columns={columns} grey or RGB images, got an "
            f"array of shape {images.shape}."
        )
    scale = max(2, 56 // height)
    # A caption takes 12 pixels in height and 6 per letter.
    below = -(-12 // scale) if captions else 0
    letters = max(1, width * scale // 6)
    gap = max(1, height // 14) + below
    tiles = np.ones((rows, columns, height + gap, width + gap, channels), "float32")
    tiles[:, :, :height, :width] = np.clip(images, 0, 1).reshape(
        rows, columns, height, width, channels
    )
    grid = tiles.swapaxes(1, 2).reshape(
        rows * (height + gap), columns * (width + gap), channels
    )[: below - gap or None, :-gap]
    inches = np.array([grid.shape[1], grid.shape[0]]) * scale / 100
    figure = Figure(figsize=(max(inches[0], 3) + 0.3, inches[1] + 0.5))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks(
        [(index + 0.5) * (height + gap) for index in range(len(row_names))], row_names
    )
    axes.tick_params(length=0, labelsize=8)
    for number, caption in enumerate(captions):
        row, column = divmod(number, columns)
        short = caption if len(caption) <= letters else f"{caption[: letters - 1]}…"
        x, y = column * (width + gap) + width / 2, row * (height + gap) + height
        axes.text(x, y, short, ha="center", va="top", fontsize=7)
    for spine in axes.spines.values():
        spine.set_visible(False)
    save_figure(figure, path, dpi=100)


def scatter(
    path: Path,
    points: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    *,
    title: str,
    axis_names: tuple[str, str],
) -> None:
    """Plots points (N, 2), coloured by their labels (N,), as a PNG."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["tab10" if len(names) <= 10 else "tab20"]
    for index, name in enumerate(names):
        own = points[labels == index]
        colour = [colours(index % colours.N)]
        axes.scatter(own[:, 0], own[:, 1], s=5, alpha=0.6, label=name, c=colour)
    axes.set(title=title, xlabel=axis_names[0], ylabel=axis_names[1])
    axes.legend(
        frameon=False, markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    save_figure(figure, path)


def attention_map(
    path: Path,
    shares: np.ndarray,
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    title: str,
) -> None:
    """Plots how much each row attends to each column, (T, S) in [0, 1], as a PNG."""
    from matplotlib.figure import Figure

    rows, columns = shares.shape
    figure = Figure(figsize=(2 + 0.3 * columns, 2 + 0.3 * rows), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks(range(columns), column_names, rotation=60, ha="left")
    axes.set_yticks(range(rows), row_names)
    axes.tick_params(length=0, labelsize=8, labeltop=True, labelbottom=False)
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, shrink=0.6)
    save_figure(figure, path)


def attention_grid(
    path: Path, maps: Mapping[str, Sequence[np.ndarray]], tokens: Sequence[str]
) -> None:
    """Draws where models look in one text, one row per model and one column per head.

    Args:
        path: of the PNG.
        maps: of each model by name, the shares (T, T) of each of its heads.
        tokens: of the text, T.
    """
    from matplotlib.figure import Figure

    columns = max(len(heads) for heads in maps.values())
    figure = Figure(figsize=(2.6 * columns + 1, 2.6 * len(maps)), layout="constrained")
    places = range(len(tokens))
    for number, (step, heads) in enumerate(maps.items()):
        for head, shares in enumerate(heads):
            axes = figure.add_subplot(len(maps), columns, number * columns + head + 1)
            axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
            axes.set_xticks(places, tokens if number == 0 else [], rotation=90)
            axes.set_yticks(places, tokens if head == 0 else [])
            axes.tick_params(length=0, labelsize=7, labeltop=True, labelbottom=False)
            name = step if len(heads) == 1 else f"{step}, head {head + 1}"
            axes.set_title(name, fontsize=9)
    save_figure(figure, path)


def save_figure(figure: Any, path: Path, dpi: int = 120) -> None:
    """Writes a matplotlib figure as a PNG, atomically."""
    from zoo.files.atomic import replacing

    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=dpi)
