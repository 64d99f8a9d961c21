"""`zoo info`."""

from dataclasses import dataclass

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class InfoConfig:
    """What a checkpoint is: its model, origin, licence, files and figures.

        zoo info gpt.shakespeare_char

    Attributes:
        name: a checkpoint that `zoo list` names, or a preset's folder.
    """

    name: Name


def run(config: InfoConfig) -> None:
    """Prints what manifest and configuration say."""
    import json
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from zoo.presets.manifest import MANIFEST, Manifest, checkpoints

    folder = checkpoints().get(config.name, Path(config.name).expanduser())
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"There is no checkpoint and no preset's folder {config.name!r}. "
            f"Checkpoints: {', '.join(checkpoints()) or 'none'}."
        )
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    table = Table(show_header=False, title=config.name, title_justify="left")
    if (folder / MANIFEST).is_file():
        found = Manifest.read(folder)
        table.add_row("what", found.summary)
        table.add_row("parameters", f"{found.parameters:,}")
        table.add_row("made by", found.source)
        table.add_row("licence", found.license)
        table.add_row("data", found.preprocessing)
        if found.evaluation is not None:
            for name, value in found.evaluation.figures.items():
                table.add_row(name, f"{value:.6g}")
            table.add_row("measured by", found.evaluation.command)
        for file in found.files:
            table.add_row(file.name, f"{file.bytes:,} bytes, sha256 {file.sha256}")
    table.add_row(
        "model", str(settings.get("architecture", settings.get("model_type")))
    )
    for name, value in settings.get("config", {}).items():
        table.add_row(f"  {name}", str(value))
    table.add_row("folder", str(folder))
    if (folder / "card.md").is_file():
        table.add_row("card", str(folder / "card.md"))
    Console().print(table)
