"""Weights by name, in safetensors files: written whole, read strictly."""

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
# What reads the files that weights may be in: ours, and an older one of Hugging Face's.
READERS: dict[str, Callable[[Path], LazyArrays]] = {
    WEIGHTS: of_file,
    "pytorch_model.bin": read_state_dict,
}
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")
# What wrappers put into names: torch.compile anywhere, data-parallel training before
# all of them.
COMPILED, PARALLEL = re.compile(r"(?<![^.])_orig_mod\."), "module."
# Where `transformers` looks for a tokenizer's class and special tokens.
TOKENIZER_CONFIG = "tokenizer_config.json"


def named_weights(model) -> dict[str, Any]:
    """A model's weights by names relative to it (`block_0/attention/output/bias`).

    Those of LoRA are left out: in files a model that has it is the plain one that it
    amounts to.
    """
    prefix = f"{model.path}/"
    factors = {
        id(weight)
        for layer in lora_layers(model)
        for weight in (layer.lora_kernel_a, layer.lora_kernel_b)
    }
    weights = [weight for weight in model.weights if id(weight) not in factors]
    named = {weight.path.removeprefix(prefix): weight for weight in weights}
    if len(named) < len(weights):
        raise ValueError(
            f"Several weights of {type(model).__name__} have one name, so that they "
            "can't be told apart in a file. Give its layers names of their own."
        )
    return named


def arrays_of(model) -> dict[str, np.ndarray]:
    """Copies of a model's weights by name, floats as float32."""
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
    model,
    arrays: Mapping[str, np.ndarray],
    source: Any,
    new: Collection[str] = (),
) -> None:
    """Sets all weights of a model, or raises and sets none.

    A model that was made within `registry.no_initialisation` gets its first values.

    Args:
        model: the model.
        arrays: by the names of its weights.
        source: where they are from, for messages.
        new: weights that are in no file, which are initialised.

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


def _initialize(weight, array: np.ndarray) -> None:
    """A weight's first value, which is the array itself where a backend can take it."""
    if not (is_own(array) and array.flags.writeable and array.flags.aligned):
        array = array.copy()
    weight._initialize(engine().adopted(array, weight._dtype))
    weight._initializer = None


def misfits(arrays: Mapping[str, np.ndarray], taken: Mapping[str, Any]) -> dict:
    """What is wrong with the shapes of arrays for weights, by name."""
    return {
        name: f"{name} is {shape_of(arrays, name)} in the file and "
        f"{tuple(weight.shape)} in the model"
        for name, weight in taken.items()
        if shape_of(arrays, name) != tuple(weight.shape)
    }


def refuse(wrong: Mapping[str, str], source: Any, way_out: str = "") -> NoReturn:
    """Raises for `misfits`."""
    raise ValueError(
        f"The shapes of {source} do not fit: {listed([*wrong.values()], '; ')}."
        f"{way_out}"
    )


def check_names(
    found: Iterable[str], expected: Iterable[str], source: Any, way_out: str = ""
) -> None:
    """Raises unless the names are the same, whatever their order.

    Args:
        found: what there is.
        expected: what there has to be.
        source: where it is from, for the message.
        way_out: a sentence at its end, if there is one.
    """
    missing = sorted(set(expected) - set(found))
    unexpected = sorted(set(found) - set(expected))
    if missing or unexpected:
        raise ValueError(
            f"The weights of {source} do not fit the model. "
            f"Missing: {listed(missing)}. Unexpected: {listed(unexpected)}.{way_out}"
        )


def read(folder: Path) -> LazyArrays:
    """All arrays of a folder, of one file or of parts. Nothing is ever unpickled.

    Raises:
        FileNotFoundError: there is no file of weights.
        ValueError: a file is damaged, or a part has not what the index says.
    """
    for name, reader in READERS.items():
        file, index = folder / name, folder / f"{name}.index.json"
        if file.is_file():
            return unwrapped(reader(file), file)
        if index.is_file():
            return unwrapped(_in_parts(index, reader), index)
    others = sorted(path.name for path in folder.glob("*model*"))
    raise FileNotFoundError(
        f"{folder} holds no {WEIGHTS}, nor {' or '.join([*READERS][1:])}, nor the "
        f"index of one in parts ({WEIGHTS}.index.json). Found: {listed(others)}."
    )


def _in_parts(index: Path, reader: Callable[[Path], LazyArrays]) -> LazyArrays:
    """Those of several files, of which an index says what is where."""
    expected = "a weight_map, which has a file of this folder for each weight"
    with reading(index, expected):
        places = dict(read_json(index, expected)["weight_map"])
        for file in places.values():
            if Path(file).name != file:
                raise ValueError(f"it has {file!r}")
    parts = LazyArrays({}, {})
    for file in sorted(set(places.values())):
        found = reader(index.parent / file)
        there = [name for name, place in places.items() if place == file]
        check_names(found, there, index.parent / file)
        parts.makers |= found.makers
        parts.shapes |= found.shapes
    return parts


def unwrapped(arrays: LazyArrays, source: Any) -> LazyArrays:
    """Without what wrappers put into names: torch.compile's, data-parallel training's.

    Raises:
        ValueError: two would have one name.
    """
    names = {name: COMPILED.sub("", name) for name in arrays}
    while names and all(name.startswith(PARALLEL) for name in names.values()):
        names = {k: name.removeprefix(PARALLEL) for k, name in names.items()}
    inverse = {name: k for k, name in names.items()}
    if len(inverse) < len(names):
        raise ValueError(
            f"{source} has weights of one name but for {PARALLEL} or _orig_mod., which "
            "wrappers put before names. Save the model without its wrapper."
        )
    return arrays.renamed(inverse)


def names(folder: Path) -> list[str] | None:
    """The names of those arrays; None where there is no file."""
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
    """Writes a folder's weights and JSON files; all are replaced, or none.

    Args:
        folder: made if it is not there.
        arrays: for the safetensors file.
        texts: JSON files by name, as values or as text; None removes the file.
        metadata: for the safetensors file's header.
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


def tokenizer_texts(model) -> dict[str, str | None]:
    """The tokenizer's file, for `write`, which removes those of another tokenizer."""
    texts: dict[str, str | None] = dict.fromkeys(TOKENIZER_FILES)
    if model.tokenizer is not None:
        texts["tokenizer.json"] = model.tokenizer.backend.to_str(pretty=True)
    return texts


def transformers_tokenizer_texts(model, **settings: Any) -> dict[str, Any]:
    """The same for `transformers`, by whose class no rule of the file is changed.

    Args:
        model: whose tokenizer it is.
        settings: more of the tokenizer, such as `mask_token`.
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
    """A text, or a value as JSON, for a file."""
    if not isinstance(text, str):
        text = json.dumps(text, indent=2) + "\n"
    return text.encode("utf-8")


def listed(items: list[str], separator: str = ", ") -> str:
    """The first few items."""
    shown = printable(separator.join(items[:8])) or "none"
    return shown + (f" and {len(items) - 8} more" if len(items) > 8 else "")
