"""Build attention up, an option at a time, and see what each is good for.

    python -m recipes.self_attention_tour                   # nothing is downloaded
    python -m recipes.self_attention_tour --variant sst2 --data-dir data/

The steps are those of Peter Bloem's lecture "Transformers from scratch" (2019): means
of tokens weighted by how alike they are, without anything learned; divided by the root
of the width; with queries, keys and values; with several heads; with positions. Each is
trained anew on one task, with the same budget and seed. In the default task half of a
class is said by the words, and half by nothing but their order. Leaves a picture of the
accuracies, one of where each step looks, and a folder a step; that of the last step is
the run's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import zoo
from zoo.data import LabelledText, TaskDataset, Tokenizer
from zoo.data.epochs import EpochBatches
from zoo.data.translation.animal_sentences import WHEN
from zoo.evaluation.images.pictures import loss_curves, save_figure
from zoo.models.language.self_attention import (
    SelfAttentionClassifier,
    SelfAttentionClassifierConfig,
)
from zoo.training import WarmupCosine
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

# What each step changes in the one before it.
TOUR: dict[str, dict] = {
    "simple": {},
    "scaled": {"attention": "scaled"},
    "learned": {"attention": "learned"},
    "heads": {"num_heads": 4},
    "positions": {"positions": "learned"},
}
*FIRST, LAST = TOUR

ANIMALS = "animal_sentences"
AT_REST = ("sleep", "sit", "wait")


@dataclass(frozen=True)
class Config(TextRunConfig):
    """A task and the training of each step.

    Attributes:
        length: tokens of the longest text; longer ones lose their ends.
        vocab_size: of the WordPiece that is trained on the texts.
        width: of the tokens' vectors.
        batch_size: texts an update.
        steps: updates of each step of the tour.
        learning_rate: at its peak.
        final_learning_rate: at the end of the cosine.
        warmup_steps: of a linear warm-up.
        eval_every: updates between evaluations and checkpoints.
    """

    dataset: str = ANIMALS
    out: Path = Path("runs/self_attention_tour")
    length: int = 24
    vocab_size: int = 500
    width: int = 64
    batch_size: int = 32
    steps: int = 600
    learning_rate: float = 3e-3
    final_learning_rate: float = 1e-4
    warmup_steps: int = 50
    eval_every: int = 50


VARIANTS = {
    "animals": Config(),
    "sst2": Config(dataset="sst2", length=48, vocab_size=8000, learning_rate=1e-3),
}


class TextRows(EpochBatches):
    """Texts (N, T) and their classes (N,), in another order every epoch."""

    def __init__(self, ids, classes, batch_size: int, seed: int) -> None:
        super().__init__(len(ids), batch_size, seed)
        self.ids, self.classes = ids, classes

    def _draw(self, rows, rng):
        return self.ids[rows], self.classes[rows]


def main(config: Config) -> dict:
    """Trains all steps, shows them side by side; returns the summary."""
    if config.smoke:
        config = replace(config, steps=2, eval_every=1, warmup_steps=0, width=16)
    run = Run(config, staged=True)
    data = animals() if config.dataset == ANIMALS else loaded(config)
    run.start({"dataset": data.sha256}, parts=FIRST)
    tokenizer = Tokenizer.train_wordpiece(
        [example.text for example in data.train], config.vocab_size
    )
    arrays = {
        part: rows_of(getattr(data, part), tokenizer, config.length)
        for part in ("train", "validation", "test")
        if getattr(data, part)
    }
    # A short text, to look into.
    text = min((e.text for e in data.validation), key=lambda text: abs(len(text) - 50))
    shown = tokenizer.encode(text)[: config.length]
    fields: dict = {}
    runs, maps, found = {}, {}, {}
    for step, changes in TOUR.items():
        fields |= changes
        own = run if step == LAST else run.part(step)
        model = SelfAttentionClassifier(
            SelfAttentionClassifierConfig(
                vocab_size=tokenizer.vocab_size,
                context_length=config.length,
                num_classes=len(data.class_names),
                class_names=tuple(data.class_names),
                width=config.width,
                pad_id=tokenizer.pad_id,
                **fields,
            )
        )
        model.tokenizer = tokenizer
        train(own, config, model, arrays)
        model.save_to_preset(own.out / "preset")
        tested = arrays.get("test", arrays["validation"])
        found[step] = figures(config, model, *tested)
        runs[step], maps[step] = own, model.attention_maps(shown)
        if step != LAST:
            own.finish(**found[step], parameters=model.count_params())
    draw(run, runs, maps, [str(tokenizer.id_to_token(i)) for i in shown])
    Console().print(table(config, found))
    summary = run.finish(
        **found[LAST],
        **{f"{step}_accuracy": row["test_accuracy"] for step, row in found.items()},
        seconds=round(sum(run.seconds for run in runs.values()), 2),
        parameters=model.count_params(),
        vocab_size=tokenizer.vocab_size,
        dataset=config.dataset,
        dataset_sha256=data.sha256,
    )
    print(f"see {config.out}")
    return summary


def train(run: Run, config: Config, model, arrays: Mapping[str, tuple]) -> None:
    """One step of the tour."""
    schedule = WarmupCosine(
        config.learning_rate,
        config.steps,
        warmup_steps=min(config.warmup_steps, config.steps // 10),
        final=config.final_learning_rate,
    )
    model.compile(keras.optimizers.Adam(schedule))
    ids, classes = arrays["train"]
    batches = TextRows(ids, classes, config.batch_size, config.seed)
    run.fit(
        model,
        batches.batches,
        updates=config.steps,
        evaluate_every=config.eval_every,
        evaluate=lambda: model.evaluate(
            *arrays["validation"], batch_size=100, verbose=0, return_dict=True
        ),
        batch_tokens=config.batch_size,
        unit="sequences",
    )


def animals() -> TaskDataset:
    """Are the animals at rest, and does the sentence begin with the time?

    The same words make sentences that begin with the time and such that do not.
    """
    sentences = zoo.data.load(ANIMALS)
    times = tuple(time.lower() for time, _ in WHEN)

    def examples(pairs: Sequence[tuple[str, str]]) -> tuple[LabelledText, ...]:
        return tuple(
            LabelledText(
                text,
                2 * (not any(f" {verb}" in text for verb in AT_REST))
                + text.lower().startswith(times),
            )
            for text, _ in pairs
        )

    return TaskDataset(
        ANIMALS,
        examples(sentences.train),
        examples(sentences.validation),
        examples(sentences.test),
        ("at rest", "at rest, time first", "busy", "busy, time first"),
        sentences.sha256,
        sentences.origin,
        sentences.licence,
    )


def loaded(config: Config) -> TaskDataset:
    """Labelled texts by name."""
    data = zoo.data.load(
        config.dataset, config.data_dir, expect=TaskDataset, on_bad=config.on_bad
    )
    example = data.train[0]
    if not isinstance(example, LabelledText) or example.pair or not data.class_names:
        raise ValueError(
            f"The tour is of classes of single texts, which {config.dataset!r} has not."
        )
    return data


def rows_of(
    examples: Sequence[LabelledText], tokenizer: Tokenizer, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Padded ids (N, T) and classes (N,), int32."""
    encoded = tokenizer.encode_batch([example.text for example in examples])
    ids = np.full((len(examples), length), tokenizer.pad_id, "int32")
    for row, tokens in zip(ids, encoded, strict=True):
        row[: len(tokens)] = tokens[:length]
    return ids, np.array([example.label for example in examples], "int32")


