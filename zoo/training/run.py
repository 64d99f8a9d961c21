"""What every training run of a recipe has in common.

A run has a folder. It holds `config.json`, `metrics.jsonl` (a line an evaluation),
`checkpoint.safetensors` (for `--resume`), and at the end pictures, `summary.json` and
`preset/`.
"""

import dataclasses
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import keras

from zoo.data.atomic_files import replacing
from zoo.data.text_files import OnBad
from zoo.distribution import use
from zoo.presets.names import check_names
from zoo.training.checkpoint import Resume, save_checkpoint
from zoo.training.engine import engine

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
C = TypeVar("C", bound="RunConfig")


@dataclass(frozen=True)
class RunConfig:
    """The flags that every recipe takes.

    Attributes:
        variant: a named configuration; other flags override it.
        dataset: what to train on, by name.
        data_dir: where a local dataset lies.
        out: the run's folder.
        precision: of the computation; weights are kept in float32.
        mesh_data: devices that share each batch; -1 for all there are.
        mesh_model: devices that share each weight.
        shard_parameters: cut weights and optimizer state along the data axis too.
        seed: of weights, order of the data, dropout and samples.
        resume: go on from the checkpoint in `out`.
        smoke: two updates of a tiny model, to see that everything works.
    """

    variant: str = ""
    dataset: str = ""
    data_dir: Path | None = None
    out: Path = Path("runs/run")
    precision: Precision = "float32"
    mesh_data: int = 1
    mesh_model: int = 1
    shard_parameters: bool = False
    seed: int = 0
    resume: bool = False
    smoke: bool = False


@dataclass(frozen=True)
class TextRunConfig(RunConfig):
    """The flags of a recipe that reads text or tables.

    Attributes:
        on_bad: of lines or questions that can't be used: stop at the first, or skip
            them and say how many.
    """

    on_bad: OnBad = "error"


def parse(
    variants: Mapping[str, C], description: str, args: list[str] | None = None
) -> C:
    """A configuration from the command line: a variant, and flags that override it."""
    import tyro

    args = sys.argv[1:] if args is None else args
    first = next(iter(variants))
    chosen = first
    for index, arg in enumerate(args):
        if arg == "--variant" and index + 1 < len(args):
            chosen = args[index + 1]
        elif arg.startswith("--variant="):
            chosen = arg.split("=", 1)[1]
    if chosen not in variants:
        sys.exit(
            f"There is no variant {chosen!r}. The variants are: {', '.join(variants)}."
        )
    listing = "\n".join(f"  {name}" for name in variants)
    config = tyro.cli(
        type(variants[chosen]),
        default=dataclasses.replace(variants[chosen], variant=chosen),
        args=args,
        description=f"{description}\n\nVariants (default {first}):\n{listing}\n\n"
        f"The defaults below are those of variant {chosen}.",
    )
    try:
        check_names(config)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    return config


