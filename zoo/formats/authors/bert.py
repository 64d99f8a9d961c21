"""BERT as google-research/bert published it: a TensorFlow checkpoint in a folder.

Beside `bert_model.ckpt` lie `bert_config.json` and `vocab.txt`. Here such a folder
looks as a Hugging Face one, whose names `bert_layout` has the table of. Checkpoints of
its `run_classifier.py` and `run_squad.py` are read too.
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

# Weights that are not named by their layer.
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

# The optimizer's.
PASSED_OVER = re.compile(r".*/adam_[mv]|global_step")

# What a weight tells of the model; the first that is there counts.
TASKS = {
    "qa_outputs.weight": "BertForQuestionAnswering",
    "classifier.weight": "BertForSequenceClassification",
    "cls.predictions.bias": "BertForPreTraining",
}


def recognises(file: Path, saved: dict[str, Any]) -> bool:
    """Whether a folder whose configuration is this file is of this format."""
    del saved
    return file.name == CONFIG


def settings(folder: Path) -> dict[str, Any]:
    """What Hugging Face's config.json would say; their keys are alike."""
    config = read_json(folder / CONFIG)
    found = {_renamed(name): entry for name, entry in _entries(folder).items()}
    task = next((TASKS[name] for name in TASKS if name in found), "BertModel")
    config |= {"model_type": "bert", "architectures": [task]}
    if "classifier.weight" in found:
        config["num_labels"] = (*found["classifier.weight"].shape, 0)[0]
    return config


def names(folder: Path) -> list[str]:
    """The names of the weights, as Hugging Face has them."""
    return [_renamed(name) for name in _entries(folder)]


def read(folder: Path) -> LazyArrays:
    """The weights as Hugging Face has them."""
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
    """The name there; one that is none of BERT's stays, to be named as unexpected."""
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
            f"{folder} has a {CONFIG} and needs one TensorFlow checkpoint beside "
            "it, such as bert_model.ckpt.index. Found: "
            f"{', '.join(prefixes) or 'none'}."
        )
    found = entries(folder / prefixes[0])
    return {n: e for n, e in found.items() if not PASSED_OVER.fullmatch(n)}
