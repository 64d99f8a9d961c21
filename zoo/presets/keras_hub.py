"""Keras Hub's presets of BERT and GPT-2, read and written without it.

A folder of `config.json`, `model.weights.h5`, the tokenizer's files and, of a task,
`task.json` and `task.weights.h5`. Here it looks as a Hugging Face one, whose names
`convert_bert` and `convert_gpt2` have the tables of. `BertMaskedLM` gives its encoder:
its head has another norm and another activation than the encoder (an epsilon of 1e-5,
and GELU without the tanh).

Shapes: D width, N heads, H head width.
"""

import contextlib
import dataclasses
import datetime
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from zoo.data.atomic_files import replacing
from zoo.presets import convert_bert, convert_gpt2, keras_hub_tokenizers, weights
from zoo.training.engine import engine

# Their layer, Hugging Face's, and how the weights lie there; a star stands for the
# number of the block. Rows of one name are parts of one array, side by side.
Row = tuple[str, str, str]
KINDS = ("embedding", "norm", "dense", "to_heads", "from_heads")


def _block(block: str, prefix: str, names: Sequence[str]) -> tuple[Row, ...]:
    rows = (
        ("_self_attention_layer/query_dense", "to_heads"),
        ("_self_attention_layer/key_dense", "to_heads"),
        ("_self_attention_layer/value_dense", "to_heads"),
        ("_self_attention_layer/output_dense", "from_heads"),
        ("_self_attention_layer_norm", "norm"),
        ("_feedforward_intermediate_dense", "dense"),
        ("_feedforward_output_dense", "dense"),
        ("_feedforward_layer_norm", "norm"),
    )
    return tuple(
        (f"{block}*/{theirs}", f"{prefix}.*.{name}", kind)
        for (theirs, kind), name in zip(rows, names, strict=True)
    )


@dataclasses.dataclass(frozen=True)
class Family:
    """One of their backbones.

    Attributes:
        module: where their class is.
        layers: its rows.
        transposed: whether Hugging Face's products are of (out, in); theirs are (in,
            out).
        fields: Hugging Face's field, and theirs.
        fixed: what Hugging Face's config.json says besides, since theirs computes that.
        prefix: of Hugging Face's names in models with a head.
    """

    module: str
    layers: tuple[Row, ...]
    transposed: bool
    fields: dict[str, str]
    fixed: dict[str, Any]
    prefix: str


