"""BERT as Keras Hub's presets have it: `BertBackbone`, and `BertTextClassifier`.

A folder of `config.json`, `model.weights.h5` and, of a task, `task.json` and
`task.weights.h5`. Here it looks as a Hugging Face one, whose names `convert_bert` has
the table of. `BertMaskedLM` gives its encoder: its head has another norm and another
activation than the encoder (an epsilon of 1e-5, and GELU without the tanh).

Shapes: D width, N heads, H head width.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from zoo.presets import weights

# Their layer, Hugging Face's, and how the weights lie; a star stands for the number of
# the block.
BLOCK = "transformer_encoder*"
LAYERS = (
    ("reversible_embedding", "embeddings.word_embeddings", "embedding"),
    ("embedding", "embeddings.token_type_embeddings", "embedding"),
    ("position_embedding", "embeddings.position_embeddings", "embedding"),
    ("layer_normalization", "embeddings.LayerNorm", "norm"),
    (f"{BLOCK}/_self_attention_layer/query_dense", "attention.self.query", "by_head"),
    (f"{BLOCK}/_self_attention_layer/key_dense", "attention.self.key", "by_head"),
    (f"{BLOCK}/_self_attention_layer/value_dense", "attention.self.value", "by_head"),
    (f"{BLOCK}/_self_attention_layer/output_dense", "attention.output.dense", "dense"),
    (f"{BLOCK}/_self_attention_layer_norm", "attention.output.LayerNorm", "norm"),
    (f"{BLOCK}/_feedforward_intermediate_dense", "intermediate.dense", "dense"),
    (f"{BLOCK}/_feedforward_output_dense", "output.dense", "dense"),
    (f"{BLOCK}/_feedforward_layer_norm", "output.LayerNorm", "norm"),
    ("dense", "pooler.dense", "dense"),
)
HEAD = ("dense", "classifier", "dense")
OLD_LAYERS = "_layer_checkpoint_dependencies"  # files of Keras 2 call them so
PACKAGES = ("keras_hub", "keras_nlp")  # its name until 2024
CLASSIFIERS = ("BertTextClassifier", "BertClassifier")  # and its name until then

# Hugging Face's field, and theirs.
FIELDS = {
    "vocab_size": "vocabulary_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "hidden_size": "hidden_dim",
    "intermediate_size": "intermediate_dim",
    "hidden_dropout_prob": "dropout",
    "max_position_embeddings": "max_sequence_length",
    "type_vocab_size": "num_segments",
}


def settings(folder: Path) -> dict[str, Any]:
    """What Hugging Face's config.json would say.

    Raises:
        ValueError: it is no BERT, or computes something that ours does not.
    """
    saved = _json(folder / "config.json")
    if saved["class_name"] != "BertBackbone":
        raise ValueError(
            f"{folder} is a preset of Keras Hub's {saved['class_name']}; of its models "
            "BertBackbone and BertTextClassifier are converted."
        )
    if missing := sorted(set(FIELDS.values()) - set(saved["config"])):
        raise ValueError(f"{folder / 'config.json'} does not say {', '.join(missing)}")
    config = {name: saved["config"][theirs] for name, theirs in FIELDS.items()}
    config |= {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-12,
    }
    if (task := _classifier(folder)) is not None:
        if task["activation"] not in ("linear", "softmax"):
            raise ValueError(
                f"{folder}: a classifier's activation must be linear or softmax (ours "
                f"gives the scores before it), got {task['activation']!r}"
            )
        config |= {
            "architectures": ["BertForSequenceClassification"],
            "num_labels": task["num_classes"],
            "classifier_dropout": task["dropout"],
        }
    return config


def names(folder: Path) -> list[str]:
    """The names of the weights, as Hugging Face has them."""
    return [name for table in _tables(folder).values() for name, _ in table.values()]


def read(folder: Path) -> dict[str, np.ndarray]:
    """The weights as Hugging Face has them.

    Raises:
        ValueError: weights are missing or left over, or a file is damaged.
    """
    heads = settings(folder)["num_attention_heads"]
    arrays: dict[str, np.ndarray] = {}
    for name, table in _tables(folder).items():
        arrays |= _read(folder / name, table, heads)
    return arrays


def _classifier(folder: Path) -> dict[str, Any] | None:
    """The configuration of a preset's classifier, if it has one."""
    if not (folder / "task.json").is_file():
        return None
    task = _json(folder / "task.json")
    return task["config"] if task["class_name"] in CLASSIFIERS else None


def _tables(folder: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Files, and where in each a weight lies, what it is called there, and its kind."""
    num_layers = settings(folder)["num_hidden_layers"]
    tables = {"model.weights.h5": _places(_expanded(num_layers))}
    if _classifier(folder) is not None:
        tables["task.weights.h5"] = _places([HEAD])
    return tables


def _expanded(num_layers: int) -> Iterator[tuple[str, str, str]]:
    for theirs, name, kind in LAYERS:
        if "*" not in theirs:
            yield theirs, name, kind
            continue
        for block in range(num_layers):
            there = theirs.replace("*", f"_{block}" if block else "")
            yield there, f"encoder.layer.{block}.{name}", kind


def _places(layers: Iterable[tuple[str, str, str]]) -> dict[str, tuple[str, str]]:
    return {
        f"layers/{theirs}/vars/{index}": (f"{name}.{end}", kind)
        for theirs, name, kind in layers
        for index, end in enumerate(("weight", "bias"))
        if index == 0 or kind != "embedding"
    }


def _read(file: Path, table: dict, num_heads: int) -> dict[str, np.ndarray]:
    found = _datasets(file)
    weights.check_names(found, table, file)
    arrays = {}
    for place, (name, kind) in table.items():
        x = found[place]
        if kind == "by_head":
            if x.shape[-2:-1] != (num_heads,):
                raise ValueError(
                    f"{file}: {place} must be of {num_heads} heads, got shape {x.shape}"
                )
            x = x.reshape(*x.shape[:-2], -1)
        elif kind == "dense" and x.ndim > 1:
            x = x.reshape(-1, x.shape[-1])  # of attention's output: (N, H, D)
        # Products are of (out, in) there; a bias stays what it is.
        arrays[name] = x if kind == "embedding" else x.T
    return arrays


def _datasets(file: Path) -> dict[str, np.ndarray]:
    """All weights of a Keras file by their path, but the optimizer's."""
    found: dict[str, np.ndarray] = {}

    def collect(path: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or path.startswith("optimizer/"):
            return
        # What Keras writes lies in the file as it is. Else a small file could ask for
        # more memory than there is, or for the contents of other files.
        stored = item.id.get_storage_size() == item.nbytes
        if item.dtype.kind != "f" or item.external or item.is_virtual or not stored:
            raise ValueError(
                f"{path} must be an array of floats that lies in the file, got "
                f"{item.dtype} of shape {item.shape}"
            )
        found[path.replace(OLD_LAYERS, "layers")] = np.asarray(item[()], "float32")

    try:
        with h5py.File(file, "r") as opened:
            opened.visititems(collect)  # which follows no links to other files
    except (ValueError, OSError) as error:
        raise ValueError(f"{file} can't be read: {error}") from error
    return found


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8"))
