"""Which presets there are: configurations by name, and folders that hold weights."""

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
from zoo.store.names import CONFIGS, folder_of

# What presets written before 0.2 call them.
RENAMED = {"Translator": "CycleGANGenerator"}

# The modules that convert Hugging Face's folders, by their model type.
CONVERTERS = {"gpt2": "zoo.formats.huggingface.gpt2"} | dict.fromkeys(
    ("bert", "roberta", "albert", "electra", "distilbert"),
    "zoo.formats.huggingface.bert",
)
# The modules that make other folders look like Hugging Face's.
READERS = ("zoo.formats.authors.bert", "zoo.formats.keras_hub.reading")

# The policies that a preset may name; Keras would make an object of whatever else a
# file says.
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
    """What a name or folder stands for.

    Attributes:
        architecture: the name of a model class.
        fields: of its configuration.
        dtype: the policy that it was saved with; None where that is not known.
        folder: with its weights; None where it is a configuration alone.
        converter: the module that converts the weights; None where they are ours.
        read: gives the folder's weights by name.
        others: fields that models of its family may have, and it has not.
        unknown_head: another library's name of the model, if it has a head that none
            of ours has; `architecture` is then what it is without.
        subclass: the name of the user's class that saved it, if it is none of ours;
            `architecture` is then the class of ours that it derives from.
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


def model_class(architecture: str) -> Any:
    """The class of that name."""
    return registration(architecture).cls


def configs() -> dict[str, Any]:
    """All named configurations."""
    return {
        name: config
        for architecture in catalog.presets()
        for name, config in registration(architecture).presets.items()
    }


def list_presets() -> list[str]:
    """The names that `from_preset` takes.

    First the configurations (`gpt2`), which come without weights, then the
    checkpoints (`architecture.tag`), which come with them.
    """
    return [*configs(), *checkpoints()]


def find(preset: str | os.PathLike[str]) -> Preset:
    """Looks a name or folder up, folders first; raises if there is neither.

    Names of the hub (`hf://owner/name`, `gpt2.webtext`) are fetched.
    """
    with opened(preset) as found:
        return found


@contextlib.contextmanager
def opened(preset: str | os.PathLike[str]) -> Iterator[Preset]:
    """What `find` finds; nobody replaces its files within."""
    folder = folder_of(preset, configs())
    if folder is None:
        config = configs()[os.fspath(preset)]
        yield Preset(architecture_of(config), dataclasses.asdict(config))
        return
    with naming(folder), unchanged(folder), checking(folder):
        yield _read(folder)


def count_parameters(preset: Any) -> int:
    """How many weights a model has, counted without making them.

    Args:
        preset: a configuration (`zoo.GPTConfig(...)`), or what `from_preset` takes.
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
    """Within, weights have shapes but no values, and Keras does not make up for it.

    It remembers weights that were left without values and gives them some at the end
    of the next scope, wherever that is: 175 billion of them, in somebody's first step.
    """
    pending = list(global_state.get_global_attribute("uninitialized_variables", []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute("uninitialized_variables", pending)


def base_of(cls: type) -> str | None:
    """The architecture that a model's class is, or derives from, if there is one."""
    found = registration_of(cls)
    return None if found is None else found.cls.__name__


def architecture_of(config: Any) -> str:
    """The name of the model class that a configuration is for."""
    for architecture in catalog.architectures():
        if type(config) is model_class(architecture).Config:
            return architecture
    raise TypeError(f"{type(config).__name__} is no model's configuration: {config!r}")


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
            raise ValueError(f"architecture must be a text, got {shown(each)}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {DTYPES}, got {shown(dtype)}")
    name, base = (RENAMED.get(x, x) for x in (name, base))
    unknown = name == base or name not in catalog.architectures()
    if "subclass_of" in saved and unknown:
        return Preset(base, fields, dtype, folder, subclass=name)  # it knows its fields
    if name in catalog.architectures():
        made(model_class(name).Config, fields)
    return Preset(name, fields, dtype, folder)


def _of_others(file: Path, saved: dict[str, Any]) -> Preset:
    folder = file.parent
    source: Any = weights
    for reader in map(importlib.import_module, READERS):
        if reader.recognises(file, saved):
            source, saved = reader, reader.settings(folder)
    kind = saved.get("model_type")
    if not isinstance(kind, str) or kind not in CONVERTERS:
        raise ValueError(
            f"{file} is neither a preset of zoo nor of a model type that can be "
            f"converted ({', '.join(CONVERTERS)}): its model_type is {shown(kind)}."
        )
    converter = importlib.import_module(CONVERTERS[kind])
    names = source.names(folder)
    with reading(file, EXPECTED), naming(file):
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
