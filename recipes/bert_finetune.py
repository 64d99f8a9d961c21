r"""Fine-tune a BERT for a task: classes of texts, tags of words, answers in texts.

    python -m recipes.bert_finetune --encoder all-MiniLM-L6-v2/ --variant sst2 \
        --data-dir data/
    python -m recipes.bert_finetune --encoder ... --variant wikiann --data-dir data/
    python -m recipes.bert_finetune --encoder ... --variant tsv --data-dir my_table/ \
        --text-column sentence --label-column label
    python -m recipes.bert_finetune --smoke                 # nothing needed

The encoder is a preset: a name (`bert_tiny.docs`), an address (`hf://owner/name`), or a
folder, ours or Hugging Face's. What is evaluated after every epoch is validation; the
epoch that did best there is kept, and reported on the test part, beside the majority
class and, with `--probe`, a linear probe on the encoder's frozen features.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import zoo
from zoo.data import (
    LabelledText,
    Question,
    TaggedWords,
    TagPaths,
    TaskDataset,
    TextBatches,
    Tokenizer,
    each_once,
    labelled_sequences,
    question_windows,
    tagged_sequences,
)
from zoo.data.tasks.questions import IMPOSSIBLE
from zoo.evaluation import (
    answer_metrics,
    best_no_answer_threshold,
    classification_metrics,
    entity_metrics,
    linear_probe,
    regression_metrics,
)
from zoo.evaluation.images.pictures import loss_curves
from zoo.files.atomic import unchanged
from zoo.models.bert.backbone import BertConfig, num_segments_of
from zoo.models.bert.tasks import (
    BertClassifier,
    BertClassifierConfig,
    BertSpanQA,
    BertTagger,
    BertTaggerConfig,
)
from zoo.presets import weights
from zoo.store.names import PresetName
from zoo.training import ConstantThenLinear
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig


@dataclass(frozen=True)
class Config(TextRunConfig):
    """A task, an encoder and the training.

    Attributes:
        encoder: a preset, by name or folder; a tiny new encoder if there is none.
        text_column: of a table (tsv), by its name in the first line, or its number
            from 0 where that line has no names.
        pair_column: of a second text; none where texts are single.
        label_column: of the class, or value.
        regression: the table's labels are values; learn and report on those.
        word_column: of a file of tagged words (conll), by its number from 0; the first
            if none is given.
        tag_column: of their tags; -1 is the last.
        language: of xquad.
        length: tokens of the longest sequence; longer ones are cut, or windowed.
        stride: tokens between the windows of a question's text.
        dropout: of the encoder and the head.
        attention_dropout: of attention's probabilities.
        batch_size: sequences an update.
        accumulate: micro-batches that a batch is cut into.
        epochs: passes over the training part, at most.
        patience: epochs without as good a validation before stopping; 0 for never.
        learning_rate: at its peak; it falls linearly to zero.
        warmup: share of the updates in which it rises.
        weight_decay: of matrices, decoupled.
        clip: largest norm of all gradients together.
        ema: momentum of the weights' moving average, which is what is evaluated and
            kept; 0 for none.
        layer_decay: the rate of each layer, as a share of that of the layer above.
        lora_rank: train products of this rank beside the queries' and values' frozen
            matrices, and the head; 0 trains all weights. Hu et al. 2021 take learning
            rates from 2e-4 to 5e-4 with it.
        lora_alpha: the products count `lora_alpha` / `lora_rank` times; 0 for once.
        probe: fit a linear probe on frozen features too, to compare with.
    """

    dataset: str = "sst2"
    out: Path = Path("runs/bert_finetune")
    encoder: PresetName | None = None
    text_column: int | str = 0
    pair_column: int | str | None = None
    label_column: int | str = 1
    regression: bool = False
    word_column: int | None = None
    tag_column: int = -1
    language: str = "en"
    length: int = 128
    stride: int = 64
    dropout: float = 0.1
    attention_dropout: float = 0.1
    batch_size: int = 32
    accumulate: int = 1
    epochs: int = 3
    patience: int = 0
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.0
    layer_decay: float = 1.0
    lora_rank: int = 0
    lora_alpha: float = 0.0
    probe: bool = False


SST2 = Config()
VARIANTS = {
    "sst2": SST2,
    "mrpc": replace(SST2, dataset="mrpc", epochs=5),
    "wikiann": replace(SST2, dataset="wikiann", length=64),
    "xquad": replace(SST2, dataset="xquad", length=256, epochs=10, batch_size=16),
    "squad": replace(SST2, dataset="squad", length=384, stride=128),
    "tsv": replace(SST2, dataset="tsv"),
}


# Flags that some datasets alone take, and what their loaders call them.
OPTIONS = {
    "tsv": {
        "text_column": "text",
        "pair_column": "pair",
        "label_column": "label",
        "regression": "regression",
    },
    "xquad": {"language": "language"},
    "conll": {"word_column": "word", "tag_column": "tag"},
}


@dataclass(frozen=True)
class Task:
    """What differs between tasks.

    Attributes:
        model: makes the model, from an encoder's preset or new.
        sequences: of examples.
        metrics: of a model on examples and their sequences.
        chosen_by: the metric whose highest value is kept.
    """

    model: Callable[[], Any]
    sequences: Callable[[tuple], Any]
    metrics: Callable[[Any, tuple, Any], dict[str, float]]
    chosen_by: str


def main(config: Config) -> dict:
    """Trains, keeps the best epoch, tests it; returns the summary."""
    if config.smoke:
        config = replace(config, epochs=2, length=32, stride=8, batch_size=4)
    run = Run(config)
    data = examples_of(config)
    if (
        config.probe
        and isinstance(data.train[0], LabelledText)
        and not data.class_names
    ):
        raise ValueError(f"--probe needs classes; {config.dataset} has values.")
    train_examples = data.train[: config.batch_size] if config.smoke else data.train
    tokenizer = (
        Tokenizer.from_preset(config.encoder)
        if config.encoder is not None
        else Tokenizer.train_wordpiece(texts_of(data.train), 4000)
    )
    run.start({"dataset": data.sha256, "tokenizer": tokenizer.sha256})
    task = task_of(config, data, tokenizer)
    train, validation = map(task.sequences, (train_examples, data.validation))
    batches = TextBatches(train, config.batch_size, seed=config.seed)
    updates = config.epochs * batches.steps_per_epoch
    model = task.model()
    model.tokenizer = tokenizer
    if config.lora_rank:
        model.enable_lora(config.lora_rank, config.lora_alpha or None)
    schedule = ConstantThenLinear(
        config.learning_rate, updates, warmup_steps=int(config.warmup * updates)
    )
    model.compile(
        keras.optimizers.AdamW(
            schedule,
            weight_decay=config.weight_decay,
            global_clipnorm=config.clip,
            use_ema=config.ema > 0,
            ema_momentum=config.ema or 0.99,
        ),
        accumulate=config.accumulate,
        layer_decay=config.layer_decay,
    )
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    print(f"{trainable:,} of {model.count_params():,} parameters are trained")
    key = f"val_{task.chosen_by}"

    def evaluate() -> dict[str, float]:
        with model.averaged_weights(needed=False):
            found = task.metrics(model, data.validation, validation)
            scores = [*(row[key] for row in run.rows), found[task.chosen_by]]
            if best_of(scores) == len(scores):
                model.save_to_preset(run.out / "preset")
        return found

    def best_epoch() -> int:
        return best_of([row[key] for row in run.rows])

    run.fit(
        model,
        batches.batches,
        updates=updates,
        evaluate_every=batches.steps_per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="sequences",
        stop=lambda: 0 < config.patience <= len(run.rows) - best_epoch(),
    )
    best = run.out / "preset"
    with unchanged(best):
        weights.assign(model, weights.read(best), best)
    figures: dict[str, Any] = {
        "best_epoch": best_epoch(),
        f"best_{key}": run.rows[best_epoch() - 1][key],
    }
    if data.tested == "test":
        found = task.metrics(model, data.test, task.sequences(data.test))
        figures |= {f"test_{name}": value for name, value in found.items()}
    elif data.test:
        print("The test part has no labels: all figures are of validation.")
    figures |= baselines(config, task, data)
    draw(run, key)
    summary = run.finish(
        **figures,
        train_examples=len(train_examples),
        test_examples=len(data.test),
        parameters=model.count_params(),
        trainable_parameters=trainable,
        dataset=config.dataset,
        dataset_sha256=data.sha256,
    )
    for name, value in figures.items():
        print(f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}")
    print(f"see {run.out}")
    return summary


def examples_of(config: Config) -> TaskDataset:
    """The dataset that was asked for.

    Raises:
        ValueError: it does not take all flags that were given.
    """
    for dataset, names in OPTIONS.items():
        given = [n for n in names if getattr(config, n) != getattr(SST2, n)]
        if given and dataset != config.dataset:
            flag = given[0].replace("_", "-")
            raise ValueError(
                f"--{flag} is for --dataset {dataset}, not for {config.dataset}"
            )
    if config.smoke and config.data_dir is None:
        return smoke_data()
    names = OPTIONS.get(config.dataset, {})
    options = {theirs: getattr(config, ours) for ours, theirs in names.items()}
    options["on_bad"] = config.on_bad
    return zoo.data.load(config.dataset, config.data_dir, expect=TaskDataset, **options)


def best_of(scores: list[float]) -> int:
    """The epoch of the highest score, from 1; of equals the last, the most trained."""
    return len(scores) - int(np.argmax(scores[::-1]))


def task_of(config: Config, data: TaskDataset, tokenizer: Tokenizer) -> Task:
    """The task that a dataset's examples are of."""
    rates = {name: getattr(config, name) for name in ("dropout", "attention_dropout")}

    def made(cls: Any, config_class: Any, **fields: Any) -> Callable[[], Any]:
        if config.encoder is not None:
            # A head for other classes makes room for a new one.
            return lambda: cls.from_preset(
                config.encoder, ignore_mismatched=True, **rates, **fields
            )
        new = BertConfig(tokenizer.vocab_size, config.length, 2, 2, 32).__dict__
        return lambda: cls(config_class(**{**new, **rates, **fields}))

    form: dict[str, Any] = {
        "tokenizer": tokenizer,
        "length": config.length,
        "num_segments": num_segments_of(config.encoder),
    }
    names = data.class_names
    match data.train[0]:
        case LabelledText():
            return Task(
                made(
                    BertClassifier,
                    BertClassifierConfig,
                    num_classes=len(names) or 1,
                    class_names=tuple(names),
                ),
                lambda examples: labelled_sequences(examples, **form),
                class_figures if names else value_figures,
                "accuracy" if names else "pearson",
            )
        case TaggedWords():
            return Task(
                made(
                    BertTagger,
                    BertTaggerConfig,
                    num_classes=len(names),
                    class_names=tuple(names),
                ),
                lambda examples: tagged_sequences(examples, tokenizer, config.length),
                functools.partial(
                    tag_figures, names, TagPaths(names, [e.tags for e in data.train])
                ),
                "f1",
            )
        case Question():
            return Task(
                made(BertSpanQA, BertConfig),
                lambda examples: question_windows(
                    examples,
                    **form,
                    stride=config.stride,
                    max_question=config.length // 4,
                ),
                answer_figures,
                "f1",
            )
        case other:
            raise ValueError(f"There is no task of {type(other).__name__}.")


