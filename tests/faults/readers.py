"""Every reader of files, what it reads, and which files are mutated."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zoo
from tests.faults import mutations, seeds
from zoo import catalog
from zoo.data import datasets
from zoo.data.images import idx, pictures, unpaired
from zoo.data.tasks import conll, squad, tsv
from zoo.data.translation import parallel_texts as parallel
from zoo.evaluation.trainings import Trainings
from zoo.files import tensorflow_files
from zoo.files.stored_arrays import of_file
from zoo.files.torch_files import read_state_dict
from zoo.formats.authors import bert as tensorflow_bert
from zoo.formats.authors.cyclegan import load_translator
from zoo.formats.keras_hub import reading as keras_hub
from zoo.presets import registry, weights
from zoo.store.manifest import Manifest
from zoo.training.runs.checkpoint import Resume


@dataclass(frozen=True)
class Reader:
    """A reader, its input, and how to mutate it.

    Attributes:
        read: reads the path of `place`.
        place: a file or folder among the seeds.
        files: files in `place` to mutate; empty for `place` itself.
        mutate: the function that mutates a file.
    """

    read: Callable[[Path], Any]
    place: str
    files: tuple[str, ...] = ()
    mutate: mutations.Mutation = mutations.of_bytes


def _arrays(arrays: Any) -> None:
    for name in arrays:
        np.asarray(arrays[name]).sum()


def _tensorflow(folder: Path) -> None:
    for entry in tensorflow_files.entries(folder / "bert_model.ckpt").values():
        entry.array().sum()


def _tokenizer(path: Path) -> None:
    tokenizer = zoo.Tokenizer.load(path)
    tokenizer.decode(tokenizer.encode(seeds.TEXT))


def _picture(path: Path) -> None:
    pictures.decode([pictures.Picture(path, str(path), 0)], 8, 3)


def _parallel(path: Path) -> Any:
    return parallel.load_parallel(path, source="en", target="de")


def _tokens(path: Path) -> Any:
    return np.asarray(zoo.data.read_tokens(path)).sum()


class _Checkpoint:
    """Reads checkpoints into a model that is built once."""

    model: Any = None

    def __call__(self, path: Path) -> Any:
        if self.model is None:
            self.model = seeds.vae()
            self.model.optimizer.build([*self.model.trainable_variables])
        return Resume(path, self.model).extra


JSON, TEXT = mutations.of_json, mutations.of_text

# Slow readers first: the tries that they leave go to the others.
READERS = {
    "manifest, preset": Reader(
        zoo.from_preset, "listed", ("manifest.toml", "config.json", "model.safetensors")
    ),
    "preset of GPT": Reader(zoo.from_preset, "gpt", ("config.json",), JSON),
    "preset of VAE": Reader(zoo.from_preset, "vae", ("config.json",), JSON),
    "preset of BERT": Reader(zoo.from_preset, "bert", ("config.json",), JSON),
    "weights of GPT": Reader(
        zoo.from_preset, "gpt", ("model.safetensors",), mutations.of_safetensors
    ),
    "Hugging Face, whole": Reader(zoo.from_preset, "hf_bert", ("config.json",), JSON),
    "Keras Hub's weights": Reader(
        keras_hub.read, "keras_hub", ("model.weights.h5", "task.weights.h5")
    ),
    "safetensors": Reader(
        lambda path: _arrays(of_file(path)),
        "vae/model.safetensors",
        mutate=mutations.of_safetensors,
    ),
    "checkpoint": Reader(
        _Checkpoint(), "checkpoint.safetensors", mutate=mutations.of_safetensors
    ),
    "checkpoint, no checksum": Reader(
        _Checkpoint(), "unsigned.safetensors", mutate=mutations.of_safetensors
    ),
    "manifest": Reader(
        lambda path: Manifest.read(path).verify(),
        "listed",
        ("manifest.toml",),
        mutations.of_toml,
    ),
    **{
        f"config {name}": Reader(
            registry.find, f"configs/{name}", ("config.json",), JSON
        )
        for name in catalog.architectures()
    },
    "Hugging Face GPT-2": Reader(registry.find, "hf_gpt2", ("config.json",), JSON),
    "Hugging Face BERT": Reader(registry.find, "hf_bert", ("config.json",), JSON),
    "weights in parts": Reader(
        lambda path: _arrays(weights.read(path)),
        "parts",
        ("model.safetensors.index.json",),
        JSON,
    ),
    "Keras Hub": Reader(registry.find, "keras_hub", ("config.json", "task.json"), JSON),
    "BERT's authors'": Reader(
        tensorflow_bert.settings, "google", ("bert_config.json",), JSON
    ),
    "TensorFlow index": Reader(_tensorflow, "google", ("bert_model.ckpt.index",)),
    "TensorFlow numbers": Reader(
        _tensorflow, "google", ("bert_model.ckpt.data-00000-of-00001",)
    ),
    "pth, zip": Reader(lambda path: _arrays(read_state_dict(path)), "new.pth"),
    "pth, old": Reader(lambda path: _arrays(read_state_dict(path)), "old.pth"),
    "pth of CycleGAN": Reader(load_translator, "new.pth"),
    "tokenizer.json, pairs": Reader(_tokenizer, "gpt", ("tokenizer.json",), JSON),
    "tokenizer.json, pieces": Reader(_tokenizer, "bert", ("tokenizer.json",), JSON),
    "vocab.txt": Reader(_tokenizer, "words", ("vocab.txt",), TEXT),
    "tokenizer_config.json": Reader(
        _tokenizer, "words", ("tokenizer_config.json",), JSON
    ),
    "added_tokens.json": Reader(
        _tokenizer,
        "older_words",
        ("added_tokens.json", "special_tokens_map.json"),
        JSON,
    ),
    "vocab.json": Reader(_tokenizer, "pairs", ("vocab.json",), JSON),
    "merges.txt": Reader(_tokenizer, "pairs", ("merges.txt",), TEXT),
    "Keras Hub's tokenizer": Reader(
        _tokenizer,
        "keras_hub",
        ("tokenizer.json", "assets/tokenizer/vocabulary.txt"),
        mutations.of_bytes,
    ),
    "IDX": Reader(lambda path: idx.read_idx(path, 3), "images.idx"),
    "IDX, gzip": Reader(lambda path: idx.read_idx(path, 3), "images.gz"),
    **{f"picture, {k}": Reader(_picture, f"picture.{k}") for k in seeds.PICTURES},
    "zip of pictures": Reader(
        lambda path: unpaired.load_unpaired(path, 8), "unpaired.zip"
    ),
    "token file": Reader(_tokens, "tokens.npy"),
    "TSV": Reader(
        tsv.load_tsv, "tsv", tuple(f"{part}.tsv" for part in seeds.PARTS), TEXT
    ),
    "CoNLL": Reader(
        conll.load_conll, "conll", tuple(f"{part}.conll" for part in seeds.PARTS), TEXT
    ),
    "SQuAD": Reader(
        squad.load_squad, "squad", ("train-v1.1.json", "dev-v1.1.json"), JSON
    ),
    "parallel text": Reader(_parallel, "parallel", tuple(seeds.SIDES), TEXT),
    "text": Reader(datasets.load_text, "text", ("a.txt",), TEXT),
    "trainings": Reader(Trainings.read, "trainings.csv", mutate=TEXT),
}
