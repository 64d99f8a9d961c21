"""Line charts as SVG, without scripts."""

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 30
MOST_POINTS = 400
COLOURS = (
    *("#2563eb", "#ea580c", "#059669", "#c026d3", "#ca8a04"),
    *("#0891b2", "#dc2626", "#65a30d", "#7c3aed", "#64748b"),
)


def chart(title: str, curves: Mapping[str, Points]) -> str:
    """A figure with one line per curve, a legend and the newest values.

    Args:
        title: the text above the chart.
        curves: points (x, y) by name, in the order of x; values that are not finite
            are left out.

    Returns:
        HTML; "" if no curve has a point.
    """
    kept = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in curves.items()
    }
    kept = {name: points for name, points in kept.items() if points}
    if not kept:
        return ""
    xs = [x for points in kept.values() for x, _ in points]
    ys = [y for points in kept.values() for _, y in points]
    x_low, x_high = _range(min(xs), max(xs))
    y_ticks = _ticks(*_range(min(ys), max(ys)))
    y_low, y_high = min(min(ys), y_ticks[0]), max(max(ys), y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / (y_high - y_low)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )

    parts = []
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{number(tick)}</text>'
        )
    for tick in _ticks(x_low, x_high):
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(
                f'<text x="{x}" y="{HEIGHT - 10}" text-anchor="middle">'
                f"{number(tick)}</text>"
            )
    legend = []
    for index, (name, points) in enumerate(kept.items()):
        colour = COLOURS[index % len(COLOURS)]
        places = [place(*point) for point in _thinned(points)]
        line = " ".join(f"{x},{y}" for x, y in places)
        words = f"{name}: {number(points[-1][1])}"
        parts.append(
            f'<polyline points="{line}" stroke="{colour}"><title>{escape(words)}'
            "</title></polyline>"
        )
        if len(places) < 40:
            parts += [
                f'<circle cx="{x}" cy="{y}" r="2.4" fill="{colour}"/>'
                for x, y in places
            ]
        legend.append(
            f'<span><i style="background:{colour}"></i>{escape(name)} '
            f"<b>{number(points[-1][1])}</b></span>"
        )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'{"".join(parts)}</svg><div class="legend">{"".join(legend)}</div></figure>'
    )


def number(value: float) -> str:
    """A number in at most about six characters."""
    if value == int(value) and abs(value) < 1e5:
        return f"{int(value)}"
    if abs(value) >= 1e5:
        return f"{value:.3g}".replace("e+0", "e").replace("e+", "e")
    return f"{value:.4g}"


def _range(low: float, high: float) -> tuple[float, float]:
    if low == high:
        margin = abs(low) / 10 or 1.0
        return low - margin, high + margin
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below `low` to above `high`, four to eight of them."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(n * step, 12) for n in range(first, last + 1)]


def _thinned(points: Points) -> Points:
    """At most about `MOST_POINTS` points, always with the last one."""
    step = -(-len(points) // MOST_POINTS)
    return [*points[:-1:step], points[-1]]
