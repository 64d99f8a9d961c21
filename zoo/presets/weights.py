"""Weights by name, in safetensors files: written whole, read strictly."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from zoo.data.atomic_files import replacing
from zoo.training.engine import engine
from zoo.training.lora import lora_layers

WEIGHTS = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")


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


def assign(model, arrays: Mapping[str, np.ndarray], source: Any) -> None:
    """Sets all weights of a model, or raises and sets none.

    Raises:
        ValueError: a weight is missing, left over or of another shape.
    """
    named = named_weights(model)
    check_names(arrays, named, source)
    wrong = [
        f"{name} is {tuple(arrays[name].shape)} in the file and "
        f"{tuple(weight.shape)} in the model"
        for name, weight in named.items()
        if tuple(arrays[name].shape) != tuple(weight.shape)
    ]
    if wrong:
        raise ValueError(f"The shapes of {source} do not fit: {_listed(wrong, '; ')}.")
    for name, weight in named.items():
        weight.assign(arrays[name])
    for layer in lora_layers(model):
        layer.lora_kernel_b.assign(np.zeros(layer.lora_kernel_b.shape, "float32"))


def check_names(found: Iterable[str], expected: Iterable[str], source: Any) -> None:
    """Raises unless the names are the same, whatever their order."""
    missing = sorted(set(expected) - set(found))
    unexpected = sorted(set(found) - set(expected))
    if missing or unexpected:
        raise ValueError(
            f"The weights of {source} do not fit the model. "
            f"Missing: {_listed(missing)}. Unexpected: {_listed(unexpected)}."
        )


def read(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of a folder's safetensors file. Nothing is ever unpickled."""
    with _opened(folder) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def names(folder: Path) -> list[str] | None:
    """The names of those arrays; None where there is no file."""
    if not (folder / WEIGHTS).is_file():
        return None
    with _opened(folder) as file:
        return list(file.keys())


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    file = folder / WEIGHTS
    if not file.is_file():
        others = sorted(p.name for p in folder.glob("*model*") if p.name != WEIGHTS)
        raise FileNotFoundError(
            f"{folder} holds no {WEIGHTS}. Found: {_listed(others)}. Weights in parts "
            "or in PyTorch's pickles are not read: load them with transformers and "
            "write them with model.save_pretrained(folder, max_shard_size='1TB')."
        )
    try:
        with safe_open(file, framework="np") as opened:
            yield opened
    except SafetensorError as error:
        raise ValueError(
            f"{file} is incomplete or damaged ({error}). Copy or save it anew."
        ) from error


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
    from safetensors.numpy import save_file

    if not engine().is_main:
        return
    folder = Path(folder).expanduser()
    with contextlib.ExitStack() as stack:
        for name, text in texts.items():
            if text is not None:
                file = stack.enter_context(replacing(folder / name))
                file.write(encoded(text))
        file = stack.enter_context(replacing(folder / WEIGHTS))
        save_file(dict(arrays), file.name, metadata=dict(metadata))
    for name, text in texts.items():
        if text is None:
            (folder / name).unlink(missing_ok=True)


def tokenizer_texts(model) -> dict[str, str | None]:
    """The tokenizer's file, for `write`, which removes those of another tokenizer."""
    texts: dict[str, str | None] = dict.fromkeys(TOKENIZER_FILES)
    if model.tokenizer is not None:
        texts["tokenizer.json"] = model.tokenizer.backend.to_str(pretty=True)
    return texts


def encoded(text: Any) -> bytes:
    """A text, or a value as JSON, for a file."""
    if not isinstance(text, str):
        text = json.dumps(text, indent=2) + "\n"
    return text.encode("utf-8")


def _listed(items: list[str], separator: str = ", ") -> str:
    """The first few items."""
    shown = separator.join(items[:8]) or "none"
    return shown + (f" and {len(items) - 8} more" if len(items) > 8 else "")
