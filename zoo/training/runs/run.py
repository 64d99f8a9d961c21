"""What every training run of a recipe has in common.

A run has a folder. It holds `config.json`, `metrics.jsonl` (a line an evaluation),
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import keras

from zoo.distribution import use
from zoo.engine.current import engine
from zoo.engine.host_memory import peak_bytes
from zoo.files.atomic import replacing
from zoo.files.damaged import reading
from zoo.files.text_files import OnBad
from zoo.store.names import check_names
from zoo.training.runs.checkpoint import (
    Resume,
    read_extra,
    save_checkpoint,
)
from zoo.training.runs.flags import flat, parse_flags
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
        resume: go on from the checkpoint in `out`, with the settings that it had.
        resume_with: settings that may differ from those, by name; `data` too.
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
    resume_with: tuple[str, ...] = ()
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
    description = (
        f"{description}\n\nVariants (default {first}):\n{listing}\n\n"
        f"The defaults below are those of variant {chosen}."
    )
    default = dataclasses.replace(variants[chosen], variant=chosen)
    try:
        config = parse_flags(default, args, description)
        check_names(config)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    return config


class Run:
    """A training run in a folder: started, evaluated, checkpointed, summed up.

    Args:
        config: Its settings.
        staged: Its work is in parts, some of which may be done before it has a
            checkpoint of its own: what was started is told by `config.json`. Of other
            runs the checkpoint tells.
        whole: The run that this one is a part of.
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
        # A recipe of several runs has the devices in use since the first.
        elif asked not in ((1, 1), (mesh.data, mesh.model)) and -1 not in asked:
            raise ValueError(
                f"mesh_data={asked[0]} and mesh_model={asked[1]} are asked for, but "
                f"{mesh} is in use. Ask for the same."
            )
        self.data: Mapping[str, str] = {}
        self.seconds = 0.0
        self.rows: list[dict[str, Any]] = []
        self._started = self._recorded = False
        self._had = None if whole else self._found()
        if not engine().is_main:
            # One of several processes speaks and writes; the others do all the same
            # work, since gathering takes them all, and keep nothing of it.
            self._nowhere = tempfile.TemporaryDirectory()
            self.out = Path(self._nowhere.name)
            sys.stdout = open(os.devnull, "w")
        self._hold: Hold = whole._hold if whole else Hold(self.out)
        if self._had is not None:
            self._check(*self._had)
        set_seed(config.seed)
        keras.config.set_dtype_policy(config.precision)

    def _found(self) -> tuple[dict[str, Any], Path] | None:
        """What is said of the run to go on from, and where; None to start anew."""
        known = {*flat(self.config), "data"}
        given = {setting_name(name) for name in self.config.resume_with}
        if given - known:
            raise ValueError(
                f"resume_with names {sorted(given - known)}, which are no settings. "
                f"Settings: {', '.join(sorted(known))}"
            )
        if not self.config.resume:
            if given:
                raise ValueError(
                    f"resume_with={sorted(given)} is for runs that are resumed: add "
                    "--resume, or leave --resume-with out to start anew."
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
            "--resume out to start anew."
        )

    def _check(self, found: Mapping[str, Any], path: Path) -> list[str]:
        """Raises where the run to go on from is another; says what may differ."""
        if found.get("settings") is None or found.get("data") is None:
            warnings.warn(
                f"{path} is of an earlier version, which did not keep the run's "
                "settings and a hash of its data there: whether it had those of today "
                "can't be told.",
                stacklevel=4,
            )
            return []
        return check_same(
            self.config, found["settings"], found["data"], self.data, path
        )

    def part(self, name: str, **changes: Any) -> "Run":
        """A run in a folder of this one's; to resume, it need not have begun."""
        out = Path(self.config.out) / name
        config = dataclasses.replace(self.config, out=out, **changes)
        made = Run(config, whole=self)
        made.start(self.data)
        return made

    def start(self, data: Mapping[str, str], parts: Sequence[str] = ()) -> None:
        """Says what is read, once it is; refuses to resume with other data.

        Args:
            data: Hashes of it, by name.
            parts: The folders of all parts. A run that starts anew forgets what was
                left in them.
        """
        self._started, self.data = True, data
        if self._had is not None:
            for words in self._check(*self._had):
                print(f"Resumed with another setting: {words}")
        if self.config.resume:
            return  # what there is to check is not all checked yet
        if self.staged and engine().is_main:
            for folder in (".", *parts):
                for name in (CHECKPOINT, SUMMARY):
                    (self.out / folder / name).unlink(missing_ok=True)
        self._record()

    def _record(self) -> None:
        """Writes the settings, once; figures that are there are of another time."""
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
        """The summary of a part that was finished before, with the same settings."""
        out = Path(self.config.out)
        record, summary = (out / name for name in (CONFIG, SUMMARY))
        if not (self.config.resume and record.exists() and summary.exists()):
            return None
        had = _read_json(record)
        if had.get("data") != dict(self.data) or differences(self.config, had):
            return None
        return _read_json(summary)

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
            evaluate_every: updates between evaluations and checkpoints, a divisor of
                `updates`; a run may be resumed with another one.
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
                f"{self.checkpoint} is of update {start}, and the run ends at {updates}"
            )
        if (updates - start) % evaluate_every:
            raise ValueError(
                f"{self.checkpoint} is of update {start}: the {updates - start} that "
                f"are left must be a multiple of eval_every={evaluate_every}, so that "
                "the last one is evaluated."
            )
        self._record()
        if callbacks:
            # The last line may be the checkpoint's alone, if the run was killed then.
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

    def save(self, model) -> None:
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
                "went on. Nothing more is written there, and the run ends."
            )

    def write_metrics(self) -> None:
        """Writes the metrics so far, a line an evaluation."""
        self._record()
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        with replacing(self.out / METRICS) as file:
            file.write(lines.encode())

    def curve(self, name: str) -> list[float | None]:
        """A metric over all evaluations so far."""
        return [row.get(name) for row in self.rows]

    def finish(self, **figures: Any) -> dict[str, Any]:
        """Writes and returns the summary: final metrics, speed, memory, origin."""
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
    with reading(path, "a JSON object, as a run writes it", "Start the run anew."):
        return dict(json.loads(path.read_text("utf-8")))


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
