"""Reads Keras Hub's presets of BERT and GPT-2 without Keras Hub.

A preset's folder holds `config.json`, `model.weights.h5`, the tokenizer's files and,
for a task, `task.json` and `task.weights.h5`. This module presents it as a Hugging Face
folder. Only the encoder of `BertMaskedLM` is read: its head's norm and activation
differ from the encoder's (an epsilon of 1e-5, and GELU without the tanh). The module
`writing` writes such folders.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from zoo.configs.checks import checked, shown
from zoo.files.damaged import reading
from zoo.files.hdf5_files import open_hdf5
from zoo.files.json_files import read_json
from zoo.files.limits import MAX_LAYERS
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

CONFIG, TASK, METADATA = "config.json", "task.json", "metadata.json"
EXPECTED = "an object of Keras Hub, with class_name and config"
OLD_LAYERS = "_layer_checkpoint_dependencies"  # the layers' name in Keras 2 files
PACKAGES = ("keras_hub", "keras_nlp")  # the latter until 2024
CLASSIFIERS = ("BertTextClassifier", "BertClassifier")  # the latter until 2024


def recognises(file: Path, saved: dict[str, Any]) -> bool:
    """Whether a folder with this configuration file has this format."""
    del file
    return str(saved.get("registered_name")).partition(">")[0] in PACKAGES


def settings(folder: Path) -> dict[str, Any]:
    """The equivalent of Hugging Face's config.json.

    Raises:
        ValueError: the model is not supported, computes something that ours does not,
            or a file is damaged.
    """
    family, saved = _family(folder), _backbone(folder)
    config = {name: saved[theirs] for name, theirs in family.fields.items()}
    config |= family.fixed
    if (head := _head(folder)) not in (None, "GPT2CausalLM", *CLASSIFIERS):
        config["architectures"] = [head]  # an unknown head, for the error
    # Keras Hub has one rate for all dropout.
    if family.module == "gpt2":
        return config | {"attn_pdrop": config["resid_pdrop"]}
    config["attention_probs_dropout_prob"] = config["hidden_dropout_prob"]
    config.setdefault("architectures", ["BertModel"])
    if (task := _classifier(folder)) is not None:
        with reading(folder / TASK, EXPECTED):
            if task["activation"] not in ("linear", "softmax"):
                raise ValueError(
                    f"{folder / TASK}: a classifier's activation must be linear or "
                    "softmax (ours returns the logits before it), got "
                    f"{shown(task['activation'])}."
                )
            config |= {
                "architectures": ["BertForSequenceClassification"],
                "num_labels": checked("num_classes", task["num_classes"], int),
                "classifier_dropout": checked("dropout", task["dropout"], float),
                "id2label": _class_names(folder),
            }
    return config


def names(folder: Path) -> list[str]:
    """The names of the weights in Hugging Face's format."""
    found = [
        f"{name}.{end}"
        for rows in _files(folder).values()
        for _, name, kind in rows
        for end in ends(kind)
    ]
    return list(dict.fromkeys(found))


def read(folder: Path) -> dict[str, np.ndarray]:
    """The weights in Hugging Face's format.

    Raises:
        ValueError: weights are missing or left over, or a file is damaged.
    """
    heads = _backbone(folder)["num_heads"]
    transposed = _family(folder).transposed
    arrays: dict[str, np.ndarray] = {}
    for name, rows in _files(folder).items():
        arrays |= _read(folder / name, rows, heads, transposed)
    return arrays


def _backbone(folder: Path) -> dict[str, Any]:
    """A backbone's sizes and dropout rate, by Keras Hub's names."""
    file = folder / CONFIG
    saved = _json(file)["config"]
    names = _family(folder).fields.values()
    if missing := sorted(set(names) - set(saved)):
        raise ValueError(f"{file} must have the fields {', '.join(missing)}.")
    found = {}
    with reading(file, EXPECTED):
        for name in names:
            kind = float if name == "dropout" else int
            found[name] = checked(name, saved[name], kind)
        if found["num_layers"] > MAX_LAYERS:
            count = found["num_layers"]
            raise ValueError(f"num_layers must be at most {MAX_LAYERS}, got {count}.")
    return found