def figures(config: Config, model, ids, classes) -> dict[str, float]:
    """The share of texts with the right class and, of animals, with either half."""
    best = model.predict(ids, batch_size=100, verbose=0).argmax(axis=1)
    right = {"accuracy": best == classes}
    if config.dataset == ANIMALS:
        right["words"], right["order"] = (
            best // 2 == classes // 2,
            best % 2 == classes % 2,
        )
    return {f"test_{name}": float(rows.mean()) for name, rows in right.items()}


def table(config: Config, found: Mapping[str, Mapping[str, float]]) -> Table:
    """The figures of each step."""
    made = Table(title=f"Self-attention on {config.dataset}, {config.steps} updates")
    made.add_column("step")
    names = list(found[LAST])
    for name in names:
        made.add_column(name.removeprefix("test_"), justify="right")
    for step, row in found.items():
        made.add_row(step, *(f"{row[name]:.1%}" for name in names))
    return made


def draw(run: Run, runs: Mapping[str, Run], maps, tokens: Sequence[str]) -> None:
    """The pictures: accuracies over updates, and a row of maps a step."""
    loss_curves(
        run.out / "accuracy.png",
        [row["update"] for row in run.rows],
        {step: own.curve("val_accuracy") for step, own in runs.items()},
        title=f"The tour on {run.config.dataset}",
        unit="validation accuracy",
    )
    columns = max(len(heads) for heads in maps.values())
    figure = Figure(figsize=(2.6 * columns + 1, 2.6 * len(maps)), layout="constrained")
    places = range(len(tokens))
    for number, (step, heads) in enumerate(maps.items()):
        for head, shares in enumerate(heads):
            axes = figure.add_subplot(len(maps), columns, number * columns + head + 1)
            axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
            axes.set_xticks(places, tokens if number == 0 else [], rotation=90)
            axes.set_yticks(places, tokens if head == 0 else [])
            axes.tick_params(length=0, labelsize=7, labeltop=True, labelbottom=False)
            name = step if len(heads) == 1 else f"{step}, head {head + 1}"
            axes.set_title(name, fontsize=9)
    save_figure(figure, run.out / "attention.png")


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
