"""`zoo list`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ListConfig:
    """List checkpoints, local and on the Hugging Face Hub, and named configurations.

    A checkpoint has weights; a configuration is a model size to train from scratch.
    """


def run(config: ListConfig) -> None:
    """Prints three tables: local checkpoints, remote ones, configurations."""
    from rich.console import Console
    from rich.table import Table

    from zoo import catalog
    from zoo.store import hub
    from zoo.store.manifest import MANIFEST, Manifest, checkpoints

    console = Console(markup=False)
    table = Table("checkpoint", "model", "parameters", "what", title_justify="left")
    for name, folder in checkpoints().items():
        if not (folder / MANIFEST).is_file():
            table.add_row(name, "", "", str(folder))
            continue
        found = Manifest.read(folder)
        table.add_row(name, found.architecture, f"{found.parameters:,}", found.summary)
    console.print(table)
    elsewhere = Table("downloaded on first use", "from the Hugging Face Hub")
    for name, address in hub.NAMES.items():
        elsewhere.add_row(name, hub.PREFIX + address)
    console.print(elsewhere)
    sizes = Table("model", "configurations, without weights")
    for architecture, names in catalog.presets().items():
        sizes.add_row(architecture, ", ".join(names))
    console.print(sizes)
    console.print("Details: zoo info NAME", highlight=False)
