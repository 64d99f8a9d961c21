r"""Fine-tune a BERT for a task: classes of texts, tags of words, answers in texts.

    python -m recipes.bert_finetune --encoder all-MiniLM-L6-v2/ --variant sst2 \
        --data-dir data/
    python -m recipes.bert_finetune --encoder ... --variant wikiann --data-dir data/
    python -m recipes.bert_finetune --encoder ... --variant tsv --data-dir my_table/ \
        --text-column sentence --label-column label
    python -m recipes.bert_finetune --smoke                 # nothing needed

The encoder is a preset: a name (`bert_tiny.docs`), an address (`hf://owner/name`), or a
folder, ours or Hugging Face's. Every epoch ends with an evaluation on the validation
part. The best epoch is kept and reported on the test part, beside the majority class
and, with `--probe`, a linear probe on the encoder's frozen features.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import zoo
from recipes._shared import EpochsConfig, average, draw_curves, replace, smoke
from zoo.data import LabelledText, TaskDataset, TextBatches, Tokenizer
from zoo.data.small_tasks import function_task
from zoo.data.tasks.texts import texts_of
from zoo.evaluation.text.bert_tasks import BertTask, bert_task, probe_figures
from zoo.evaluation.text.tasks import majority_figures
from zoo.files.atomic import unchanged
from zoo.presets import weights
from zoo.store.names import PresetName
from zoo.training import ConstantThenLinear
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig


@dataclass(frozen=True)
class Config(EpochsConfig, TextRunConfig):
    """A task, an encoder and the training.

    Attributes:
        encoder: a preset, by name or folder; a tiny new encoder if there is none.
        text_column: of a table (tsv), by its name in the first line, or its number
            from 0 where that line has no names.
        pair_column: of a second text; none where texts are single.
        label_column: of the class, or value.
        regression: the table's labels are values; learn and report on those.
        word_column: of a file of tagged words (conll), by its number from 0; the first
            by default.
        tag_column: of their tags; -1 is the last.
        language: of xquad.
        length: tokens of the longest sequence; longer ones are cut, or windowed.
        stride: tokens between the windows of a question's text.
        dropout: of the encoder and the head.
        attention_dropout: of attention's probabilities.
        epochs: passes over the training part, at most.
        patience: epochs that may pass without a better or equal validation score; 0
            for any number.
        learning_rate: at its peak, from which it falls linearly to zero.
        warmup: share of the updates over which it rises.
        weight_decay: of matrices, decoupled.
        clip: largest global norm of the gradients.
        ema: momentum of the weights' moving average, which is evaluated and kept; 0
            for none.
        layer_decay: each layer's learning rate, as a share of that of the layer above.
        lora_rank: train the head, and products of this rank beside the frozen matrices
            of queries and values; 0 trains all weights. Hu et al. 2021 use learning
            rates from 2e-4 to 5e-4 with it.
        lora_alpha: scales the products by `lora_alpha` / `lora_rank`; 0 for 1.
        probe: also fit a linear probe on frozen features, to compare with.
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


# Flags that only some datasets take, and what their loaders call them.
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


def main(config: Config) -> dict:
    """Trains, keeps the best epoch, tests it; returns the summary."""
    config = smoke(config, epochs=2, length=32, stride=8, batch_size=4)
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
            **average(config.ema),
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
    figures |= majority_figures(data, getattr(data, data.tested))
    if config.probe:
        figures |= probe_figures(task, data)
    draw_curves(run, {"training": "loss"}, "BERT", unit="loss")
    draw_curves(run, {"validation": key}, "BERT", task.chosen_by, unit=task.chosen_by)
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
    """The dataset that `--dataset` names.

    Raises:
        ValueError: a flag was given that this dataset does not take.
    """
    for dataset, names in OPTIONS.items():
        given = [n for n in names if getattr(config, n) != getattr(SST2, n)]
        if given and dataset != config.dataset:
            flag = given[0].replace("_", "-")
            raise ValueError(
                f"--{flag} is for --dataset {dataset}, not for {config.dataset}"
            )
    if config.smoke and config.data_dir is None:
        return function_task(zoo.data.load("docs"))
    names = OPTIONS.get(config.dataset, {})
    options = {theirs: getattr(config, ours) for ours, theirs in names.items()}
    options["on_bad"] = config.on_bad
    return zoo.data.load(config.dataset, config.data_dir, expect=TaskDataset, **options)


def best_of(scores: list[float]) -> int:
    """The epoch of the highest score, counted from 1; the last one if several tie."""
    return len(scores) - int(np.argmax(scores[::-1]))


def task_of(config: Config, data: TaskDataset, tokenizer: Tokenizer) -> BertTask:
    """The task of a dataset, with the sizes and rates of the flags."""
    return bert_task(
        data,
        tokenizer,
        config.encoder,
        length=config.length,
        stride=config.stride,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
    )


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
