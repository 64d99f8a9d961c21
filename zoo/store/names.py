"""Resolves the names of presets, without importing a backend.

Every flag and function that takes a preset calls `look_up`.
"""

import difflib
import os
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from zoo import catalog
from zoo.store import hub
from zoo.store.manifest import checkpoints

# The files that describe a folder's contents.
CONFIGS = ("config.json", "bert_config.json")
# llama.cpp's files hold configuration, weights and tokenizer in one.
GGUF = ".gguf"
# Hugging Face's model types, besides GPT-2's, that are a GPT here.
DECODERS = ("llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma", "gpt_neox")

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
    if folder.suffix == GGUF and folder.is_file():
        return Place(folder)
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
    hint = nearest_hint(name, known)
    raise ValueError(
        f"There is neither a preset nor a folder {name!r}.{hint} Presets: "
        f"{', '.join(configurations)}. Checkpoints: {', '.join(found) or 'none'}. From "
        f"the Hugging Face hub: {', '.join(hub.NAMES)}, {hub.PREFIX}owner/name."
    )


def nearest_hint(name: str, known: Sequence[str]) -> str:
    """The question whether the nearest known name was meant; empty if none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def is_model(name: str) -> bool:
    """Whether a name is that of a model's class, and not of a folder beside it."""
    return name in catalog.architectures() and not Path(name).is_dir()


def family_of(name: str) -> tuple[str, str]:
    """A preset's model, and the name that its papers are known by.

    Args:
        name: name or folder, as the user gave it.

    Raises:
        OSError: the folder holds no preset.
        ValueError: nothing has that name, or it has yet to be downloaded.
    """
    place = look_up(name)
    size = name.partition(".")[0]
    for model, sizes in catalog.presets().items():
        if name in sizes or (name in hub.NAMES and size in sizes):
            return model, name
    folder = place.folder
    if place.address is not None:
        folder = hub.fetched(place.address)
    if folder is None:
        raise ValueError(
            f"{name!r} has to be downloaded before it is known what it is: load it "
            "once, for instance with zoo.from_preset."
        )
    said = saved_settings(folder)
    kind = str(said.get("model_type", "bert"))
    if "architecture" in said:
        return str(said["architecture"]), name
    if kind in ("gpt2", *DECODERS):
        return "GPT", kind
    return "BertBackbone", f"{kind}_"


def saved_settings(folder: Path) -> dict[str, Any]:
    """What the JSON file that describes a preset's folder says.

    Raises:
        OSError: there is no such file.
        ValueError: it is damaged.
    """
    if folder.is_file():
        return {"architecture": "GPT"}  # a GGUF file
    from zoo.files.json_files import read_json

    found = (folder / name for name in CONFIGS if (folder / name).is_file())
    file = next(found, folder / CONFIGS[0])
    return read_json(file, "a JSON object that describes a model")


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
