r"""Pretrain an ELMo on text, then classify sentences by its features.

    python -m recipes.elmo                              # a small grammar, minutes
    python -m recipes.elmo --variant sst2 --data-dir data/
    python -m recipes.elmo --variant sst2 --data-dir data/ --text docs
    python -m recipes.elmo --variant tsv --data-dir my_table/
    python -m recipes.elmo --characters                 # words by their spelling

First, a forward and a backward language model are trained on sentences: those of the
dataset, or the lines of another text (`--text`). Then the same classifier is trained,
equally long and with several seeds, on a learned mixture of their layers and on the
embeddings alone, where a word is the same in any context. The sentences of the small
grammar differ only in word order.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import zoo
from zoo.data import (
    LabelledText,
    ParallelText,
    Sequences,
    TaskDataset,
    TextBatches,
    TextDataset,
    Tokenizer,
    each_once,
    labelled_sequences,
    spelled_sequences,
)
from zoo.data.small_tasks import word_order
from zoo.engine.current import engine
from zoo.evaluation.confidence import Interval, mean_interval
from zoo.evaluation.images.pictures import loss_curves
from zoo.models.language.elmo import ELMo, ELMoClassifier, ELMoConfig
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

from ._shared import (
    StepsConfig,
    adamw,
    cosine,
    draw_curves,
    evaluation,
    fit_steps,
    replace,
    smoke,
)

PARTS = ("train", "validation", "test")
KINDS = {"elmo": True, "static": False}
# All sentences are padded to one length: loops over tokens are slow to compile.
BUCKETS = 1
# Convolutions of each width, from 1 up: a quarter of the paper's, without its widest.
# Every occurrence of a word is convolved again, much of the cost of an update.
FILTERS = (8, 8, 16, 32, 64)


@dataclass(frozen=True)
class Config(StepsConfig, TextRunConfig):
    """An ELMo, its sentences, and the classifiers on its features.

    Attributes:
        text: name of another dataset to pretrain on, with one sentence per line.
        text_dir: folder of that dataset.
        vocab_size: size of the vocabulary trained on all sentences: WordPiece, or whole
            words with `characters`.
        length: maximum tokens per sentence; longer ones are truncated.
        characters: read words by their spelling, with convolutions over characters.
        word_length: with `characters`, the maximum bytes per word, including two
            boundary marks.
        dropout: dropout rate between the LSTMs, and in the classifiers.
        batch_size: sentences per update, in pretraining and classification.
        accumulate: micro-batches per pretraining batch, whose gradients are
            accumulated.
        steps: number of pretraining updates.
        learning_rate: peak learning rate of pretraining, which then decays to zero
            along a cosine.
        classifiers: classifiers of each kind, each with its own seed; at least two.
        hidden_width: width of the classifiers' hidden layer.
        epochs: passes of each classifier over the training set.
        classifier_rate: constant learning rate of the classifiers.
    """

    dataset: str = "sst2"
    out: Path = Path("runs/elmo")
    text: str = ""
    text_dir: Path | None = None
    model: ELMoConfig = flags(
        ELMoConfig(8000, 2, 128, 0.3), "vocab_size", "num_layers", "width", "dropout"
    )
    length: int = 48
    characters: bool = False
    word_length: int = 20
    batch_size: int = 32
    steps: int = 3000
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    classifiers: int = 3
    hidden_width: int = 128
    epochs: int = 8
    classifier_rate: float = 4e-3


SST2 = Config()
VARIANTS = {
    "demo": replace(
        SST2,
        dataset="animal_sentences",
        vocab_size=300,
        length=24,
        width=64,
        dropout=0.1,
        steps=600,
        eval_every=100,
        hidden_width=32,
        epochs=3,
        classifier_rate=1e-3,
    ),
    "sst2": SST2,
    "tsv": replace(SST2, dataset="tsv"),
}


def main(config: Config) -> dict:
    """Pretrains, classifies and compares; returns the summary."""
    config = smoke(
        config,
        **{"num_layers": 1, "width": 16, "hidden_width": 8, "batch_size": 8},
        **{"steps": 2, "eval_every": 1, "classifiers": 2, "epochs": 1},
    )
    if config.classifiers < 2:
        raise ValueError(f"classifiers must be at least 2, got {config.classifiers}")
    run = Run(config, staged=True)
    data = task_of(config)
    read = {"dataset": data.sha256}
    pretraining = {
        "train": [example.text for example in data.train],
        "validation": [example.text for example in data.validation],
    }
    if config.text:
        text = zoo.data.load(
            config.text, config.text_dir, expect=TextDataset, on_bad=config.on_bad
        )
        pretraining = {part: lines(getattr(text, part)) for part in pretraining}
        read["text"] = text.sha256
    run.start(read, parts=list(classifiers(config)))
    known = [*pretraining["train"], *(example.text for example in data.train)]
    train_tokenizer = (
        Tokenizer.train_words if config.characters else Tokenizer.train_wordpiece
    )
    tokenizer = train_tokenizer(known, config.model.vocab_size)
    train, held_out = (
        unlabelled(config, pretraining[part], tokenizer)
        for part in ("train", "validation")
    )
    model = ELMo(
        replace(
            config.model,
            vocab_size=tokenizer.vocab_size,
            character_filters=FILTERS if config.characters else (),
        )
    )
    model.tokenizer = tokenizer
    model.compile(
        adamw(config, cosine(config, config.steps)), accumulate=config.accumulate
    )
    print(
        f"{model.count_params():,} parameters, {len(train):,} sentences of "
        f"{config.text or config.dataset}, {keras.config.backend()} backend"
    )
    once = [batch for _, batch in each_once(held_out, config.batch_size, BUCKETS)]
    batches = TextBatches(
        train, config.batch_size, num_buckets=BUCKETS, seed=config.seed
    )

    def evaluate() -> dict[str, float]:
        return evaluation(model, iter(once), steps=len(once))()

    size = config.batch_size
    fit_steps(run, config, model, batches.batches, evaluate, size, "sequences")
    preset = run.out / "preset"
    model.save_to_preset(preset)
    curves = {name: f"val_{name}" for name in ("forward", "backward")}
    draw_curves(run, curves, "ELMo")
    figures = compared(config, run, data, tokenizer, preset)
    summary = run.finish(
        **figures,
        parameters=model.count_params(),
        vocab_size=tokenizer.vocab_size,
        dataset=config.dataset,
        dataset_sha256=data.sha256,
        text=config.text,
    )
    print(f"see {run.out}")
    return summary


def task_of(config: Config) -> TaskDataset:
    """Loads labelled sentences; the small grammar is labelled by word order."""
    data = zoo.data.load(
        config.dataset,
        config.data_dir,
        expect=(TaskDataset, ParallelText),
        on_bad=config.on_bad,
    )
    if isinstance(data, ParallelText):
        data = word_order(data)
    if not isinstance(data.train[0], LabelledText) or not data.class_names:
        raise ValueError(
            f"dataset must have classes of texts, got {config.dataset!r}. "
            "Use 'sst2', 'tsv' or 'animal_sentences'."
        )
    if config.smoke:
        first = 4 * config.batch_size
        parts = {part: getattr(data, part)[:first] for part in PARTS}
        data = replace(data, **parts)
    return data


def lines(text: str) -> list[str]:
    """The lines of a text that are not blank."""
    return [line for line in text.splitlines() if line.strip()]


def unlabelled(config: Config, texts: list[str], tokenizer: Tokenizer) -> Sequences:
    """Encodes sentences without classes, from [CLS] to [SEP]."""
    examples = [LabelledText(text, 0) for text in texts]
    return dataclasses.replace(labelled(config, examples, tokenizer), labels=None)


def labelled(
    config: Config, examples: Sequence[LabelledText], tokenizer: Tokenizer
) -> Sequences:
    """Encodes sentences with their classes, by spelling if `characters` is set."""
    if config.characters:
        return spelled_sequences(examples, tokenizer, config.length, config.word_length)
    return labelled_sequences(examples, tokenizer, config.length)


def compared(
    config: Config, run: Run, data: TaskDataset, tokenizer: Tokenizer, preset: Path
) -> dict[str, Any]:
    """Trains both kinds of classifiers; prints, plots and returns their accuracies."""
    tested = data.tested
    parts = {
        part: labelled(config, getattr(data, part), tokenizer)
        for part in dict.fromkeys(("train", "validation", tested))
    }
    curves: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    scores: dict[str, list[float]] = {kind: [] for kind in KINDS}
    mixtures = []
    for name, (kind, seed) in classifiers(config).items():
        own = run.part(name, seed=seed)
        model = classifier(own, config, kind, data, parts, preset)
        curves[kind].append([row["val_accuracy"] for row in own.rows])
        scores[kind].append(accuracy(model, parts[tested]))
        if model.mix is not None:
            mixtures.append(engine().numpy(model.mix.layer_weights()))
        print(f"{kind}, seed {seed}: {tested} accuracy {scores[kind][-1]:.4f}")
    steps = range(1, config.epochs + 1)
    per_epoch = len(parts["train"]) // config.batch_size
    loss_curves(
        run.out / "accuracy.png",
        [per_epoch * step for step in steps],
        {kind: np.mean(values, axis=0).tolist() for kind, values in curves.items()},
        title=f"Classifiers of {config.dataset}, mean of {config.classifiers}",
        unit="validation accuracy",
    )
    shares = np.mean(mixtures, axis=0)
    found: dict[str, Any] = {f"layer_{i}_share": float(x) for i, x in enumerate(shares)}
    print("layer weights: " + "  ".join(f"{share:.3f}" for share in shares))
    for kind, values in scores.items():
        interval: Interval = mean_interval(values)
        print(f"{kind}: {tested} accuracy {interval}")
        found |= {
            f"{kind}_{tested}_accuracy": interval.mean,
            f"{kind}_{tested}_accuracy_half_width": interval.half_width,
            f"{kind}_{tested}_accuracy_std": float(np.std(values, ddof=1)),
        }
    return found


def classifiers(config: Config) -> dict[str, tuple[str, int]]:
    """The kind and seed of each classifier, by the name of its folder."""
    seeds = range(config.seed + 1, config.seed + 1 + config.classifiers)
    return {f"{kind}_{seed}": (kind, seed) for kind in KINDS for seed in seeds}


def classifier(
    run: Run, config: Config, kind: str, data: TaskDataset, parts: dict, preset: Path
) -> ELMoClassifier:
    """Trains a classifier with the run's seed; `run.rows` holds its accuracies."""
    model = ELMoClassifier.from_preset(
        preset,
        num_classes=len(data.class_names),
        class_names=tuple(data.class_names),
        hidden_width=config.hidden_width,
        contextual=KINDS[kind],
    )
    model.compile(keras.optimizers.Adam(config.classifier_rate))
    batches = TextBatches(
        parts["train"], config.batch_size, num_buckets=BUCKETS, seed=run.config.seed
    )
    run.fit(
        model,
        batches.batches,
        updates=config.epochs * batches.steps_per_epoch,
        evaluate_every=batches.steps_per_epoch,
        evaluate=lambda: {"accuracy": accuracy(model, parts["validation"])},
        batch_tokens=config.batch_size,
        unit="sequences",
    )
    return model


def accuracy(model: ELMoClassifier, sequences: Sequences) -> float:
    """The fraction of sequences that are classified correctly."""
    right = 0
    for _, (inputs, classes) in each_once(sequences, 64, BUCKETS):
        found = model.predict_probabilities(inputs).argmax(axis=-1)
        right += int(np.sum(found == classes))
    return right / len(sequences)


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
