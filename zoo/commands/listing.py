"""`zoo list`."""

from dataclasses import dataclass
from typing import Any

from zoo.commands.shared.arguments import Json


@dataclass(frozen=True)
class ListConfig:
    """List checkpoints, local and on the Hugging Face Hub, and named configurations.

    A checkpoint has weights; a configuration is a model size to train from scratch.
    """

    json: Json = False


def run(config: ListConfig) -> None:
    """Prints three tables: local checkpoints, remote ones, configurations."""
    from zoo.commands.shared.printed import show_json, show_table

    found = listed()
    if config.json:
        show_json(found)
        return
    show_table(
        ("checkpoint", "model", "parameters", "what"),
        [
            (
                each["name"],
                each.get("model", ""),
                f"{each['parameters']:,}" if "parameters" in each else "",
                each.get("summary", each["folder"]),
            )
            for each in found["checkpoints"]
        ],
    )
    print()
    show_table(
        ("downloaded on first use", "from the Hugging Face Hub"),
        [(each["name"], each["address"]) for each in found["downloadable"]],
    )
    print()
    show_table(
        ("model", "configurations, without weights"),
        [(each["name"], ", ".join(each["configurations"])) for each in found["models"]],
    )
    print("\nDetails: zoo info NAME. Papers: zoo cite NAME.")


def listed() -> dict[str, list[dict[str, Any]]]:
    """Checkpoints, those that can be downloaded, and models with their sizes."""
    from zoo import catalog
    from zoo.store import hub
    from zoo.store.manifest import MANIFEST, Manifest, checkpoints

    here: list[dict[str, Any]] = []
    for name, folder in checkpoints().items():
        each: dict[str, Any] = {"name": name, "folder": str(folder)}
        if (folder / MANIFEST).is_file():
            found = Manifest.read(folder)
            each |= {
                "model": found.architecture,
                "parameters": found.parameters,
                "summary": found.summary,
            }
        here.append(each)
    presets = catalog.presets()
    return {
        "checkpoints": here,
        "downloadable": [
            {"name": name, "address": hub.PREFIX + address}
            for name, address in hub.NAMES.items()
        ],
        "models": [
            {"name": name, "configurations": list(presets.get(name, ()))}
            for name in catalog.architectures()
        ],
    }
