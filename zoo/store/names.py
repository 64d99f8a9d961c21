"""Resolves the names of presets, without importing a backend.

Every flag and function that takes a preset calls `look_up`.
"""

import difflib
import os
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from zoo import catalog
from zoo.store import hub
from zoo.store.manifest import checkpoints

# The files that describe a folder's contents.
CONFIGS = ("config.json", "bert_config.json")

_MARK = "the name or folder of a preset"
PresetName = Annotated[str, _MARK]
"""The type of a flag that takes a preset; `check_names` looks it up."""


@dataclass(frozen=True)
class Place:
    """Where a preset is; both attributes are None for a configuration.

    Attributes:
        folder: local folder.
        address: address on the Hugging Face hub; it may be in the cache already.
    """

    folder: Path | None = None
    address: str | None = None


def look_up(name: str | os.PathLike[str]) -> Place:
    """Finds a preset: a folder, a checkpoint, one on the hub, or a configuration.

    Args:
        name: name or folder, as the user gave it.

    Raises:
        FileNotFoundError: the folder holds no preset.
        ValueError: nothing has that name.
    """
    from zoo.files.atomic import COMMITTED  # here, since it imports NumPy

    folder, name = Path(name).expanduser(), os.fspath(name)
    configurations = [x for names in catalog.presets().values() for x in names]
    # The second place matters if the folder's last writer was killed at the very end.
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
            f"The folder {name!r} holds no config.json. Folders written by "
            "save_to_preset or by Hugging Face hold config.json and model.safetensors; "
            "those of BERT's authors hold bert_config.json and a TensorFlow checkpoint."
        )
    known = [*configurations, *found, *hub.NAMES]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"There is neither a preset nor a folder {name!r}.{hint} Presets: "
        f"{', '.join(configurations)}. Checkpoints: {', '.join(found) or 'none'}. From "
        f"the Hugging Face hub: {', '.join(hub.NAMES)}, {hub.PREFIX}owner/name."
    )


def folder_of(name: str | os.PathLike[str]) -> Path | None:
    """Returns a preset's folder, downloaded if necessary; None for a configuration.

    Raises:
        OSError: it could not be downloaded, or the folder holds no preset.
        ValueError: nothing has that name.
    """
    place = look_up(name)
    return place.folder if place.address is None else hub.fetch(place.address)


def check_names(config: Any) -> None:
    """Raises unless every `PresetName` in a dataclass names an existing preset."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value = getattr(config, field.name)
        if value is not None and _MARK in _metadata(hints[field.name]):
            look_up(value)


def _metadata(kind: Any) -> Iterator[Any]:
    """Yields the metadata of `Annotated`, in any part of a union."""
    yield from getattr(kind, "__metadata__", ())
    for part in typing.get_args(kind):
        yield from _metadata(part)