def _family(folder: Path) -> Family:
    name = _json(folder / CONFIG)["class_name"]
    if name not in FAMILIES:
        raise ValueError(
            f"{folder} is a preset of Keras Hub's {name!a:.80}. Supported are "
            f"{', '.join(FAMILIES)} and BertTextClassifier."
        )
    return FAMILIES[name]


def _head(folder: Path) -> str | None:
    """The class name of a preset's task, if it has one."""
    file = folder / TASK
    return _json(file)["class_name"] if file.is_file() else None


def _class_names(folder: Path) -> dict[str, str]:
    """Class names by number, from where `writing` puts them; Keras Hub has no field."""
    file = folder / METADATA
    found = read_json(file).get("class_names", []) if file.is_file() else []
    names = checked("class_names", found, tuple[str, ...])
    return {str(number): name for number, name in enumerate(names)}


def _classifier(folder: Path) -> dict[str, Any] | None:
    """The configuration of a preset's classifier, if it has one."""
    is_one = _head(folder) in CLASSIFIERS
    return _json(folder / TASK)["config"] if is_one else None


def _files(folder: Path) -> dict[str, list[Row]]:
    """The files of weights, and the rows of each."""
    num_layers = _backbone(folder)["num_layers"]
    files = {MODEL_WEIGHTS: [*expanded(_family(folder).layers, num_layers)]}
    if _classifier(folder) is not None:
        files[TASK_WEIGHTS] = [HEAD]
    return files


def _read(
    file: Path, rows: Sequence[Row], num_heads: int, transposed: bool
) -> dict[str, np.ndarray]:
    found = _datasets(file)
    places = [place(theirs, end) for theirs, _, kind in rows for end in ends(kind)]
    weights.check_names(found, places, file)
    parts: dict[str, list[np.ndarray]] = {}
    for theirs, name, kind in rows:
        for end in ends(kind):
            where = place(theirs, end)
            x = found[where]
            if kind == "to_heads":
                if x.shape[-2:-1] != (num_heads,):
                    raise ValueError(
                        f"{file}: {where} must be of {num_heads} heads, got shape "
                        f"{x.shape}."
                    )
                x = x.reshape(*x.shape[:-2], -1)
            elif kind == "from_heads" and end == "weight":
                x = x.reshape(-1, x.shape[-1])  # (N, H, D)
            if transposed and kind != "embedding":
                x = x.T  # leaves biases unchanged
            parts.setdefault(f"{name}.{end}", []).append(x)
    return {name: np.concatenate(xs, axis=-1) for name, xs in parts.items()}


def _datasets(file: Path) -> dict[str, np.ndarray]:
    """All weights in a Keras file by path, except the optimizer's."""
    found: dict[str, np.ndarray] = {}
    left = 0

    def collect(path: str, item: Any) -> None:
        nonlocal left
        if not isinstance(item, h5py.Dataset) or path.startswith("optimizer/"):
            return
        # Keras stores arrays uncompressed, each once. Anything else could make a small
        # file claim huge memory, or read the contents of other files.
        left -= item.nbytes
        stored = item.id.get_storage_size() == item.nbytes and left >= 0
        if item.dtype.kind != "f" or item.external or item.is_virtual or not stored:
            raise ValueError(
                f"{path} must be an array of floats that lies in the file, got "
                f"{item.dtype} of shape {item.shape}."
            )
        found[path.replace(OLD_LAYERS, "layers")] = np.asarray(item[()], "float32")

    with reading(file, "weights as Keras writes them"):
        with open_hdf5(file) as weights_file:
            left = weights_file.id.get_filesize()
            weights_file.visititems(collect)  # follows no links to other files
    return found


def _json(file: Path) -> dict[str, Any]:
    """Reads a serialized Keras Hub object: class_name and config."""
    found = read_json(file, EXPECTED)
    with reading(file, EXPECTED):
        if isinstance(found["config"], dict) and isinstance(found["class_name"], str):
            return found
        raise ValueError("class_name or config has another type.")
