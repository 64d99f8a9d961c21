"""What the name of a preset stands for, told without importing a backend.

Every flag and every function that takes a preset asks `look_up`.
"""

import difflib
import os
import typing
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from zoo import catalog
from zoo.store import hub
from zoo.store.manifest import checkpoints

# The files that say what a folder holds.
CONFIGS = ("config.json", "bert_config.json")

_MARK = "the name or folder of a preset"
PresetName = Annotated[str, _MARK]
"""The type of a flag that takes a preset; `check_names` looks it up."""


@dataclass(frozen=True)
class Place:
    """Where a preset is; a configuration's is nowhere.

    Attributes:
        folder: at hand.
        address: on the Hugging Face hub, from where it may have been fetched before.
    """

    folder: Path | None = None
    address: str | None = None


def look_up(
    name: str | os.PathLike[str], configurations: Collection[str] | None = None
) -> Place:
    """Where a preset is: a folder, else a checkpoint, of the hub, or a configuration.

    Args:
        name: what a user gave.
        configurations: their names; by default those of the catalog.

    Raises:
        FileNotFoundError: there is a folder, and no preset in it.
        ValueError: there is nothing of that name.
    """
    from zoo.files.atomic import COMMITTED  # not before, for NumPy comes along

    folder, name = Path(name).expanduser(), os.fspath(name)
    if configurations is None:
        configurations = [x for names in catalog.presets().values() for x in names]
    # In the second place if the folder's last writer was killed at the very end.
    places = (folder, folder / COMMITTED)
    if any((place / file).is_file() for place in places for file in CONFIGS):
        return Place(folder)
    if name in (found := checkpoints()):
        return Place(found[name])
    if (address := hub.address(name)) is not None:
        return Place(address=address)
    if name in configurations:
        return Place()
    if folder.is_dir():
        raise FileNotFoundError(
            f"The folder {name!r} holds no config.json. Folders from save_to_preset "
            "and from Hugging Face hold config.json and model.safetensors; those of "
            "BERT's authors bert_config.json and a TensorFlow checkpoint."
        )
    known = [*configurations, *found, *hub.NAMES]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"There is neither a preset nor a folder {name!r}.{hint} Presets: "
        f"{', '.join(configurations)}. Checkpoints: {', '.join(found) or 'none'}. From "
        f"the Hugging Face hub: {', '.join(hub.NAMES)}, {hub.PREFIX}owner/name."
    )


def folder_of(
    name: str | os.PathLike[str], configurations: Collection[str] | None = None
) -> Path | None:
    """The folder of a preset, fetched if need be; None for a configuration.

    Raises:
        OSError: it could not be fetched, or there is a folder and no preset in it.
        ValueError: there is nothing of that name.
    """
    place = look_up(name, configurations)
    return place.folder if place.address is None else hub.fetch(place.address)


def check_names(config: Any) -> None:
    """Raises unless each preset that a dataclass names, by `PresetName`, exists."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value = getattr(config, field.name)
        if value is not None and _MARK in _metadata(hints[field.name]):
            look_up(value)


def _metadata(kind: Any) -> Iterator[Any]:
    """What `Annotated` says, of any part of a union."""
    yield from getattr(kind, "__metadata__", ())
    for part in typing.get_args(kind):
        yield from _metadata(part)
