"""The parts that all training runs of recipes share.

Each run has a folder with `config.json`, `metrics.jsonl` (one line per evaluation),
`checkpoint.safetensors` (for `--resume`), `index.html` (a page about the run, rewritten
at each evaluation), and at the end pictures, `summary.json` and `preset/`.
"""

import contextlib
import dataclasses
import json
import os
import platform
import sys
import tempfile
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
from zoo.reports.run_folder import CONFIG, METRICS, SUMMARY
from zoo.training.progress import ProgressBar
from zoo.training.runs.checkpoint import HostState, Resume
from zoo.training.runs.config import RunConfig as RunConfig
from zoo.training.runs.config import TextRunConfig as TextRunConfig
from zoo.training.runs.config import parse as parse
from zoo.training.runs.evaluations import Evaluations
from zoo.training.runs.flags import flat
from zoo.training.runs.hold import Hold
from zoo.training.runs.kept import (
    CHECKPOINT,
    KeptCheckpoints,
    delete_all,
    newest_whole,
)
from zoo.training.runs.measure import Measure, restore_best
from zoo.training.runs.output import outlive_output
from zoo.training.runs.report import Report
from zoo.training.runs.settings import (
    check_same,
    differences,
    setting_name,
    settings_of,
)
from zoo.training.runs.writer import BackgroundWriter
from zoo.training.seeds import set_seed
from zoo.training.trackers.callback import LogTo
from zoo.training.trackers.samples import Sample
from zoo.training.trackers.tracker import check_installed


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
        self._folder = self.out  # where all processes read
        self.checkpoint = self.out / CHECKPOINT
        outlive_output()
        check_installed(config.log)
        for name, least in (("patience", 0), ("keep_checkpoints", 1)):
            if getattr(config, name) < least:
                raise ValueError(
                    f"{name} must be at least {least}, got {getattr(config, name)}."
                )
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
        self.measure = Measure()
        self._best_row: int | None = None
        self._writer = BackgroundWriter()
        self._started = self._recorded = False
        self._had = None if whole else self._found()
        if not engine().is_main:
            # Only the main process prints and writes. The others do the same work,
            # since gathering needs them all, and discard it.
            self._nowhere = tempfile.TemporaryDirectory()
            self.out = Path(self._nowhere.name)
            sys.stdout = open(os.devnull, "w")
        self._hold: Hold = whole._hold if whole else Hold(self.out)
        self._kept = KeptCheckpoints(self.out, config.keep_checkpoints)
        self._report = Report(config, self.out)
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
        elif found_file := newest_whole(self._folder):
            path, extra, damaged = found_file
            for words in damaged:
                print(f"{words}. Resuming from {path} instead.")
            return extra, path
        raise FileNotFoundError(
            f"There is no checkpoint to resume from in {self.config.out}. Leave "
            "--resume out to start a new run."
        )

    def _resumed_from(self) -> Path | None:
        """The checkpoint that `fit` continues from; None if it starts anew."""
        if not self.config.resume:
            return None
        if self._had is not None and not self.staged:
            return self._had[1]
        found = newest_whole(self._folder)
        return found[0] if found else None

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
                delete_all(self.out / folder)
                (self.out / folder / SUMMARY).unlink(missing_ok=True)
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
        self._report.write(None if self.config.resume else {})

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
        monitor: str = "val_loss",
        mode: Literal["min", "max"] = "min",
        samples: Callable[[], Mapping[str, Sample]] = dict,
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
            monitor: the metric that `patience` and `keep_best` go by.
            mode: whether its lowest or its highest value is the best.
            samples: called after each evaluation; returns samples by name for the
                run's page and loggers: a text, images (N, H, W, C) in [0, 1], or the
                path of a picture.

        Raises:
            ValueError: `evaluate_every` does not divide the updates, or the checkpoint
                does not fit.
            OSError: a checkpoint could not be written.
        """
        if updates % evaluate_every:
            raise ValueError(
                f"steps={updates} must be a multiple of eval_every={evaluate_every}, "
                "so that the last update is evaluated."
            )
        if not self._started:
            self.start({})
        self.measure = Measure(monitor, mode)
        callbacks: list[keras.callbacks.Callback] = []
        found = self._resumed_from()
        if found:
            resume = Resume(found, model, keep_rates=bool(self.config.resume_with))
            self._check(resume.extra, found)
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
        self._report.begin(updates, unit, self.measure)
        if found:
            if start:
                print(f"Resumed from {found}, update {start}.")
            self._kept.resumed(found, start)
            # If the run was killed then, only the checkpoint has the last line.
            self.write_metrics()

        def ended() -> bool:
            """Whether training ends before its last update."""
            return self.measure.stale(self.rows, self.config.patience) or stop()

        # Also without an update to go: `fit` ends by putting averages of the weights
        # in their place, if there are any.
        end = start if found and ended() else updates
        self._train(
            model,
            batches,
            Evaluations(self, evaluate, batch_tokens, unit, ended, samples),
            ProgressBar(batch_tokens, unit, total=updates, start=start),
            callbacks,
            range(start, end, evaluate_every),
        )
        if self.config.keep_best:
            engine().wait()  # until the main process has written it
            self._best_row = restore_best(self._folder, model, self.rows, self.measure)

    def _train(
        self,
        model: Any,
        batches: Callable[[int], Any],
        evaluations: Evaluations,
        bar: ProgressBar,
        callbacks: Sequence[keras.callbacks.Callback],
        intervals: range,
    ) -> None:
        """Calls Keras's `fit`; each interval between evaluations is one epoch of it."""
        first = intervals.start // intervals.step
        try:
            with self._writer, contextlib.closing(bar):
                with contextlib.closing(evaluations):
                    self._report.write()
                    model.fit(
                        batches(intervals.start),
                        steps_per_epoch=intervals.step,
                        initial_epoch=first,
                        epochs=first + len(intervals),
                        callbacks=[*callbacks, evaluations, bar],
                        verbose=0,
                    )
        except BaseException as error:
            self._report.end(error)
            raise

    def log_to(self) -> LogTo | None:
        """The loggers that the settings name."""
        if not self.config.log:
            return None
        return LogTo(
            *self.config.log,
            folder=self.out,
            project=self._report.recipe or "zoo",
            settings={
                name: value
                for name, value in settings_of(self.config).items()
                if name not in ("resume", "resume_with")
            },
        )

    def save(
        self, model: Any, samples: Mapping[str, str | bytes] | None = None
    ) -> None:
        """Copies the state, and writes it with the metrics and the page meanwhile.

        Args:
            model: the compiled model.
            samples: the newest samples by name, for the page.

        Raises:
            OSError: the checkpoint before this one could not be written.
        """
        self._check_folder()
        state = HostState.of(
            model,
            rows=self.rows,
            seconds=self.seconds,
            settings=settings_of(self.config),
            data=dict(self.data),
        )
        rows, update = [*self.rows], self.rows[-1]["update"]
        best = self.config.keep_best and self.measure.best(rows) == len(rows) - 1
        page = self._report.at(self.seconds)

        def write() -> None:
            self._check_folder()
            self._kept.write(state, update, best=best)
            self.write_metrics(rows)
            page(samples or {})

        self._writer.submit(f"{self.checkpoint}, of update {update},", write)

    def _check_folder(self) -> None:
        if not (self._hold.held() and (self.out / CONFIG).exists()):
            raise FileNotFoundError(
                f"The run's folder {self.out} was deleted or replaced while the run "
                "was active. The run ends and writes nothing more there."
            )

    def write_metrics(self, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Writes the metrics, one line per evaluation; those so far by default."""
        self._record()
        rows = self.rows if rows is None else rows
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        with replacing(self.out / METRICS) as file:
            file.write(lines.encode())

    def curve(self, name: str) -> list[float | None]:
        """A metric at all evaluations so far; None where it is missing."""
        return [row.get(name) for row in self.rows]

    def finish(self, **figures: Any) -> dict[str, Any]:
        """Writes and returns the summary: final metrics, speed, memory and settings."""
        self._record()
        self._check_folder()
        best = self._best_row
        row = self.rows[-1 if best is None else best]
        last = {k: v for k, v in row.items() if k != "update"}
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
            **({} if best is None else {"best_update": row["update"]}),
            **figures,
        }
        self.write_json(SUMMARY, summary)
        self._report.end()
        return summary


def _read_json(path: Path) -> dict[str, Any]:
    with reading(path, "a JSON object, as a run writes it", "Start a new run."):
        return dict(json.loads(path.read_text("utf-8")))
