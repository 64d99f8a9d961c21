"""`zoo info`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class InfoConfig:
    """Describe a preset: its model, origin, licence, files and metrics.

    For example:

        zoo info gpt.shakespeare_char

    Attributes:
        name: a preset that `zoo list` shows, a folder, or a Hugging Face Hub address,
            `hf://owner/name`.
    """

    name: Name


def run(config: InfoConfig) -> None:
    """Prints the preset's manifest and configuration."""
    from rich.console import Console
    from rich.table import Table

    from zoo.files.atomic import unchanged
    from zoo.store import hub
    from zoo.store.names import look_up

    table = Table(show_header=False, title=config.name, title_justify="left")
    place = look_up(config.name)
    folder = place.folder
    if place.address is not None:
        table.add_row("on the hub", hub.PREFIX + place.address)
        folder = hub.fetched(place.address)
        if folder is None:
            table.add_row("here", "no; it is downloaded on first use")
    elif folder is None:
        _add_configuration(table, config.name)
    if folder is not None:
        with unchanged(folder):
            _add_folder(table, folder)
    Console(markup=False).print(table)


def _add_configuration(table: Any, name: str) -> None:
    """Adds a named configuration; the only case that builds a model."""
    import dataclasses

    from zoo.commands import backend

    backend.choose()
    from zoo.presets import registry

    found = registry.find(name)
    table.add_row("what", "a configuration, without weights")
    table.add_row("parameters", f"{registry.count_parameters(name):,}")
    config = registry.model_class(found.architecture).Config(**found.fields)
    _add_model(table, found.architecture, dataclasses.asdict(config))


def _add_folder(table: Any, folder: Path) -> None:
    """Adds a folder's manifest and configuration, ours or another library's."""
    from zoo.files.damaged import reading
    from zoo.store.manifest import MANIFEST, Manifest
    from zoo.store.names import CONFIGS

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
        for checked in found.files:
            size = f"{checked.bytes:,} bytes"
            table.add_row(checked.name, f"{size}, sha256 {checked.sha256}")
    file = next(folder / name for name in CONFIGS if (folder / name).is_file())
    with reading(file, "a JSON object that describes a model"):
        said = json.loads(file.read_text("utf-8"))
        # zoo and Keras Hub nest the fields under "config"; Hugging Face does not.
        names = ("architecture", "class_name", "model_type")
        model = next((said[name] for name in names if name in said), "BERT")
        fields = said.get("config", said)
        shown = {k: x for k, x in fields.items() if not isinstance(x, dict)}
    _add_model(table, str(model), shown)
    table.add_row("folder", str(folder))
    if (folder / "card.md").is_file():
        table.add_row("card", str(folder / "card.md"))


def _add_model(table: Any, model: str, fields: dict[str, Any]) -> None:
    table.add_row("model", model)
    for name, value in fields.items():
        table.add_row(f"  {name}", str(value))