class Run:
    """A training run in a folder: started, evaluated, checkpointed, summed up."""

    def __init__(self, config: RunConfig) -> None:
        self.config, self.out = config, Path(config.out)
        self.checkpoint = self.out / "checkpoint.safetensors"
        asked, mesh = (config.mesh_data, config.mesh_model), engine().mesh
        if asked != (1, 1) and mesh.size == 1:
            self.devices = use(*asked, shard_parameters=config.shard_parameters)
        # A recipe of several runs has the devices in use since the first.
        elif asked not in ((1, 1), (mesh.data, mesh.model)) and -1 not in asked:
            raise ValueError(
                f"mesh_data={asked[0]} and mesh_model={asked[1]} are asked for, but "
                f"{mesh} is in use. Ask for the same."
            )
        if not engine().is_main:
            # One of several processes speaks and writes; the others do all the same
            # work, since gathering takes them all, and keep nothing of it.
            self._nowhere = tempfile.TemporaryDirectory()
            self.out = Path(self._nowhere.name)
            sys.stdout = open(os.devnull, "w")
        if config.resume and not self.checkpoint.exists():
            raise FileNotFoundError(
                f"There is no checkpoint to resume from in {config.out}. Leave "
                "--resume out to start anew."
            )
        keras.utils.set_random_seed(config.seed)
        keras.config.set_dtype_policy(config.precision)
        self.seconds = 0.0
        self.rows: list[dict[str, Any]] = []
        settings = {
            **dataclasses.asdict(config),
            "backend": keras.config.backend(),
            "python": platform.python_version(),
            "keras": keras.__version__,
        }
        self.write_json("config.json", settings)

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file of the run's folder, whole or not at all."""
        text = json.dumps(value, indent=2, default=str) + "\n"
        with replacing(self.out / name) as file:
            file.write(text.encode())

    def fit(
        self,
        model,
        batches,
        *,
        updates: int,
        evaluate_every: int,
        evaluate,
        batch_tokens: int,
        unit: Literal["tokens", "images", "sequences"] = "tokens",
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Trains to `updates`, from the checkpoint if asked to resume.

        Args:
            model: compiled.
            batches: gives the endless batches from an update number on.
            updates: the total, also when resuming.
            evaluate_every: updates between evaluations and checkpoints.
            evaluate: gives a dict of metrics; they are logged as `val_...`.
            batch_tokens: tokens (images, sequences) an update, for the throughput.
            unit: what it counts, for the throughput's name.
            stop: asked after each evaluation whether to end early; it sees `rows`. A
                run that is resumed where it had ended does not go on.
        """
        if updates % evaluate_every:
            raise ValueError(
                f"steps={updates} must be a multiple of eval_every={evaluate_every}, "
                "so that the last update is evaluated."
            )
        callbacks: list[keras.callbacks.Callback] = []
        if self.config.resume:
            resume = Resume(self.checkpoint, model)
            self.rows, self.seconds = resume.extra["rows"], resume.extra["seconds"]
            callbacks.append(resume)
            if stop():
                return
        start = int(engine().numpy(model.optimizer.iterations))
        callbacks.append(_Logger(self, evaluate, batch_tokens, unit, stop))
        model.fit(
            batches(start),
            steps_per_epoch=evaluate_every,
            initial_epoch=start // evaluate_every,
            epochs=updates // evaluate_every,
            callbacks=callbacks,
            verbose=2 if not sys.stdout.isatty() else 1,
        )

    def save(self, model) -> None:
        """Writes the checkpoint and the metrics so far."""
        save_checkpoint(self.checkpoint, model, rows=self.rows, seconds=self.seconds)
        self.write_metrics()

    def write_metrics(self) -> None:
        """Writes the metrics so far, a line an evaluation."""
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        with replacing(self.out / "metrics.jsonl") as file:
            file.write(lines.encode())

    def curve(self, name: str) -> list[float | None]:
        """A metric over all evaluations so far."""
        return [row.get(name) for row in self.rows]

    def finish(self, **figures: Any) -> dict[str, Any]:
        """Writes and returns the summary: final metrics, speed, memory, origin."""
        last = {k: v for k, v in self.rows[-1].items() if k != "update"}
        peak = engine().peak_memory()
        if peak is None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        summary = {
            **last,
            "steps": self.rows[-1]["update"],
            "seconds": round(self.seconds, 2),
            "peak_memory_bytes": peak,
            "backend": keras.config.backend(),
            "precision": self.config.precision,
            "seed": self.config.seed,
            "mesh_data": engine().mesh.data,
            "mesh_model": engine().mesh.model,
            **figures,
        }
        self.write_json("summary.json", summary)
        return summary


class _Logger(keras.callbacks.Callback):
    """Evaluates, logs and checkpoints at the end of every epoch."""

    def __init__(self, run: Run, evaluate, batch_tokens: int, unit: str, stop) -> None:
        super().__init__()
        self.run, self.evaluate_fn, self.stop = run, evaluate, stop
        self.batch_tokens, self.unit = batch_tokens, unit
        self.updates, self.counted = 0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._start = self._first_done = time.perf_counter()
        self.updates = 0

    def on_train_batch_end(self, batch, logs=None):
        self.updates += 1
        if self.updates == 1:
            # The first update of an epoch may compile; it is not counted for speed.
            self._first_done = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.run.seconds += now - self._start
        rate = (self.updates - 1) * self.batch_tokens / (now - self._first_done)
        model = self.model
        row: dict[str, Any] = {
            "update": int(engine().numpy(model.optimizer.iterations))
        }
        row |= {name: float(value) for name, value in (logs or {}).items()}
        row |= {f"val_{k}": float(v) for k, v in self.evaluate_fn().items()}
        row["learning_rate"] = float(model.optimizer.learning_rate)
        row[f"{self.unit}_per_second"] = round(rate, 1)
        self.run.rows.append(row)
        model.stop_training = model.stop_training or self.stop()
        self.run.save(model)
        shown = {k: v for k, v in row.items() if k.startswith("val_")}
        print("  " + "  ".join(f"{k} {v:.4f}" for k, v in shown.items()), flush=True)
