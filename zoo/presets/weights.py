"""Weights by name in safetensors files: atomic writes, strict reads."""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from keras import ops

from zoo.engine.current import engine
from zoo.files.atomic import replacing_files
from zoo.files.damaged import printable, reading
from zoo.files.json_files import read_json
from zoo.files.stored_arrays import LazyArrays, is_own, of_file, shape_of
from zoo.files.torch_files import read_state_dict
from zoo.training.finetuning.lora import lora_layers

WEIGHTS = "model.safetensors"
# Readers of the files that can hold weights: ours, and Hugging Face's older format.
READERS: dict[str, Callable[[Path], LazyArrays]] = {
    WEIGHTS: of_file,
    "pytorch_model.bin": read_state_dict,
}
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")
# Prefixes that wrappers add to names: torch.compile at any layer, data-parallel
# training in front of every name.
COMPILED, PARALLEL = re.compile(r"(?<![^.])_orig_mod\."), "module."
# Where `transformers` looks for a tokenizer's class and special tokens.
TOKENIZER_CONFIG = "tokenizer_config.json"


def named_weights(model: Any) -> dict[str, Any]:
    """A model's weights by their names within it (`block_0/attention/output/bias`).

    LoRA's are left out: files hold the equivalent plain model. Weights of a user's own
    networks are numbered (`encoder/0/kernel`), since Keras names their layers by how
    many there were before.

    Raises:
        ValueError: two weights have the same name.
    """
    prefix = f"{model.path}/"
    factors = {
        id(weight)
        for layer in lora_layers(model)
        for weight in (layer.lora_kernel_a, layer.lora_kernel_b)
    }
    weights = [weight for weight in model.weights if id(weight) not in factors]
    numbered = {
        id(weight): f"{part}/{number}/{weight.name}"
        for part, network in getattr(model, "foreign_networks", dict)().items()
        for number, weight in enumerate(network.weights)
    }
    named = {
        numbered.get(id(weight), weight.path.removeprefix(prefix)): weight
        for weight in weights
    }
    if len(named) < len(weights):
        raise ValueError(
            f"The weights of {type(model).__name__} must have different names, but "
            "several share one. Give its layers different names."
        )
    return named


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    """Copies of a model's weights by name; floats become float32."""
    adapted = {id(layer._kernel): layer for layer in lora_layers(model)}
    arrays = {}
    for name, weight in named_weights(model).items():
        array = engine().numpy(weight)
        if (layer := adapted.get(id(weight))) is not None:
            factors = (layer.lora_kernel_a, layer.lora_kernel_b)
            product = layer.lora_product(*(engine().numpy(x) for x in factors))
            array = array + ops.convert_to_numpy(product)
        keeps = np.issubdtype(array.dtype, np.integer) or array.dtype == bool
        arrays[name] = np.array(array, None if keeps else "float32", order="C")
    return arrays


def assign(
    model: Any,
    arrays: Mapping[str, np.ndarray],
    source: Any,
    new: Collection[str] = (),
) -> None:
    """Sets all weights of a model, or raises and sets none.

    Also initialises a model that was made within `registry.no_initialisation`.

    Args:
        model: the model.
        arrays: values by weight name.
        source: their origin, for messages.
        new: names of weights to initialise instead.

    Raises:
        ValueError: a weight is missing, left over or of another shape.
    """
    named = named_weights(model)
    taken = {name: weight for name, weight in named.items() if name not in new}
    check_names(arrays, taken, source)
    if wrong := misfits(arrays, taken):
        refuse(wrong, source)
    for name, weight in taken.items():
        if weight._value is None:
            _initialize(weight, arrays[name])
        else:
            weight.assign(arrays[name])
    for variable in model.variables:
        if variable._value is None:
            variable._deferred_initialize()
    for layer in lora_layers(model):
        layer.lora_kernel_b.assign(np.zeros(layer.lora_kernel_b.shape, "float32"))


def _initialize(weight: Any, array: np.ndarray) -> None:
    """Initialises a weight with an array, without a copy if the backend allows it."""
    if not (is_own(array) and array.flags.writeable and array.flags.aligned):
        array = array.copy()
    weight._initialize(engine().adopted(array, weight._dtype))
    weight._initializer = None


def misfits(arrays: Mapping[str, np.ndarray], taken: Mapping[str, Any]) -> dict:
    """Descriptions of the arrays whose shapes differ from their weights', by name."""
    return {
        name: f"{name} is {shape_of(arrays, name)} in the file and "
        f"{tuple(weight.shape)} in the model"
        for name, weight in taken.items()
        if shape_of(arrays, name) != tuple(weight.shape)
    }


def refuse(wrong: Mapping[str, str], source: Any, way_out: str = "") -> NoReturn:
    """Raises ValueError for what `misfits` found."""
    raise ValueError(
        f"The shapes in {source} must match the model's, but "
        f"{listed([*wrong.values()], '; ')}.{way_out}"
    )


