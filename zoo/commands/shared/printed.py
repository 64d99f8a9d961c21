"""How commands print: tables in a terminal, plain lines into a pipe, JSON if asked."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

# Between the columns of plain lines.
GAP = "  "
# Of a folded column, in characters; narrower ones are hard to read.
LEAST_WIDTH = 20


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
) -> None:
    """Prints a table.

    In a terminal that is wide enough it has a frame, and the last column is folded. In
    a narrow one, and in a pipe, it is lines with aligned columns: nothing is cut.

    Args:
        columns: headings; all empty for a table without.
        rows: cells, one per column.
        title: printed above.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    headed = any(columns)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.measure import measure_renderables
        from rich.table import Table

        console = Console(markup=False, highlight=False)
        table = Table(title=title or None, title_justify="left", show_header=headed)
        for column in columns[:-1]:
            table.add_column(column, no_wrap=True)
        table.add_column(columns[-1], overflow="fold", min_width=LEAST_WIDTH)
        for row in cells:
            table.add_row(*row)
        wide = console.options.update(width=10_000)
        needed = measure_renderables(console, wide, [table]).minimum
        if needed <= console.width:
            console.print(table)
            return
    lines = [list(columns), *cells] if headed else cells
    print("\n".join(filter(None, [title, *aligned(lines)])))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells, each column as wide as its widest cell but the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def show(*parts: "RenderableType") -> None:
    """Prints what rich draws: as it is in a terminal, without frames in a pipe."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(markup=False, highlight=False).print(*parts, sep="\n")
        return
    # Wider than any line, so that none is folded.
    console = Console(markup=False, highlight=False, width=10_000, color_system=None)
    with console.capture() as drawn:
        for part in parts:
            console.print(_unframed(part))
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def _unframed(part: Any) -> Any:
    from rich.table import Table

    if isinstance(part, Table):
        part.box = None
        part.pad_edge = False
    return part


def show_json(value: Any) -> None:
    """Prints a value as JSON; numbers that JSON lacks (NaN, infinity) become null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if hasattr(value, "item"):  # NumPy's scalars
        return _finite(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def unboxed(text: str) -> str:
    """A text without the frames that tyro draws around its help and its errors."""
    lines = []
    for line in text.splitlines():
        if line.startswith(("╭", "╰")):
            title = line.strip("╭╮╰╯─ ")
            lines += [f"{title}:"] if title else []
        elif line.startswith("│"):
            inside = line.strip("│").rstrip()
            lines += [inside] if inside.strip(" ─") else []
        elif not line or line.strip(" -"):
            lines.append(line.rstrip())
    return "\n".join(lines)
