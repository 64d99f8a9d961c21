"""`zoo info`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.commands.shared.arguments import Json, Subject


@dataclass(frozen=True)
class InfoConfig:
    """Describe a preset or a model: its origin, licence, files and metrics.

    For example:

        zoo info gpt.shakespeare_char

    Attributes:
        name: any name that `zoo list` shows, a preset's folder, or a Hugging Face Hub
            address, `hf://owner/name`.
    """

    name: Subject
    json: Json = False


# The words for people. Facts without one are shown under their own name.
LABELS = {
    "address": "on the hub",
    "summary": "what",
    "source": "made by",
    "license": "licence",
    "preprocessing": "data",
    "command": "measured by",
    "measured": "zoo evaluate",
    "exported": "zoo convert to ONNX",
    "formats": "zoo convert to",
}


def check(config: InfoConfig) -> None:
    """Raises ValueError unless something has that name."""
    from zoo.store.names import is_model, look_up

    if not is_model(config.name):
        look_up(config.name)


def run(config: InfoConfig) -> None:
    """Prints the preset's manifest and configuration."""
    from zoo.commands.shared.printed import show_json, show_table

    facts = described(config.name)
    if config.json:
        show_json(facts)
        return
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        if name == "files":
            rows += [
                (file["name"], f"{file['bytes']:,} bytes, sha256 {file['sha256']}")
                for file in value
            ]
        elif isinstance(value, dict):
            indent = "" if name == "figures" else "  "
            rows += [(f"{indent}{key}", _shown(each)) for key, each in value.items()]
        elif name == "downloaded":
            rows.append(("here", "yes" if value else "no; downloaded on first use"))
        elif name != "name":
            rows.append((LABELS.get(name, name), _shown(value)))
    show_table(("", ""), rows, title=facts["name"])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)) and all(isinstance(x, str) for x in value):
        return ", ".join(value) or "none"
    return str(value)


def described(name: str) -> dict[str, Any]:
    """What is known of a preset or a model, by the name of the fact.

    Only models and named configurations need a backend: their classes are imported.
    """
    from zoo.files.atomic import unchanged
    from zoo.store import hub
    from zoo.store.names import is_model, look_up

    if is_model(name):
        return {"name": name} | _model(name)
    place = look_up(name)
    facts: dict[str, Any] = {"name": name}
    folder = place.folder
    if place.address is not None:
        folder = hub.fetched(place.address)
        facts["address"] = hub.PREFIX + place.address
        facts["downloaded"] = folder is not None
    elif folder is None:
        return facts | _configuration(name)
    elif folder.is_file():
        return facts | _configuration(name) | {"summary": "a GGUF file"}
    if folder is not None:
        with unchanged(folder):
            facts |= _folder(folder)
    return facts


def _model(name: str) -> dict[str, Any]:
    """Describes a model's class."""
    import inspect

    from zoo import catalog
    from zoo.commands.shared import backend
    from zoo.store.manifest import MANIFEST, Manifest, checkpoints

    backend.choose()
    from zoo.presets.registration import registration

    found = registration(name)
    own = [
        checkpoint
        for checkpoint, folder in checkpoints().items()
        if (folder / MANIFEST).is_file() and Manifest.read(folder).architecture == name
    ]
    measured = found.measured
    return {
        "summary": inspect.getdoc(found.cls).partition("\n")[0],  # type: ignore[union-attr]
        "module": found.cls.__module__,
        "configurations": list(catalog.presets().get(name, ())),
        "checkpoints": own,
        "measured": measured if isinstance(measured, str) else bool(measured),
        "exported": found.served is not None,
        "formats": list(found.formats),
    }


def _configuration(name: str) -> dict[str, Any]:
    """Describes a named configuration; builds its model, without its weights."""
    import dataclasses

    from zoo.commands.shared import backend
    from zoo.program import waiting

    backend.choose()
    from zoo.presets import registry

    found = registry.find(name)
    with waiting("counting parameters"):
        count = registry.count_parameters(name)
    config = registry.model_class(found.architecture).Config(**found.fields)
    return {
        "summary": "a configuration, without weights",
        "parameters": count,
        "model": found.architecture,
        "config": dataclasses.asdict(config),
    }


def _folder(folder: Path) -> dict[str, Any]:
    """Describes a folder, ours or another library's."""
    import dataclasses

    from zoo.files.damaged import reading
    from zoo.store.cards import CARD
    from zoo.store.manifest import MANIFEST, Manifest
    from zoo.store.names import CONFIGS

    facts: dict[str, Any] = {}
    if (folder / MANIFEST).is_file():
        found = Manifest.read(folder)
        for field in ("summary", "parameters", "source", "license", "preprocessing"):
            facts[field] = getattr(found, field)
        if found.evaluation is not None:
            facts["figures"] = found.evaluation.figures
            facts["command"] = found.evaluation.command
        facts["files"] = [dataclasses.asdict(file) for file in found.files]
    file = next(folder / name for name in CONFIGS if (folder / name).is_file())
    with reading(file, "a JSON object that describes a model"):
        said = json.loads(file.read_text("utf-8"))
        # zoo and Keras Hub nest the fields under "config"; Hugging Face does not.
        names = ("architecture", "class_name", "model_type")
        facts["model"] = str(
            next((said[name] for name in names if name in said), "BERT")
        )
        fields = said.get("config", said)
        facts["config"] = {k: x for k, x in fields.items() if not isinstance(x, dict)}
    facts["folder"] = str(folder)
    if (folder / CARD).is_file():
        facts["card"] = str(folder / CARD)
    return facts