FAMILIES = {
    "BertBackbone": Family(
        "bert",
        (
            ("reversible_embedding", "embeddings.word_embeddings", "embedding"),
            ("embedding", "embeddings.token_type_embeddings", "embedding"),
            ("position_embedding", "embeddings.position_embeddings", "embedding"),
            ("layer_normalization", "embeddings.LayerNorm", "norm"),
            *_block(
                "transformer_encoder",
                "encoder.layer",
                (
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "attention.output.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ),
            ),
            ("dense", "pooler.dense", "dense"),
        ),
        transposed=True,
        fields={
            "vocab_size": "vocabulary_size",
            "num_hidden_layers": "num_layers",
            "num_attention_heads": "num_heads",
            "hidden_size": "hidden_dim",
            "intermediate_size": "intermediate_dim",
            "hidden_dropout_prob": "dropout",
            "max_position_embeddings": "max_sequence_length",
            "type_vocab_size": "num_segments",
        },
        fixed={
            "model_type": "bert",
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-12,
        },
        prefix="bert.",
    ),
    "GPT2Backbone": Family(
        "gpt2",
        (
            ("reversible_embedding", "wte", "embedding"),
            ("position_embedding", "wpe", "embedding"),
            *_block(
                "transformer_decoder",
                "h",
                (
                    *("attn.c_attn",) * 3,
                    "attn.c_proj",
                    "ln_1",
                    "mlp.c_fc",
                    "mlp.c_proj",
                    "ln_2",
                ),
            ),
            ("layer_normalization", "ln_f", "norm"),
        ),
        transposed=False,
        fields={
            "vocab_size": "vocabulary_size",
            "n_layer": "num_layers",
            "n_head": "num_heads",
            "n_embd": "hidden_dim",
            "n_inner": "intermediate_dim",
            "resid_pdrop": "dropout",
            "n_positions": "max_sequence_length",
        },
        fixed={
            "model_type": "gpt2",
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "tie_word_embeddings": True,
        },
        prefix="transformer.",
    ),
}
HEAD: Row = ("dense", "classifier", "dense")
OLD_LAYERS = "_layer_checkpoint_dependencies"  # files of Keras 2 call them so
PACKAGES = ("keras_hub", "keras_nlp")  # its name until 2024
CLASSIFIERS = ("BertTextClassifier", "BertClassifier")  # and its name until then
WRITTEN_FOR = "0.32.0"  # the version whose files these are

MODEL_WEIGHTS, TASK_WEIGHTS = "model.weights.h5", "task.weights.h5"


# === Reading ===


def settings(folder: Path) -> dict[str, Any]:
    """What Hugging Face's config.json would say.

    Raises:
        ValueError: it is none of theirs that is converted, or computes something that
            ours does not, or is damaged.
    """
    saved = _json(folder / "config.json")
    family = _family(folder)
    if missing := sorted(set(family.fields.values()) - set(saved["config"])):
        raise ValueError(f"{folder / 'config.json'} does not say {', '.join(missing)}")
    config = {name: saved["config"][theirs] for name, theirs in family.fields.items()}
    config |= family.fixed
    # Theirs has one rate for all.
    if family.module == "gpt2":
        return config | {"attn_pdrop": config["resid_pdrop"]}
    config["attention_probs_dropout_prob"] = config["hidden_dropout_prob"]
    config["architectures"] = ["BertModel"]
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
    found = [
        f"{name}.{end}"
        for rows in _files(folder).values()
        for _, name, kind in rows
        for end in _ends(kind)
    ]
    return list(dict.fromkeys(found))


def read(folder: Path) -> dict[str, np.ndarray]:
    """The weights as Hugging Face has them.

    Raises:
        ValueError: weights are missing or left over, or a file is damaged.
    """
    heads = _json(folder / "config.json")["config"]["num_heads"]
    transposed = _family(folder).transposed
    arrays: dict[str, np.ndarray] = {}
    for name, rows in _files(folder).items():
        arrays |= _read(folder / name, rows, heads, transposed)
    return arrays


def _family(folder: Path) -> Family:
    name = _json(folder / "config.json")["class_name"]
    if name not in FAMILIES:
        raise ValueError(
            f"{folder} is a preset of Keras Hub's {name}; of its models "
            f"{', '.join(FAMILIES)} and BertTextClassifier are converted."
        )
    return FAMILIES[name]


def _classifier(folder: Path) -> dict[str, Any] | None:
    """The configuration of a preset's classifier, if it has one."""
    if not (folder / "task.json").is_file():
        return None
    task = _json(folder / "task.json")
    return task["config"] if task["class_name"] in CLASSIFIERS else None


def _files(folder: Path) -> dict[str, list[Row]]:
    """Files, and the rows of the weights in each."""
    num_layers = _json(folder / "config.json")["config"]["num_layers"]
    files = {MODEL_WEIGHTS: [*_expanded(_family(folder).layers, num_layers)]}
    if _classifier(folder) is not None:
        files[TASK_WEIGHTS] = [HEAD]
    return files


def _expanded(rows: Sequence[Row], num_layers: int) -> Iterator[Row]:
    for theirs, name, kind in rows:
        if "*" not in theirs:
            yield theirs, name, kind
            continue
        # Those of one block stand together, which keeps parts side by side.
        for block in range(num_layers):
            there = theirs.replace("*", f"_{block}" if block else "")
            yield there, name.replace("*", str(block)), kind


def _ends(kind: str) -> tuple[str, ...]:
    return ("weight",) if kind == "embedding" else ("weight", "bias")


def _place(theirs: str, end: str) -> str:
    return f"layers/{theirs}/vars/{('weight', 'bias').index(end)}"


def _read(
    file: Path, rows: Sequence[Row], num_heads: int, transposed: bool
) -> dict[str, np.ndarray]:
    found = _datasets(file)
    places = [_place(theirs, end) for theirs, _, kind in rows for end in _ends(kind)]
    weights.check_names(found, places, file)
    parts: dict[str, list[np.ndarray]] = {}
    for theirs, name, kind in rows:
        for end in _ends(kind):
            place = _place(theirs, end)
            x = found[place]
            if kind == "to_heads":
                if x.shape[-2:-1] != (num_heads,):
                    raise ValueError(
                        f"{file}: {place} must be of {num_heads} heads, got shape "
                        f"{x.shape}"
                    )
                x = x.reshape(*x.shape[:-2], -1)
            elif kind == "from_heads" and end == "weight":
                x = x.reshape(-1, x.shape[-1])  # (N, H, D)
            if transposed and kind != "embedding":
                x = x.T  # a bias stays what it is
            parts.setdefault(f"{name}.{end}", []).append(x)
    return {name: np.concatenate(xs, axis=-1) for name, xs in parts.items()}


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
    """A serialised object of theirs: class_name and config."""
    try:
        found = json.loads(file.read_text("utf-8"))
        if isinstance(found["config"], dict) and isinstance(found["class_name"], str):
            return found
        raise ValueError("it holds no class_name and config")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error!r}. Save it anew.") from error


