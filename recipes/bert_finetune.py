r"""Fine-tune a BERT to classify texts, tag words or find answers in texts.

    zoo train bert_finetune --encoder all-MiniLM-L6-v2/ --variant sst2 \
        --data-dir data/
    zoo train bert_finetune --encoder ... --variant wikiann --data-dir data/
    zoo train bert_finetune --encoder ... --variant tsv --data-dir my_table/ \
        --text-column sentence --label-column label
    zoo train bert_finetune --smoke                 # nothing needed

The encoder is a preset: a name (`bert_tiny.docs`), an address (`hf://owner/name`), or a
folder in this library's format or Hugging Face's. Every epoch ends with an evaluation
on the validation set. The best epoch is kept and evaluated on the test set, alongside
the majority class and, with `--probe`, a linear probe on the encoder's frozen features.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

import zoo
from zoo.data import LabelledText, TaskDataset, TextBatches, Tokenizer
from zoo.data.small_tasks import function_task
from zoo.data.tasks.texts import texts_of
from zoo.evaluation.text.bert_tasks import BertTask, bert_task, probe_figures
from zoo.evaluation.text.tasks import majority_figures
from zoo.presets.best import BestPreset
from zoo.store.names import PresetName
from zoo.training import ConstantThenLinear
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

from ._shared import EpochsConfig, average, draw_curves, load, replace, smoke


@dataclass(frozen=True)
class Config(EpochsConfig, TextRunConfig):
    """A task, an encoder and its fine-tuning.

    Attributes:
        encoder: preset of the encoder, by name, address or folder; a tiny new encoder
            by default.
        text_column: column of the text in a table (tsv): its name in the header line,
            or its number from 0 in a table without one.
        pair_column: column of the second text; None for single texts.
        label_column: column of the class or value.
        regression: treat the labels of the table as values, and predict those.
        word_column: column of the words in a file of tagged words (conll), counted
            from 0; the first by default.
        tag_column: column of the tags; -1 is the last.
        language: language of xquad.
        length: maximum tokens per sequence; longer ones are truncated, or split into
            windows.
        stride: tokens between the starts of the windows on a question's text.
        dropout: dropout rate of the encoder and the head.
        attention_dropout: dropout rate of attention probabilities.
        epochs: maximum number of passes over the training set.
        learning_rate: peak learning rate, which then decays linearly to zero.
        warmup: fraction of the updates over which the learning rate warms up.
        weight_decay: decoupled weight decay of the matrices.
        clip: maximum global norm of the gradients.
        ema: momentum of the moving average of the weights, which is evaluated and
            saved; 0 for none.
        layer_decay: learning rate of each layer, relative to the layer above it.
        lora_rank: train only the head and low-rank updates of this rank to the frozen
            query and value matrices (LoRA); 0 trains all weights. Hu et al. 2021 use
            it with learning rates from 2e-4 to 5e-4.
        lora_alpha: scale the updates by `lora_alpha` / `lora_rank`; 0 for a scale of 1.
        probe: also fit a linear probe on the frozen features, for comparison.
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


# Flags that only some datasets accept, and the names that their loaders use.
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
    """Trains, keeps the best epoch and tests it; returns the summary."""
    config = smoke(config, epochs=2, length=32, stride=8, batch_size=4)
    run = Run(config)
    data = examples_of(config)
    is_text = isinstance(data.train[0], LabelledText)
    if config.probe and is_text and not data.class_names:
        raise ValueError(f"--probe needs classes; {config.dataset} has values.")
    train = data.train[: config.batch_size] if config.smoke else data.train
    tokenizer = (
        Tokenizer.from_preset(config.encoder)
        if config.encoder is not None
        else Tokenizer.train_wordpiece(texts_of(data.train), 4000)
    )
    run.start({"dataset": data.sha256, "tokenizer": tokenizer.sha256})
    task = task_of(config, data, tokenizer)
    train_rows, held_out = map(task.sequences, (train, data.validation))
    batches = TextBatches(train_rows, config.batch_size, seed=config.seed)
    updates = config.epochs * batches.steps_per_epoch
    model = task.model()
    model.tokenizer = tokenizer
    if config.lora_rank:
        model.enable_lora(config.lora_rank, config.lora_alpha or None)
    model.compile(
        optimizer(config, updates),
        accumulate=config.accumulate,
        layer_decay=config.layer_decay,
    )
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    print(f"training {trainable:,} of {model.count_params():,} parameters")
    best = BestPreset(run, model, task.chosen_by)

    def evaluate() -> dict[str, float]:
        with model.averaged_weights(needed=False):
            found = task.metrics(model, data.validation, held_out)
            best.keep(found)
        return found

    run.fit(
        model,
        batches.batches,
        updates=updates,
        evaluate_every=batches.steps_per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="sequences",
        samples=lambda: task.samples(model, data.validation),
        monitor=f"val_{best.metric}",
        mode="max",
    )
    best.load()
    figures: dict[str, Any] = {
        "best_epoch": best.number,
        f"best_val_{best.metric}": best.score,
        **tested(task, data, model),
    }
    if config.probe:
        figures |= probe_figures(task, data)
    draw_curves(run, {"training": "loss"}, "BERT", unit="loss")
    curve = {"validation": f"val_{best.metric}"}
    draw_curves(run, curve, "BERT", best.metric, unit=best.metric)
    summary = run.finish(
        **figures,
        train_examples=len(train),
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


def optimizer(config: Config, updates: int) -> keras.optimizers.Optimizer:
    """AdamW, with a learning rate that falls linearly to zero."""
    warmup = int(config.warmup * updates)
    return keras.optimizers.AdamW(
        ConstantThenLinear(config.learning_rate, updates, warmup_steps=warmup),
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip,
        **average(config.ema),
    )


def tested(task: BertTask, data: TaskDataset, model: Any) -> dict[str, float]:
    """The metrics on the test set, if it has labels, and of the commonest class."""
    figures = {}
    if data.tested == "test":
        found = task.metrics(model, data.test, task.sequences(data.test))
        figures = {f"test_{name}": value for name, value in found.items()}
    elif data.test:
        print("The test set has no labels: all figures are of the validation set.")
    return figures | majority_figures(data, getattr(data, data.tested))


def examples_of(config: Config) -> TaskDataset:
    """Loads the dataset that `--dataset` names.

    Raises:
        ValueError: a flag was given that this dataset does not accept.
    """
    for dataset, names in OPTIONS.items():
        given = [n for n in names if getattr(config, n) != getattr(SST2, n)]
        if given and dataset != config.dataset:
            flag = given[0].replace("_", "-")
            raise ValueError(
                f"--{flag} is for --dataset {dataset}, not for {config.dataset}."
            )
    if config.smoke and config.data_dir is None:
        return function_task(zoo.data.load("docs"))
    names = OPTIONS.get(config.dataset, {})
    options = {theirs: getattr(config, ours) for ours, theirs in names.items()}
    return load(config, TaskDataset, **options)


def task_of(config: Config, data: TaskDataset, tokenizer: Tokenizer) -> BertTask:
    """The task of a dataset, with the sizes and dropout rates of the configuration."""
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