def outputs(sequences: Any, function: Callable) -> list[np.ndarray]:
    """`function(inputs)` of each sequence, padded as its batch is, in their order."""
    found: dict[int, np.ndarray] = {}
    for rows, (inputs, *_) in each_once(sequences, 64):
        for row, value in zip(rows, function(inputs), strict=True):
            found[int(row)] = value
    return [found[row] for row in range(len(sequences))]


def class_figures(model, examples, sequences) -> dict[str, float]:
    """GLUE's, of classes."""
    found = np.array(outputs(sequences, model.predict_probabilities))
    labels = np.array([example.label for example in examples])
    return classification_metrics(labels, found.argmax(axis=-1))


def value_figures(model, examples, sequences) -> dict[str, float]:
    """GLUE's, of values."""
    found = outputs(sequences, lambda x: model.predict(x, verbose=0)[:, 0])
    labels = np.array([example.label for example in examples])
    return regression_metrics(labels, np.array(found))


def tag_figures(names, paths, model, examples, sequences) -> dict[str, float]:
    """CoNLL's, of whole entities; words that were cut off are in none."""
    predicted = []
    for row, shares in enumerate(outputs(sequences, model.predict_probabilities)):
        (words,) = sequences.at_words(np.array([row]), shares[None])
        best = paths.best(np.log(np.maximum(words, 1e-30)))
        cut_off = len(examples[row].tags) - len(best)
        predicted.append([names[tag] for tag in best] + ["O"] * cut_off)
    labels = [[names[tag] for tag in example.tags] for example in examples]
    found = entity_metrics(labels, predicted)
    return {name: found[name] for name in ("precision", "recall", "f1", "macro_f1")}


