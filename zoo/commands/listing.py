"""`zoo list`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ListConfig:
    """Checkpoints that are at hand, and named configurations.

    A checkpoint comes with weights; a configuration is a size, to train from scratch.
    """


def run(config: ListConfig) -> None:
    """Prints both."""
    from rich.console import Console
    from rich.table import Table

    from zoo.presets.manifest import MANIFEST, Manifest, checkpoints
    from zoo.presets.names import CONFIGURATIONS

    console = Console()
    table = Table("checkpoint", "model", "parameters", "what", title_justify="left")
    for name, folder in checkpoints().items():
        if not (folder / MANIFEST).is_file():
            table.add_row(name, "", "", str(folder))
            continue
        found = Manifest.read(folder)
        table.add_row(name, found.architecture, f"{found.parameters:,}", found.summary)
    console.print(table)
    sizes = Table("model", "configurations, without weights")
    for architecture, names in CONFIGURATIONS.items():
        sizes.add_row(architecture, ", ".join(names))
    console.print(sizes)
    console.print("zoo info NAME says more.", highlight=False)
