"""Finds presets: configurations by name, and folders with weights."""

import contextlib
import dataclasses
import importlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from zoo import catalog
from zoo.configs.checks import shown
from zoo.configs.made import made
from zoo.files.atomic import unchanged
from zoo.files.damaged import naming, printable, reading
from zoo.files.json_files import read_json
from zoo.presets import weights
from zoo.presets.registration import registration, registration_of
from zoo.store.manifest import checking, checkpoints
from zoo.store.names import CONFIGS, DECODERS, folder_of

# The names in presets written before 0.2.
RENAMED = {"Translator": "CycleGANGenerator"}

# The modules that convert Hugging Face's folders, by their model type.
CONVERTERS = (
    {"gpt2": "zoo.formats.huggingface.gpt2"}
    | dict.fromkeys(DECODERS, "zoo.formats.huggingface.decoders")
    | dict.fromkeys(
        ("bert", "roberta", "albert", "electra", "distilbert"),
        "zoo.formats.huggingface.bert",
    )
)
# The modules that make other folders look like Hugging Face's.
READERS = ("zoo.formats.authors.bert", "zoo.formats.keras_hub.reading")

# The policies that a preset may name; Keras would build an object from anything else
# that a file says.
DTYPES = (
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "mixed_float16",
    "mixed_bfloat16",
)
EXPECTED = "the configuration of a model"


@dataclasses.dataclass(frozen=True)
class Preset:
    """What a name or folder refers to.

    Attributes:
        architecture: name of the model class.
        fields: fields of its configuration.
        dtype: dtype policy it was saved with; None if unknown.
        folder: folder with its weights; None for a bare configuration.
        converter: module that converts the weights; None for weights in zoo's format.
        read: function that reads the folder's weights by name.
        others: fields that this model lacks but others of its family may have.
        unknown_head: another library's name for the model, if none of zoo's models has
            its head; `architecture` is then the model without it.
        subclass: name of the unregistered class that saved it; `architecture` is then
            the registered class that it derives from.
        networks: what the file says of networks of a user's own, by name.
    """

    architecture: str
    fields: dict[str, Any]
    dtype: str | None = None
    folder: Path | None = None
    converter: Any = None
    read: Callable[[Path], Mapping[str, np.ndarray]] = weights.read
    others: dict[str, Any] = dataclasses.field(default_factory=dict)
    unknown_head: str = ""
    subclass: str = ""
    networks: dict[str, Any] = dataclasses.field(default_factory=dict)


def model_class(architecture: str) -> Any:
    """Returns the model class of that name."""
    return registration(architecture).cls


def configs() -> dict[str, Any]:
    """Returns all named configurations."""
    return {
        name: config
        for architecture in catalog.presets()
        for name, config in registration(architecture).presets.items()
    }


def list_presets() -> list[str]:
    """Returns the names that `from_preset` accepts.

    Configurations (`gpt2`), which have no weights, come first, then checkpoints
    (`architecture.tag`), which have.
    """
    return [*configs(), *checkpoints()]


def find(preset: str | os.PathLike[str]) -> Preset:
    """Looks up a folder or name, folders first; raises if there is neither.

    Names on the hub (`hf://owner/name`, `gpt2.webtext`) are downloaded.
    """
    with opened(preset) as found:
        return found


@contextlib.contextmanager
def opened(preset: str | os.PathLike[str]) -> Iterator[Preset]:
    """Like `find`; raises if the files were replaced within the block."""
    folder = folder_of(preset)
    if folder is None:
        name = os.fspath(preset)
        model = next(k for k, names in catalog.presets().items() if name in names)
        config = registration(model).presets[name]
        yield Preset(model, dataclasses.asdict(config))
        return
    if folder.is_file():
        with naming(folder):
            gguf: Any = importlib.import_module("zoo.formats.gguf")
            yield _converted(gguf, folder, gguf.settings(folder))
        return
    with naming(folder), unchanged(folder), checking(folder):
        yield _read(folder)


