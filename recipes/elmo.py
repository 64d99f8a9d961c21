r"""Pretrain an ELMo on text, then classify sentences by its features.

    zoo train elmo                              # a small grammar, minutes
    zoo train elmo --variant sst2 --data-dir data/
    zoo train elmo --variant sst2 --data-dir data/ --text docs
    zoo train elmo --variant tsv --data-dir my_table/
    zoo train elmo --characters                 # words by their spelling

First, a forward and a backward language model are trained on sentences: those of the
dataset, or the lines of another text (`--text`). Then the same classifier is trained,
equally long and with several seeds, on a learned mixture of their layers and on the
embeddings alone, where a word is the same in any context. The sentences of the small
grammar differ only in word order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
from zoo.data.small_tasks import classified_texts, word_order
from zoo.engine.current import engine
from zoo.evaluation.repeated import RepeatedScores
from zoo.evaluation.text.shown import GuessedWords
from zoo.evaluation.text.tasks import accuracy
from zoo.models.language.elmo import ELMo, ELMoClassifier, ELMoConfig
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

from ._shared import (
    StepsConfig,
    adamw,
    announce,
    cosine,
    draw_curves,
    evaluation_of_batches,
    fit_steps,
    load,
    replace,
    smoke,
)

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
        raise ValueError(f"classifiers must be at least 2, got {config.classifiers}.")
    run = Run(config, staged=True)
    data = load(config, TaskDataset, ParallelText)
    data = classified_texts(data, word_order)
    if config.smoke:
        data = data.first(4 * config.batch_size)
    train, held_out, hashes = sentences(config, data)
    run.start(hashes, parts=list(classifiers(config)))

    labelled = [example.text for example in data.train]
    learn = Tokenizer.train_words if config.characters else Tokenizer.train_wordpiece
    tokenizer = learn([*train, *labelled], config.model.vocab_size)
    model = pretrain(run, config, tokenizer, train, held_out)
    figures = compare(run, config, data, tokenizer)
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


def sentences(
    config: Config, data: TaskDataset
) -> tuple[list[str], list[str], dict[str, str]]:
    """Sentences to pretrain and to evaluate on, and the hashes of all data."""
    hashes = {"dataset": data.sha256}
    if not config.text:
        train, held_out = (
            [example.text for example in part] for part in (data.train, data.validation)
        )
        return train, held_out, hashes
    text = zoo.data.load(
        config.text, config.text_dir, expect=TextDataset, on_bad=config.on_bad
    )
    train, held_out = (
        [line for line in part.splitlines() if line.strip()]
        for part in (text.train, text.validation)
    )
    return train, held_out, {**hashes, "text": text.sha256}


def encoded(
    config: Config, examples: Sequence[LabelledText], tokenizer: Tokenizer
) -> Sequences:
    """Encodes sentences from [CLS] to [SEP], by spelling if `characters` is set."""
    if config.characters:
        return spelled_sequences(examples, tokenizer, config.length, config.word_length)
    return labelled_sequences(examples, tokenizer, config.length)


def pretrain(
    run: Run,
    config: Config,
    tokenizer: Tokenizer,
    train: Sequence[str],
    held_out: Sequence[str],
) -> ELMo:
    """Trains the two language models, and saves them as the run's preset."""
    train_rows, held_out_rows = (
        encoded(config, [LabelledText(text, None) for text in part], tokenizer)
        for part in (train, held_out)
    )
    model = ELMo(
        replace(
            config.model,
            vocab_size=tokenizer.vocab_size,
            character_filters=FILTERS if config.characters else (),
            word_length=config.word_length,
        )
    )
    model.tokenizer = tokenizer
    model.compile(
        adamw(config, cosine(config, config.steps)), accumulate=config.accumulate
    )
    announce(model, f"{len(train):,} sentences of {config.text or config.dataset}")
    size = config.batch_size
    batches = TextBatches(train_rows, size, num_buckets=BUCKETS, seed=config.seed)
    once = [batch for _, batch in each_once(held_out_rows, size, BUCKETS)]
    evaluate = evaluation_of_batches(model, once)
    shown = GuessedWords(model, held_out_rows)
    fit_steps(
        run, config, model, batches.batches, evaluate, size, "sequences", samples=shown
    )
    model.save_to_preset(run.out / "preset")
    curves = {name: f"val_{name}" for name in ("forward", "backward")}
    draw_curves(run, curves, "ELMo")
    return model


def classifiers(config: Config) -> dict[str, tuple[str, int]]:
    """The kind and seed of each classifier, by the name of its folder."""
    seeds = range(config.seed + 1, config.seed + 1 + config.classifiers)
    return {f"{kind}_{seed}": (kind, seed) for kind in KINDS for seed in seeds}


def compare(
    run: Run, config: Config, data: TaskDataset, tokenizer: Tokenizer
) -> dict[str, float]:
    """Trains both kinds of classifiers; prints, plots and returns their accuracies."""
    tested = data.tested
    parts = {
        part: encoded(config, getattr(data, part), tokenizer)
        for part in {"train", "validation", tested}
    }
    compared = RepeatedScores(f"{tested}_accuracy")
    mixtures = []
    for name, (kind, seed) in classifiers(config).items():
        own = run.part(name, seed=seed)
        model = ELMoClassifier.from_preset(
            run.out / "preset",
            num_classes=len(data.class_names),
            class_names=tuple(data.class_names),
            hidden_width=config.hidden_width,
            contextual=KINDS[kind],
        )
        classify(own, config, model, parts["train"], parts["validation"])
        score = accuracy(model, parts[tested], BUCKETS)
        compared.add(kind, score, [row["val_accuracy"] for row in own.rows])
        if model.mix is not None:
            mixtures.append(engine().numpy(model.mix.layer_weights()))
        print(f"{kind}, seed {seed}: {tested} accuracy {score:.4f}")
    compared.draw(
        run.out / "accuracy.png",
        [row["update"] for row in own.rows],
        f"Classifiers of {config.dataset}, mean of {config.classifiers}",
        "validation accuracy",
    )
    shares = np.mean(mixtures, axis=0)
    print("layer weights: " + "  ".join(f"{share:.3f}" for share in shares))
    for kind, interval in compared.intervals().items():
        print(f"{kind}: {tested} accuracy {interval}")
    layers = {f"layer_{i}_share": float(share) for i, share in enumerate(shares)}
    return layers | compared.figures()


def classify(
    run: Run,
    config: Config,
    model: ELMoClassifier,
    train: Sequences,
    validation: Sequences,
) -> None:
    """Trains a classifier with the run's seed; `run.rows` holds its accuracies."""
    model.compile(keras.optimizers.Adam(config.classifier_rate))
    size, seed = config.batch_size, run.config.seed
    batches = TextBatches(train, size, num_buckets=BUCKETS, seed=seed)
    run.fit(
        model,
        batches.batches,
        updates=config.epochs * batches.steps_per_epoch,
        evaluate_every=batches.steps_per_epoch,
        evaluate=lambda: {"accuracy": accuracy(model, validation, BUCKETS)},
        batch_tokens=size,
        unit="sequences",
        monitor="val_accuracy",
        mode="max",
    )


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