def answer_figures(model, examples, sequences) -> dict[str, float]:
    """SQuAD's, in percent.

    Where some questions have no answer, none is given if that is likelier than the best
    one; `best_f1` is of the threshold by which it is highest, as SQuAD 2.0's.
    """

    def logits(inputs):
        found = model.predict_logits(inputs)
        both = np.stack([found["start_logits"], found["end_logits"]], axis=1)
        room = sequences.length - both.shape[-1]
        padding = ((0, 0), (0, 0), (0, room))
        return np.pad(both, padding, constant_values=IMPOSSIBLE)

    starts, ends = np.moveaxis(np.array(outputs(sequences, logits)), 1, 0)
    texts, nothing = sequences.answers(starts, ends)
    answers = [example.answers for example in examples]
    if all(answers):
        return answer_metrics(answers, texts)
    best = best_no_answer_threshold(answers, texts, nothing)
    given = [
        text if score <= 0 else "" for text, score in zip(texts, nothing, strict=True)
    ]
    return answer_metrics(answers, given) | {
        "best_exact_match": best.exact_match,
        "best_f1": best.f1,
        "best_f1_threshold": max(best.f1_threshold, float(nothing.min()) - 1),
    }


def baselines(config: Config, task: Task, data: TaskDataset) -> dict[str, float]:
    """The share of the commonest class and, if asked for, the linear probe's figures.

    Both on the part that is reported on.
    """
    test = getattr(data, data.tested)
    found = {}
    if isinstance(test[0], LabelledText) and data.class_names:
        labels = np.array([example.label for example in test])
        known = np.array([example.label for example in data.train])
        found["majority_accuracy"] = float(
            np.mean(labels == np.bincount(known).argmax())
        )
    if config.probe:
        start = task.model()
        frozen = start.batched(start.bert)
        train = task.sequences(data.train)
        probe = linear_probe(lambda inputs: frozen(*start.arrays(inputs)), train)
        figures = task.metrics(probe, test, task.sequences(test))
        found |= {f"probe_{name}": value for name, value in figures.items()}
    return found