def count_parameters(preset: Any) -> int:
    """Counts a model's weights without allocating them.

    Args:
        preset: a configuration (`zoo.GPTConfig(...)`), or anything that `from_preset`
            accepts.
    """
    if dataclasses.is_dataclass(preset):
        config, cls = preset, model_class(architecture_of(preset))
    else:
        found = find(preset)
        cls = model_class(found.architecture)
        config = cls.Config(**found.fields)
    with no_initialisation():
        model = cls(config)
        return sum(math.prod(weight.shape) for weight in model.weights)


@contextlib.contextmanager
def no_initialisation() -> Iterator[None]:
    """Within the block, weights have shapes but no values.

    Keras remembers uninitialised weights and initialises them at the end of the next
    scope, wherever that is: 175 billion of them, in someone's first training step. So
    they are struck from its list.
    """
    pending = list(global_state.get_global_attribute("uninitialized_variables", []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute("uninitialized_variables", pending)


def base_of(cls: type) -> str | None:
    """Returns the registered name of a class or of its nearest base, if any."""
    found = registration_of(cls)
    return None if found is None else found.cls.__name__


def architecture_of(config: Any) -> str:
    """Returns the name of the model class that a configuration is for."""
    for architecture in catalog.architectures():
        if type(config) is model_class(architecture).Config:
            return architecture
    raise TypeError(
        f"Expected a model's configuration, got a {type(config).__name__}: {config!r}."
    )


def _read(folder: Path) -> Preset:
    file = next(folder / name for name in CONFIGS if (folder / name).is_file())
    saved = read_json(file, EXPECTED)
    if "architecture" not in saved:
        return _of_others(file, saved)
    with reading(file, EXPECTED):
        return _of_ours(saved, folder)


def _of_ours(saved: dict[str, Any], folder: Path) -> Preset:
    name, fields, dtype = saved["architecture"], dict(saved["config"]), saved["dtype"]
    base = saved.get("subclass_of", name)
    for each in (name, base):
        if not isinstance(each, str):
            raise ValueError(f"architecture must be a string, got {shown(each)}.")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {DTYPES}, got {shown(dtype)}.")
    name, base = (RENAMED.get(x, x) for x in (name, base))
    unknown = name == base or name not in catalog.architectures()
    if "subclass_of" in saved and unknown:
        return Preset(
            base, fields, dtype, folder, subclass=name
        )  # only it knows its fields
    if name in catalog.architectures():
        made(model_class(name).Config, fields)
    networks = saved.get("networks", {})
    if not isinstance(networks, dict):
        raise ValueError(f"networks must be a dict, got {shown(networks)}.")
    return Preset(name, fields, dtype, folder, networks=networks)


def _of_others(file: Path, saved: dict[str, Any]) -> Preset:
    folder = file.parent
    source: Any = weights
    for reader in map(importlib.import_module, READERS):
        if reader.recognises(file, saved):
            source, saved = reader, reader.settings(folder)
    kind = saved.get("model_type")
    if not isinstance(kind, str) or kind not in CONVERTERS:
        raise ValueError(
            f"{file} must be a preset of zoo or of a model type that can be converted "
            f"({', '.join(CONVERTERS)}); its model_type is {shown(kind)}."
        )
    with naming(file):
        return _converted(source, folder, saved)


def _converted(source: Any, folder: Path, saved: dict[str, Any]) -> Preset:
    """A preset of another library, read by the module `source`."""
    converter = importlib.import_module(CONVERTERS[saved["model_type"]])
    names = source.names(folder)
    with reading(folder, EXPECTED), naming(folder):
        found = converter.config_fields(saved, names)
        architecture = converter.architecture(saved, names)
        config = model_class(architecture).Config
        known = {field.name for field in dataclasses.fields(config)}
        fields = {name: value for name, value in found.items() if name in known}
        made(config, fields)
        head = printable(converter.unknown_head(saved))
    others = {name: value for name, value in found.items() if name not in known}
    read = source.read
    return Preset(architecture, fields, None, folder, converter, read, others, head)
