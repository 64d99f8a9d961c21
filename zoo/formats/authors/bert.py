"""BERT as google-research/bert published it: a TensorFlow checkpoint in a folder.

The folder also holds `bert_config.json` and `vocab.txt`. This module presents it as a
Hugging Face folder (for the names, see `formats.huggingface.bert_layout`). It also
reads checkpoints of the repository's `run_classifier.py` and `run_squad.py`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zoo.files.binary import opened
from zoo.files.json_files import read_json
from zoo.files.stored_arrays import LazyArrays
from zoo.files.tensorflow_files import Entry, entries

CONFIG = "bert_config.json"

# Weights that are not named after their layer.
HEADS = {
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
}
ENDS = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}

# The optimizer's variables.
PASSED_OVER = re.compile(r".*/adam_[mv]|global_step")

# The weight that identifies each model; the first one found decides.
TASKS = {
    "qa_outputs.weight": "BertForQuestionAnswering",
    "classifier.weight": "BertForSequenceClassification",
    "cls.predictions.bias": "BertForPreTraining",
}


def recognises(file: Path, saved: dict[str, Any]) -> bool:
    """Whether a folder with this configuration file has this format."""
    del saved
    return file.name == CONFIG


def settings(folder: Path) -> dict[str, Any]:
    """The equivalent of Hugging Face's config.json; the keys are the same."""
    config = read_json(folder / CONFIG)
    found = {_renamed(name): entry for name, entry in _entries(folder).items()}
    task = next((TASKS[name] for name in TASKS if name in found), "BertModel")
    config |= {"model_type": "bert", "architectures": [task]}
    if "classifier.weight" in found:
        config["num_labels"] = (*found["classifier.weight"].shape, 0)[0]
    return config


def names(folder: Path) -> list[str]:
    """The names of the weights in Hugging Face's format."""
    return [_renamed(name) for name in _entries(folder)]


def read(folder: Path) -> LazyArrays:
    """The weights in Hugging Face's format."""
    found = {
        _renamed(name): (entry, name.endswith("/kernel"))
        for name, entry in _entries(folder).items()
    }
    files = {file: opened(file) for file in {entry.file for entry, _ in found.values()}}

    def maker(entry: Entry, transposed: bool) -> Callable[[], np.ndarray]:
        def array() -> np.ndarray:
            x = entry.array(files[entry.file])
            return x.T if transposed else x

        return array

    return LazyArrays(
        {name: maker(*each) for name, each in found.items()},
        {name: e.shape[::-1] if t else e.shape for name, (e, t) in found.items()},
    )


def _renamed(name: str) -> str:
    """Hugging Face's name; unknown names stay, to be reported as unexpected."""
    if name in HEADS:
        return HEADS[name]
    inner = re.sub(r"/layer_(\d+)/", r"/layer/\1/", name.removeprefix("bert/"))
    layer, _, end = inner.replace("/", ".").rpartition(".")
    if end in ENDS:
        return f"{layer}.{ENDS[end]}"
    return f"{layer}.{end}.weight" if layer == "embeddings" else name


def _entries(folder: Path) -> dict[str, Entry]:
    prefixes = sorted(file.stem for file in folder.glob("*.index"))
    if len(prefixes) != 1:
        raise FileNotFoundError(
            f"{folder} must hold one TensorFlow checkpoint next to its {CONFIG}, such "
            f"as bert_model.ckpt.index. Found: {', '.join(prefixes) or 'none'}."
        )
    found = entries(folder / prefixes[0])
    return {n: e for n, e in found.items() if not PASSED_OVER.fullmatch(n)}
