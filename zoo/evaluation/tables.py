"""Tables of metrics for the terminal."""

from collections.abc import Mapping


def print_shares(
    rows: Mapping[str, Mapping[str, float]], title: str, first: str = "step"
) -> None:
    """Prints metrics between 0 and 1 in percent, one row per model.

    Args:
        rows: the metrics of each model, all with the same names.
        title: the text above the table.
        first: the heading of the models' names.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(first, title=title)
    for name in next(iter(rows.values())):
        table.add_column(name, justify="right")
    for model, metrics in rows.items():
        table.add_row(model, *(f"{share:.1%}" for share in metrics.values()))
    Console().print(table)
