"""Keeps a run's page, `index.html`, up to date."""

import datetime
import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from zoo.engine.current import engine
from zoo.reports.run_folder import PAGE, read_state
from zoo.reports.run_page import Sample, write_page
from zoo.training.runs.config import RunConfig
from zoo.training.runs.measure import Measure
from zoo.version import __version__


class Report:
    """What a run's page says about the run, besides the files in its folder.

    Args:
        config: the run's settings.
        folder: where the page is written.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.folder, self.recipe = folder, recipe_of(config)
        self._state: dict[str, Any] = {
            "recipe": self.recipe,
            "out": str(config.out),
            "state": "running",
            "pid": os.getpid(),
            "host": platform.node(),
            "started": _now(),
        }

    def begin(self, updates: int, unit: str, measure: Measure) -> None:
        """Notes what the run will do."""
        self._state |= {
            "updates": updates,
            "unit": unit,
            "monitor": measure.monitor,
            "mode": measure.mode,
        }

    def at(self, seconds: float) -> Callable[[Mapping[str, Sample] | None], None]:
        """Notes the time trained so far; returns a function that writes the page."""
        self._state["seconds"] = round(seconds, 2)
        state = {**self._state}
        return lambda samples: self._write(state, samples)

    def write(self, samples: Mapping[str, Sample] | None = None) -> None:
        """Writes the page; without samples it keeps those that it shows."""
        self._write(self._state, samples)

    def end(self, error: BaseException | None = None) -> None:
        """Writes the page of a run that has finished, or ended by an error.

        It says nothing if the page can't be written: the error is what counts.
        """
        state = "finished"
        if error is not None:
            stopped = isinstance(error, KeyboardInterrupt)
            state = "stopped" if stopped else "failed"
            words = f"{type(error).__name__}: {error}" if not stopped else ""
            self._state["error"] = words
        self._state["state"] = state
        if error is None:
            self.write()
            return
        try:
            if (self.folder / PAGE).exists():
                self.write()
        except (OSError, ValueError):
            return

    def _write(
        self, state: Mapping[str, Any], samples: Mapping[str, Sample] | None
    ) -> None:
        if engine().is_main:
            about = {**state, "updated": _now(), "environment": _environment()}
            write_page(self.folder, about, samples)


def ended(folder: Path, error: BaseException) -> None:
    """Says in the pages below a folder that this process has ended by an error.

    For errors outside of training, such as in drawing.
    """
    for page in folder.rglob(PAGE):
        try:
            state = read_state(page)
            if state.get("pid") != os.getpid() or state.get("state") != "running":
                continue
            stopped = isinstance(error, KeyboardInterrupt)
            state["state"] = "stopped" if stopped else "failed"
            state["error"] = "" if stopped else f"{type(error).__name__}: {error}"
            write_page(page.parent, {**state, "updated": _now()})
        except (OSError, ValueError):
            continue


def recipe_of(config: Any) -> str:
    """The name of the recipe whose configuration this is."""
    module = type(config).__module__
    if module == "__main__":
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        module = spec.name if spec else ""
    return module.rpartition(".")[2]


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def _environment() -> dict[str, str]:
    """Versions, hardware and devices."""
    backend = keras.config.backend()
    library = importlib.import_module(backend)
    return {
        "zoo": __version__,
        "Keras": keras.__version__,
        "backend": f"{backend} {library.__version__}",
        "NumPy": importlib.metadata.version("numpy"),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "CPU cores": str(os.cpu_count()),
        "devices": ", ".join(engine().device_names()),
        "mesh": str(engine().mesh),
    }