def draw(run: Run, key: str) -> None:
    """Training's loss, and validation's score, over the updates."""
    updates = [row["update"] for row in run.rows]
    title = f"BERT on {run.config.dataset} ({run.config.variant})"
    losses = {"training": run.curve("loss")}
    loss_curves(run.out / "loss.png", updates, losses, title=title, unit="loss")
    scores = {"validation": run.curve(key)}
    name = key.removeprefix("val_")
    loss_curves(run.out / f"{name}.png", updates, scores, title=title, unit=name)


def texts_of(examples: tuple) -> list[str]:
    """All text of examples, to train a tokenizer on."""
    found = []
    for example in examples:
        match example:
            case LabelledText():
                found += [example.text, example.pair or ""]
            case TaggedWords():
                found.append(" ".join(example.words))
            case Question():
                found += [example.question, example.context]
    return found


def smoke_data() -> TaskDataset:
    """Paragraphs of Python's manual: do they speak of functions?"""
    docs = zoo.data.load("docs")
    parts = {
        "train": docs.train.split("\n\n")[:200],
        "validation": docs.validation.split("\n\n")[:50],
    }
    examples = {
        part: [LabelledText(text, int("function" in text)) for text in texts]
        for part, texts in parts.items()
    }
    return TaskDataset(
        "docs",
        tuple(examples["train"]),
        tuple(examples["validation"]),
        (),
        ("no", "yes"),
        docs.sha256,
        docs.origin,
        docs.licence,
    )


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
