"""Reads what a training run has written into its folder."""

import json
import math
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.files.damaged import reading

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
PAGE = "index.html"
# What a run's page says about it, as JSON near the page's beginning.
STATE = re.compile(r'<script type="application/json" id="run">(.*?)</script>', re.S)
STATE_BYTES = 1 << 16
# Keys of config.json that are not settings.
NOT_SETTINGS = ("data", "backend", "python", "keras")
# Folders inside a run that hold no other runs.
INNER = ("preset", "samples", "snapshots", "wandb", "tensorboard")


@dataclass(frozen=True)
class RunFolder:
    """A run as its files describe it.

    Attributes:
        folder: the run's folder.
        settings: the run's settings, from `config.json`.
        rows: one dict of metrics per evaluation, from `metrics.jsonl`.
        summary: the final metrics; empty until the run is finished.
        state: what the run's page says: recipe, progress, state; empty for runs of
            earlier versions, which have no page.
    """

    folder: Path
    settings: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "RunFolder":
        """Reads a run's folder.

        Raises:
            ValueError: a file is damaged; the message names it.
            FileNotFoundError: there is no run in the folder.
        """
        return cls(
            folder,
            _json(folder / CONFIG),
            _rows(folder / METRICS),
            _json(folder / SUMMARY) if (folder / SUMMARY).exists() else {},
            read_state(folder / PAGE),
        )

    @property
    def name(self) -> str:
        """The folder, as it was given."""
        return str(self.folder)

    @property
    def recipe(self) -> str:
        """The recipe's name; "" if the run does not say."""
        return str(self.state.get("recipe", ""))

    @property
    def backend(self) -> str:
        """The backend that the run trains on."""
        return str(self.settings.get("backend", ""))

    @property
    def update(self) -> int:
        """The newest evaluated update."""
        return int(self.rows[-1].get("update", 0)) if self.rows else 0

    @property
    def updates(self) -> int | None:
        """The total number of updates; None if it is not known."""
        found = self.state.get("updates") or self.summary.get("steps")
        return int(found) if found else None

    @property
    def seconds(self) -> float | None:
        """Seconds of training, without evaluations; None if they are not known."""
        found = self.summary.get("seconds", self.state.get("seconds"))
        return None if found is None else float(found)

    @property
    def status(self) -> str:
        """Whether the run is running, finished, stopped, failed or killed."""
        said = str(self.state.get("state", ""))
        if not said:
            return "finished" if self.summary else "unknown"
        if said == "running" and is_dead(self.state):
            return "killed"
        return said

    @property
    def monitor(self) -> tuple[str, str]:
        """The metric by which the run is judged, and whether "min" or "max" is best."""
        return self.state.get("monitor", "val_loss"), self.state.get("mode", "min")

    def best(self) -> tuple[float, int] | None:
        """The best value of the monitored metric, and its update."""
        name, mode = self.monitor
        found = best_row(self.rows, name, mode)
        if found is None:
            return None
        return float(self.rows[found][name]), int(self.rows[found].get("update", 0))

    def own_settings(self) -> dict[str, Any]:
        """The settings, without versions, the backend and hashes of the data."""
        return {k: v for k, v in self.settings.items() if k not in NOT_SETTINGS}


def best_row(rows: Sequence[Mapping[str, Any]], name: str, mode: str) -> int | None:
    """The index of the row with the best value; of equal ones, the last.

    Args:
        rows: one dict of metrics per evaluation.
        name: the metric. Rows without it, or where it is not finite, are passed over.
        mode: "min" or "max".
    """
    sign = -1 if mode == "min" else 1
    values = [
        (sign * row[name], index)
        for index, row in enumerate(rows)
        if is_number(row, name)
    ]
    return max(values)[1] if values else None


def is_number(row: Mapping[str, Any], name: str) -> bool:
    """Whether a row has a finite number of this name."""
    value = row.get(name)
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def found_runs(folders: Sequence[Path]) -> Iterator[Path]:
    """Yields the folders of all runs in some folders, including those themselves.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    seen = set()
    for top in folders:
        if not top.is_dir():
            raise FileNotFoundError(f"There is no folder {top}.")
        for parent, names, files in os.walk(top):
            names[:] = sorted(
                name for name in names if name[0] != "." and name not in INNER
            )
            is_run = CONFIG in files and {METRICS, SUMMARY, PAGE} & {*files}
            if is_run and os.path.realpath(parent) not in seen:
                seen.add(os.path.realpath(parent))
                yield Path(parent)


def read_state(page: Path) -> dict[str, Any]:
    """What a run's page says of the run; empty if there is no such page."""
    try:
        with open(page, "rb") as file:
            head = file.read(STATE_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    found = STATE.search(head)
    if not found:
        return {}
    with reading(page, "a run's page", "Resume the run, which writes it again."):
        return dict(json.loads(found[1]))


def is_dead(state: Mapping[str, Any]) -> bool:
    """Whether the process that wrote a state is known to be gone."""
    here = os.name == "posix" and state.get("host") == platform.node()
    if not here or not isinstance(state.get("pid"), int):
        return False
    try:
        os.kill(state["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    return False


def _json(path: Path) -> dict[str, Any]:
    with reading(path, "a JSON object, as a run writes it", "Start a new run."):
        return dict(json.loads(path.read_text("utf-8")))


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with reading(path, "one JSON object per line", "Resume the run to write it again."):
        return [dict(json.loads(x)) for x in path.read_text("utf-8").splitlines() if x]