def check_names(
    found: Iterable[str], expected: Iterable[str], source: Any, way_out: str = ""
) -> None:
    """Raises unless the names are the same, in any order.

    Args:
        found: the names that exist.
        expected: the names that must exist.
        source: their origin, for the message.
        way_out: a sentence to end the message with, if any.

    Raises:
        ValueError: names are missing or unexpected.
    """
    missing = sorted(set(expected) - set(found))
    unexpected = sorted(set(found) - set(expected))
    if missing or unexpected:
        numbered = [
            sorted(re.sub(r"_\d+", "", x) for x in names)
            for names in (missing, unexpected)
        ]
        if missing and numbered[0] == numbered[1]:
            way_out += (
                " Keras numbers layers that have no name, anew in each model: "
                "give each layer a name, as in Dense(8, name='hidden')."
            )
        raise ValueError(
            f"The weights of {source} must match the model's. "
            f"Missing: {listed(missing)}. Unexpected: {listed(unexpected)}.{way_out}"
        )


def read(folder: Path) -> LazyArrays:
    """Reads all arrays of a folder, in one file or in parts. Never unpickles anything.

    Raises:
        FileNotFoundError: there is no file of weights.
        ValueError: a file is damaged, or a part differs from the index.
    """
    for name, reader in READERS.items():
        file, index = folder / name, folder / f"{name}.index.json"
        if file.is_file():
            return unwrapped(reader(file), file)
        if index.is_file():
            return unwrapped(_in_parts(index, reader), index)
    others = sorted(path.name for path in folder.glob("*model*"))
    raise FileNotFoundError(
        f"{folder} must hold {WEIGHTS}, {' or '.join([*READERS][1:])}, or the index "
        f"of one in parts ({WEIGHTS}.index.json). Found: {listed(others)}."
    )


def _in_parts(index: Path, reader: Callable[[Path], LazyArrays]) -> LazyArrays:
    """The arrays of several files, located by an index."""
    expected = "a weight_map that names a file in this folder for each weight"
    with reading(index, expected):
        places = dict(read_json(index, expected)["weight_map"])
        for file in places.values():
            if Path(file).name != file:
                raise ValueError(f"it names {file!r}.")
    parts = LazyArrays({}, {})
    for file in sorted(set(places.values())):
        found = reader(index.parent / file)
        there = [name for name, place in places.items() if place == file]
        check_names(found, there, index.parent / file)
        parts.makers |= found.makers
        parts.shapes |= found.shapes
    return parts


def unwrapped(arrays: LazyArrays, source: Any) -> LazyArrays:
    """Removes the prefixes of wrappers (torch.compile, data-parallel) from the names.

    Raises:
        ValueError: two weights would have the same name.
    """
    names = {name: COMPILED.sub("", name) for name in arrays}
    while names and all(name.startswith(PARALLEL) for name in names.values()):
        names = {k: name.removeprefix(PARALLEL) for k, name in names.items()}
    inverse = {name: k for k, name in names.items()}
    if len(inverse) < len(names):
        raise ValueError(
            f"{source} has weights of one name but for the wrappers' prefixes "
            f"{PARALLEL} or _orig_mod. Save the model without its wrapper."
        )
    return arrays.renamed(inverse)


def names(folder: Path) -> list[str] | None:
    """The names of the arrays that `read` returns; None if there is no file."""
    try:
        return [*read(folder)]
    except FileNotFoundError:
        return None


def write(
    folder: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    texts: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> None:
    """Writes a folder's weights and JSON files; replaces all of them or none.

    Args:
        folder: the folder, created if it does not exist.
        arrays: the arrays of the safetensors file, by name.
        texts: contents of JSON files by name, as values or text; None removes a file.
        metadata: the safetensors file's header.

    Raises:
        OSError: a file can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    if not engine().is_main:
        return
    folder = Path(folder).expanduser()
    with replacing_files(folder, gone=texts) as new:
        for name, text in texts.items():
            if text is not None:
                (new / name).write_bytes(encoded(text))
        try:
            save_file(dict(arrays), new / WEIGHTS, metadata=dict(metadata))
        except SafetensorError as error:  # such as a full disk
            raise OSError(f"{folder / WEIGHTS} can't be written: {error}") from error


def tokenizer_texts(model: Any) -> dict[str, str | None]:
    """The tokenizer's file for `write`, which removes files of other tokenizers."""
    texts: dict[str, str | None] = dict.fromkeys(TOKENIZER_FILES)
    if model.tokenizer is not None:
        texts["tokenizer.json"] = model.tokenizer.backend.to_str(pretty=True)
    return texts


def transformers_tokenizer_texts(model: Any, **settings: Any) -> dict[str, Any]:
    """The tokenizer's files for `transformers`, with the class that changes no rule.

    Args:
        model: the model whose tokenizer to write.
        settings: further tokenizer settings, such as `mask_token`.
    """
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config.context_length,
        "clean_up_tokenization_spaces": False,
        **settings,
    }
    found = config if model.tokenizer is not None else None
    return {**tokenizer_texts(model), TOKENIZER_CONFIG: found}


def encoded(text: Any) -> bytes:
    """A file's bytes for a text, or for a value as JSON."""
    if not isinstance(text, str):
        text = json.dumps(text, indent=2) + "\n"
    return text.encode("utf-8")


def listed(items: list[str], separator: str = ", ") -> str:
    """The first eight items as text, and how many more there are."""
    shown = printable(separator.join(items[:8])) or "none"
    return shown + (f" and {len(items) - 8} more" if len(items) > 8 else "")
