"""The parts that all training runs of recipes share.

Each run has a folder with `config.json`, `metrics.jsonl` (one line per evaluation),
`checkpoint.safetensors` (for `--resume`), and at the end pictures, `summary.json` and
`preset/`.
"""

import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras

from zoo.distribution import use
from zoo.engine.current import engine
from zoo.engine.host_memory import peak_bytes
from zoo.files.atomic import replacing
from zoo.files.damaged import reading
from zoo.training.runs.checkpoint import (
    Resume,
    read_extra,
    save_checkpoint,
)
from zoo.training.runs.config import RunConfig as RunConfig
from zoo.training.runs.config import TextRunConfig as TextRunConfig
from zoo.training.runs.config import parse as parse
from zoo.training.runs.flags import flat
from zoo.training.runs.hold import Hold
from zoo.training.runs.output import outlive_output
from zoo.training.runs.settings import (
    check_same,
    differences,
    setting_name,
    settings_of,
)
from zoo.training.seeds import set_seed

CHECKPOINT, CONFIG = "checkpoint.safetensors", "config.json"
METRICS, SUMMARY = "metrics.jsonl", "summary.json"


class Run:
    """A training run in a folder: started, evaluated, checkpointed, summarised.

    Args:
        config: the run's settings.
        staged: whether the run consists of parts, some of which may finish before it
            has a checkpoint of its own. Its settings are then read from `config.json`,
            otherwise from the checkpoint.
        whole: the run that this one is a part of.

    Raises:
        ValueError: the settings contradict each other or those of the resumed run.
        FileNotFoundError: there is nothing to resume from.
        OSError: another process writes into the folder.
    """

    def __init__(
        self, config: RunConfig, *, staged: bool = False, whole: "Run | None" = None
    ) -> None:
        self.config, self.staged, self.whole = config, staged, whole
        self.out = Path(config.out)
        self.checkpoint = self.out / CHECKPOINT
        outlive_output()
        asked, mesh = (config.mesh_data, config.mesh_model), engine().mesh
        if asked != (1, 1) and mesh.size == 1:
            self.devices = use(*asked, shard_parameters=config.shard_parameters)
        # In a recipe of several runs, the first has set up the devices.
        elif asked not in ((1, 1), (mesh.data, mesh.model)) and -1 not in asked:
            raise ValueError(
                f"mesh_data={asked[0]} and mesh_model={asked[1]} were requested, but "
                f"{mesh} is in use. Request the same."
            )
        self.data: Mapping[str, str] = {}
        self.seconds = 0.0
        self.rows: list[dict[str, Any]] = []
        self._started = self._recorded = False
        self._had = None if whole else self._found()
        if not engine().is_main:
            # Only the main process prints and writes. The others do the same work,
            # since gathering needs them all, and discard it.
            self._nowhere = tempfile.TemporaryDirectory()
            self.out = Path(self._nowhere.name)
            sys.stdout = open(os.devnull, "w")
        self._hold: Hold = whole._hold if whole else Hold(self.out)
        if self._had is not None:
            self._check(*self._had)
        set_seed(config.seed)
        keras.config.set_dtype_policy(config.precision)

    def _found(self) -> tuple[dict[str, Any], Path] | None:
        """The records of the run to resume and their file; None for a new run."""
        known = {*flat(self.config), "data"}
        given = {setting_name(name) for name in self.config.resume_with}
        if given - known:
            raise ValueError(
                f"resume_with names {sorted(given - known)}, which are not settings. "
                f"Choose from {', '.join(sorted(known))}."
            )
        if not self.config.resume:
            if given:
                raise ValueError(
                    f"resume_with={sorted(given)} is only for resumed runs. Add "
                    "--resume, or leave --resume-with out to start a new run."
                )
            return None
        if self.staged:
            record = self.out / CONFIG
            begun = any(
                next(self.out.rglob(name), None) for name in (CHECKPOINT, SUMMARY)
            )
            if begun and record.exists():
                found = _read_json(record)
                return {"settings": found, "data": found.get("data")}, record
        elif self.checkpoint.exists():
            return read_extra(self.checkpoint), self.checkpoint
        raise FileNotFoundError(
            f"There is no checkpoint to resume from in {self.config.out}. Leave "
            "--resume out to start a new run."
        )

    def _check(self, found: Mapping[str, Any], path: Path) -> list[str]:
        """Raises if the run to resume differs; returns the allowed differences."""
        if found.get("settings") is None or found.get("data") is None:
            warnings.warn(
                f"{path} is from an earlier version, which did not store the run's "
                "settings and a hash of its data: whether they are the same now can't "
                "be told.",
                stacklevel=4,
            )
            return []
        return check_same(
            self.config, found["settings"], found["data"], self.data, path
        )

    def part(self, name: str, **changes: Any) -> "Run":
        """A run in a subfolder of this one; when resuming, it may not have started.

        Args:
            name: the subfolder.
            changes: settings that differ from this run's.
        """
        out = Path(self.config.out) / name
        config = dataclasses.replace(self.config, out=out, **changes)
        made = Run(config, whole=self)
        made.start(self.data)
        return made

    def start(self, data: Mapping[str, str], parts: Sequence[str] = ()) -> None:
        """Records the data once they are read; refuses to resume with other data.

        Args:
            data: hashes of the data, by name.
            parts: the folders of all parts; a new run deletes old results in them.

        Raises:
            ValueError: the resumed run had other data or settings.
        """
        self._started, self.data = True, data
        if self._had is not None:
            for words in self._check(*self._had):
                print(f"Resumed with another setting: {words}")
        if self.config.resume:
            return  # not everything is checked yet
        if self.staged and engine().is_main:
            for folder in (".", *parts):
                for name in (CHECKPOINT, SUMMARY):
                    (self.out / folder / name).unlink(missing_ok=True)
        self._record()

    def _record(self) -> None:
        """Writes the settings once, and deletes the figures of an earlier run."""
        if self._recorded:
            return
        self._recorded = True
        for name in (SUMMARY, METRICS):
            (self.out / name).unlink(missing_ok=True)
        settings = {
            **settings_of(self.config),
            "data": dict(self.data),
            "backend": keras.config.backend(),
            "python": platform.python_version(),
            "keras": keras.__version__,
        }
        self.write_json(CONFIG, settings)

    def finished(self) -> dict[str, Any] | None:
        """The summary of a part that has already finished with the same settings."""
        out = Path(self.config.out)
        record, summary = (out / name for name in (CONFIG, SUMMARY))
        if not (self.config.resume and record.exists() and summary.exists()):
            return None
        had = _read_json(record)
        if had.get("data") != dict(self.data) or differences(self.config, had):
            return None
        return _read_json(summary)

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file into the run's folder, atomically."""
        text = json.dumps(value, indent=2, default=str) + "\n"
        with replacing(self.out / name) as file:
            file.write(text.encode())

    def fit(
        self,
        model: Any,
        batches: Callable[[int], Any],
        *,
        updates: int,
        evaluate_every: int,
        evaluate: Callable[[], Mapping[str, Any]],
        batch_tokens: int,
        unit: Literal["tokens", "images", "sequences"] = "tokens",
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Trains up to `updates`, from the checkpoint when resuming.

        Args:
            model: a compiled `zoo.training.Model`.
            batches: returns endless batches from an update number on.
            updates: the total number of updates, also when resuming.
            evaluate_every: updates between evaluations and checkpoints, a divisor of
                `updates`; a run may resume with another value.
            evaluate: returns a dict of metrics, logged as `val_...`.
            batch_tokens: tokens (images, sequences) per update, for the throughput.
            unit: what `batch_tokens` counts, for the throughput's name.
            stop: called after each evaluation; returns whether to stop early, for
                example from `rows`. A run resumed after it stopped early does not
                continue.

        Raises:
            ValueError: `evaluate_every` does not divide the updates, or the checkpoint
                does not fit.
        """
        if updates % evaluate_every:
            raise ValueError(
                f"steps={updates} must be a multiple of eval_every={evaluate_every}, "
                "so that the last update is evaluated."
            )
        if not self._started:
            self.start({})
        callbacks: list[keras.callbacks.Callback] = []
        if self.config.resume and self.checkpoint.exists():
            resume = Resume(
                self.checkpoint, model, keep_rates=bool(self.config.resume_with)
            )
            self._check(resume.extra, self.checkpoint)
            self.rows, self.seconds = resume.extra["rows"], resume.extra["seconds"]
            callbacks.append(resume)
        start = int(engine().numpy(model.optimizer.iterations))
        if start > updates:
            raise ValueError(
                f"{self.checkpoint} is from update {start}, but the run ends at "
                f"{updates}. Set steps to more."
            )
        if (updates - start) % evaluate_every:
            raise ValueError(
                f"{self.checkpoint} is from update {start}: the remaining "
                f"{updates - start} updates must be a multiple of "
                f"eval_every={evaluate_every}, so that the last one is evaluated."
            )
        self._record()
        if callbacks:
            # If the run was killed then, only the checkpoint has the last line.
            self.write_metrics()
            if stop():
                return
        logger = _Logger(self, evaluate, batch_tokens, unit, stop)
        first = start // evaluate_every
        model.fit(
            batches(start),
            steps_per_epoch=evaluate_every,
            initial_epoch=first,
            epochs=first + (updates - start) // evaluate_every,
            callbacks=[*callbacks, logger],
            verbose=2 if not sys.stdout.isatty() else 1,
        )

    def save(self, model: Any) -> None:
        """Writes the checkpoint and the metrics so far."""
        self._check_folder()
        save_checkpoint(
            self.checkpoint,
            model,
            rows=self.rows,
            seconds=self.seconds,
            settings=settings_of(self.config),
            data=dict(self.data),
        )
        self.write_metrics()

    def _check_folder(self) -> None:
        if not (self._hold.held() and (self.out / CONFIG).exists()):
            raise FileNotFoundError(
                f"The run's folder {self.out} was deleted or replaced while the run "
                "was active. The run ends and writes nothing more there."
            )

    def write_metrics(self) -> None:
        """Writes the metrics so far, one line per evaluation."""
        self._record()
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        with replacing(self.out / METRICS) as file:
            file.write(lines.encode())

    def curve(self, name: str) -> list[float | None]:
        """A metric at all evaluations so far; None where it is missing."""
        return [row.get(name) for row in self.rows]

    def finish(self, **figures: Any) -> dict[str, Any]:
        """Writes and returns the summary: final metrics, speed, memory and settings."""
        self._record()
        self._check_folder()
        last = {k: v for k, v in self.rows[-1].items() if k != "update"}
        peak = engine().peak_memory()
        if peak is None:
            peak = peak_bytes()
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
        self.write_json(SUMMARY, summary)
        return summary


def _read_json(path: Path) -> dict[str, Any]:
    with reading(path, "a JSON object, as a run writes it", "Start a new run."):
        return dict(json.loads(path.read_text("utf-8")))


class _Logger(keras.callbacks.Callback):
    """Evaluates, logs and checkpoints at the end of every epoch."""

    def __init__(
        self,
        run: Run,
        evaluate: Callable[[], Mapping[str, Any]],
        batch_tokens: int,
        unit: str,
        stop: Callable[[], bool],
    ) -> None:
        super().__init__()
        self.run, self.evaluate_fn, self.stop = run, evaluate, stop
        self.batch_tokens, self.unit = batch_tokens, unit
        self.updates, self.counted = 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._start = self._first_done = time.perf_counter()
        self.updates = 0

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self.updates += 1
        if self.updates == 1:
            # The first update of an epoch may compile, so it is not timed.
            self._first_done = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
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
