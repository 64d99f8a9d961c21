"""Build up self-attention step by step, and see what each step contributes.

    zoo train self_attention_tour                   # nothing is downloaded
    zoo train self_attention_tour --variant sst2 --data-dir data/

The steps are those of Peter Bloem's lecture "Transformers from scratch" (2019): token
means weighted by similarity, with nothing learned; scaling by the square root of the
width; queries, keys and values; several heads; positions. Each step is trained from
scratch on one task, with the same budget and seed. In the default task, half of the
class depends on the words, and half only on their order. Writes a chart of the
accuracies, the attention maps of each step, and one folder per step; the last step uses
the run's own folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.data import ParallelText, TaskDataset, Tokenizer
from zoo.data.small_tasks import classified_texts, rest_and_order
from zoo.data.tasks.padded import ArrayBatches, padded_texts
from zoo.evaluation.images.pictures import attention_grid, loss_curves
from zoo.evaluation.tables import print_shares
from zoo.models.language.self_attention import (
    SelfAttentionClassifier,
    SelfAttentionClassifierConfig,
)
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

from ._shared import CosineConfig, cosine, evaluation, fit_steps, load, smoke

# What each step changes in the previous one.
TOUR: dict[str, dict] = {
    "simple": {},
    "scaled": {"attention": "scaled"},
    "learned": {"attention": "learned"},
    "heads": {"num_heads": 4},
    "positions": {"positions": "learned"},
}
*FIRST, LAST = TOUR

ANIMALS = "animal_sentences"


@dataclass(frozen=True)
class Config(CosineConfig, TextRunConfig):
    """A task and the training of each step.

    Attributes:
        length: maximum tokens per text; longer ones are truncated.
        vocab_size: size of the WordPiece vocabulary trained on the texts.
        width: width of the token vectors.
        batch_size: texts per update.
        steps: number of updates per step of the tour.
        warmup_steps: updates of linear warm-up, at most a tenth of `steps`.
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


def main(config: Config) -> dict:
    """Trains all steps and compares them; returns the summary."""
    config = smoke(config, steps=2, eval_every=1, warmup_steps=0, width=16)
    run = Run(config, staged=True)
    data = load(config, TaskDataset, ParallelText)
    data = classified_texts(data, rest_and_order, pairs=False)
    run.start({"dataset": data.sha256}, parts=FIRST)
    tokenizer = Tokenizer.train_wordpiece(
        [example.text for example in data.train], config.vocab_size
    )
    arrays = {
        part: padded_texts(getattr(data, part), tokenizer, config.length)
        for part in ("train", "validation", "test")
        if getattr(data, part)
    }
    tested = arrays.get("test", arrays["validation"])
    # The short text whose attention maps are drawn.
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
        found[step] = figures(config, model, *tested)
        runs[step], maps[step] = own, model.attention_maps(shown)
        if step != LAST:
            own.finish(**found[step], parameters=model.count_params())
    draw(run, runs, maps, [str(tokenizer.id_to_token(i)) for i in shown])
    print_shares(
        {
            step: {name.removeprefix("test_"): share for name, share in row.items()}
            for step, row in found.items()
        },
        f"Self-attention on {config.dataset}, {config.steps} updates",
    )
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


def train(
    run: Run,
    config: Config,
    model: SelfAttentionClassifier,
    arrays: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Trains one step of the tour."""
    model.compile(keras.optimizers.Adam(cosine(config, config.steps)))
    size = config.batch_size
    batches = ArrayBatches(*arrays["train"], batch_size=size, seed=config.seed)
    evaluate = evaluation(model, *arrays["validation"], batch_size=100)
    fit_steps(run, config, model, batches.batches, evaluate, size, "sequences")


def figures(config: Config, model: Any, ids, classes) -> dict[str, float]:
    """Accuracy, for animals also of each half of the class."""
    best = model.predict(ids, batch_size=100, verbose=0).argmax(axis=1)
    right = {"accuracy": best == classes}
    if config.dataset == ANIMALS:
        right["words"] = best // 2 == classes // 2
        right["order"] = best % 2 == classes % 2
    return {f"test_{name}": float(rows.mean()) for name, rows in right.items()}


def draw(run: Run, runs: Mapping[str, Run], maps, tokens: Sequence[str]) -> None:
    """Plots accuracies against updates, and one row of attention maps per step."""
    loss_curves(
        run.out / "accuracy.png",
        [row["update"] for row in run.rows],
        {step: own.curve("val_accuracy") for step, own in runs.items()},
        title=f"The tour on {run.config.dataset}",
        unit="validation accuracy",
    )
    attention_grid(run.out / "attention.png", maps, tokens)


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
