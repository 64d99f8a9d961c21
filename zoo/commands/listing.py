"""`zoo list`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ListConfig:
    """Checkpoints that are at hand or on the hub, and named configurations.

    A checkpoint comes with weights; a configuration is a size, to train from scratch.
    """


def run(config: ListConfig) -> None:
    """Prints all."""
    from rich.console import Console
    from rich.table import Table

    from zoo.store import hub
    from zoo.store.manifest import MANIFEST, Manifest, checkpoints
    from zoo.store.names import CONFIGURATIONS

    console = Console(markup=False)
    table = Table("checkpoint", "model", "parameters", "what", title_justify="left")
    for name, folder in checkpoints().items():
        if not (folder / MANIFEST).is_file():
            table.add_row(name, "", "", str(folder))
            continue
        found = Manifest.read(folder)
        table.add_row(name, found.architecture, f"{found.parameters:,}", found.summary)
    console.print(table)
    elsewhere = Table("downloaded at first use", "from the Hugging Face hub")
    for name, address in hub.NAMES.items():
        elsewhere.add_row(name, hub.PREFIX + address)
    console.print(elsewhere)
    sizes = Table("model", "configurations, without weights")
    for architecture, names in CONFIGURATIONS.items():
        sizes.add_row(architecture, ", ".join(names))
    console.print(sizes)
    console.print("zoo info NAME says more.", highlight=False)
