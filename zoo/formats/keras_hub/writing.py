"""Writes presets that Keras Hub loads, without Keras Hub."""

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from zoo.engine.current import engine
from zoo.files.atomic import replacing_files
from zoo.formats.huggingface import bert as convert_bert
from zoo.formats.huggingface import gpt2 as convert_gpt2
from zoo.formats.keras_hub import tokenizers as keras_hub_tokenizers
from zoo.formats.keras_hub.layout import (
    FAMILIES,
    HEAD,
    MODEL_WEIGHTS,
    TASK_WEIGHTS,
    Family,
    Row,
    ends,
    expanded,
    place,
)
from zoo.presets import weights

WRITTEN_FOR = "0.32.0"  # the version of Keras Hub whose format this is


def export_keras_hub(model: Any, directory: str | os.PathLike[str]) -> None:
    """Writes a preset that Keras Hub loads, including the tokenizer.

    A GPT becomes a GPT2Backbone (and GPT2CausalLM), a BertBackbone a BertBackbone, and
    a BertClassifier a BertTextClassifier.

    Args:
        model: a `zoo.GPT`, `zoo.BertBackbone` or `zoo.BertClassifier`.
        directory: the folder to write.

    Raises:
        ValueError: the model computes something that Keras Hub's does not, or its
            tokenizer splits texts differently.
    """
    kind = type(model).__name__
    if kind not in ("GPT", "BertBackbone", "BertClassifier"):
        raise ValueError(
            f"Keras Hub has no {kind}. Supported are GPT, BertBackbone and "
            "BertClassifier; BertBackbone.from_preset loads the encoder of any BERT."
        )
    form = convert_gpt2.their_form if kind == "GPT" else convert_bert.their_form
    arrays, config = form(model)
    name = "GPT2Backbone" if kind == "GPT" else "BertBackbone"
    family = FAMILIES[name]
    arrays = {key.removeprefix(family.prefix): x for key, x in arrays.items()}
    config["n_inner"] = config.get("n_inner") or 4 * config.get("n_embd", 0)
    for option, value in family.fixed.items():
        if config[option] != value:
            raise ValueError(
                f"{option} must be {value!r} for Keras Hub's {name}, got "
                f"{config[option]!r} (these are Hugging Face's terms)."
            )
    if kind != "GPT" and model.pooler is None:
        raise ValueError(
            "Keras Hub's BertBackbone needs a pooler, but this model has none."
        )
    fields = {theirs: config[ours] for ours, theirs in family.fields.items()}
    backbone = _serialized(family, name, {"dtype": FLOAT32, **fields})
    texts: dict[str, Any] = {
        "config.json": backbone,
        "metadata.json": _metadata(model),
        **keras_hub_tokenizers.files(model.tokenizer, family.module),
        "task.json": None,
    }
    rows = [*expanded(family.layers, model.config.num_layers)]
    files: dict[str, Any] = {
        MODEL_WEIGHTS: _placed(rows, arrays, family, model.config.num_heads),
        TASK_WEIGHTS: None,
    }
    if kind == "BertClassifier":
        task = {
            "backbone": backbone,
            "preprocessor": None,
            "num_classes": model.config.num_classes,
            "activation": "linear",
            "dropout": model.dropout.rate,
        }
        texts["task.json"] = _serialized(family, "BertTextClassifier", task)
        files[TASK_WEIGHTS] = _placed([HEAD], arrays, family, 1)
    _write(Path(directory).expanduser(), texts, files)


def their_names(model: Any) -> dict[str, list[str]]:
    """Where Keras Hub stores each of our weights; several paths if it splits them."""
    gpt = type(model).__name__ == "GPT"
    family = FAMILIES["GPT2Backbone" if gpt else "BertBackbone"]
    rows = (*expanded(family.layers, model.config.num_layers), HEAD)
    places: dict[str, list[str]] = {}
    for theirs, name, kind in rows:
        for end in ends(kind):
            places.setdefault(f"{name}.{end}", []).append(place(theirs, end))
    converter: Any = convert_gpt2 if gpt else convert_bert
    return {
        ours: [p for name in names for p in places[name.removeprefix(family.prefix)]]
        for ours, names in converter.their_names(model).items()
    }


FLOAT32 = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}
SNAKE_CASE = {"BertTextClassifier": "text_classifier"}


def _serialized(family: Family, name: str, config: dict[str, Any]) -> dict[str, Any]:
    file = f"{family.module}_{SNAKE_CASE.get(name, 'backbone')}"
    return {
        "module": f"keras_hub.src.models.{family.module}.{file}",
        "class_name": name,
        "config": {"name": file, "trainable": True, **config},
        "registered_name": f"keras_hub>{name}",
    }


def _metadata(model: Any) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    # Keras Hub has no class names, and ignores this further field.
    names = getattr(model, "class_names", ())
    return {
        "keras_version": keras.version(),
        "keras_hub_version": WRITTEN_FOR,
        "parameter_count": model.count_params(),
        "date_saved": now.strftime("%Y-%m-%d@%H:%M:%S"),
        **({"class_names": names} if names else {}),
    }


def _placed(
    rows: Sequence[Row], arrays: Mapping[str, np.ndarray], family: Family, heads: int
) -> dict[str, np.ndarray]:
    """The weights as Keras Hub's files store them: the inverse of `reading._read`."""
    counts: dict[str, int] = {}
    for _, name, _ in rows:
        counts[name] = counts.get(name, 0) + 1
    seen = dict.fromkeys(counts, 0)
    placed = {}
    for theirs, name, kind in rows:
        for end in ends(kind):
            x = np.split(arrays[f"{name}.{end}"], counts[name], axis=-1)[seen[name]]
            if family.transposed and kind != "embedding":
                x = x.T
            if kind == "to_heads":
                x = x.reshape(*x.shape[:-1], heads, -1)
            elif kind == "from_heads" and end == "weight":
                x = x.reshape(heads, -1, x.shape[-1])
            placed[place(theirs, end)] = x
        seen[name] += 1
    return placed


def _write(folder: Path, texts: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Writes all files or none; None removes an existing file."""
    if not engine().is_main:
        return
    with replacing_files(folder, gone=[*texts, *files]) as new:
        for name, text in texts.items():
            if text is not None:
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(weights.encoded(text))
        for name, arrays in files.items():
            if arrays is not None:
                # When the disk is full, HDF5's own file driver ends the process.
                with open(new / name, "w+b") as file, h5py.File(file, "w") as opened:
                    for where, x in arrays.items():
                        opened[where] = np.ascontiguousarray(x)


write = export_keras_hub