# === Writing ===


def export_keras_hub(model: Any, directory: str | os.PathLike[str]) -> None:
    """Writes a preset that Keras Hub loads, its tokenizer included.

    A GPT becomes GPT2Backbone (and GPT2CausalLM), a BertBackbone or BertClassifier
    BertBackbone and BertTextClassifier.

    Raises:
        ValueError: the model computes something that theirs does not, or its tokenizer
            cuts in another way.
    """
    kind = type(model).__name__
    if kind not in ("GPT", "BertBackbone", "BertClassifier"):
        raise ValueError(
            f"Keras Hub has no {kind}; GPT, BertBackbone and BertClassifier are "
            "written. BertBackbone.from_preset takes the encoder of any BERT."
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
                f"Keras Hub's {name} has {option}={value!r} only, in Hugging Face's "
                f"words. This model has {config[option]!r}."
            )
    if kind != "GPT" and model.pooler is None:
        raise ValueError("Keras Hub's BertBackbone has a pooler; this model has none.")
    fields = {theirs: config[ours] for ours, theirs in family.fields.items()}
    backbone = _serialized(family, name, {"dtype": FLOAT32, **fields})
    texts: dict[str, Any] = {
        "config.json": backbone,
        "metadata.json": _metadata(model),
        **keras_hub_tokenizers.files(model.tokenizer, family.module),
        "task.json": None,
    }
    rows = [*_expanded(family.layers, model.config.num_layers)]
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
    """What each of our weights is called there; several are parts of it."""
    gpt = type(model).__name__ == "GPT"
    family = FAMILIES["GPT2Backbone" if gpt else "BertBackbone"]
    rows = (*_expanded(family.layers, model.config.num_layers), HEAD)
    places: dict[str, list[str]] = {}
    for theirs, name, kind in rows:
        for end in _ends(kind):
            places.setdefault(f"{name}.{end}", []).append(_place(theirs, end))
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
    return {
        "keras_version": keras.version(),
        "keras_hub_version": WRITTEN_FOR,
        "parameter_count": model.count_params(),
        "date_saved": now.strftime("%Y-%m-%d@%H:%M:%S"),
    }


def _placed(
    rows: Sequence[Row], arrays: Mapping[str, np.ndarray], family: Family, heads: int
) -> dict[str, np.ndarray]:
    """The inverse of `_read`."""
    counts: dict[str, int] = {}
    for _, name, _ in rows:
        counts[name] = counts.get(name, 0) + 1
    seen = dict.fromkeys(counts, 0)
    placed = {}
    for theirs, name, kind in rows:
        for end in _ends(kind):
            x = np.split(arrays[f"{name}.{end}"], counts[name], axis=-1)[seen[name]]
            if family.transposed and kind != "embedding":
                x = x.T
            if kind == "to_heads":
                x = x.reshape(*x.shape[:-1], heads, -1)
            elif kind == "from_heads" and end == "weight":
                x = x.reshape(heads, -1, x.shape[-1])
            placed[_place(theirs, end)] = x
        seen[name] += 1
    return placed


def _write(folder: Path, texts: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """All files, or none; None removes one that is there."""
    if not engine().is_main:
        return
    with contextlib.ExitStack() as stack:
        for name, text in texts.items():
            if text is not None:
                file = stack.enter_context(replacing(folder / name))
                file.write(weights.encoded(text))
        for name, arrays in files.items():
            if arrays is None:
                continue
            file = stack.enter_context(replacing(folder / name))
            with h5py.File(file, "w") as opened:
                for place, x in arrays.items():
                    opened[place] = np.ascontiguousarray(x)
    for name, content in {**texts, **files}.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
