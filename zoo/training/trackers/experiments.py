"""Weights & Biases and Trackio, whose interfaces are the same."""

import io
import os
import re
import secrets
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from zoo.extras import optional
from zoo.files.atomic import replacing
from zoo.training.trackers.tracker import Tracker


class Experiment(Tracker):
    """A run of Weights & Biases or Trackio.

    Args:
        module: the package.
        run: the run that its `init` has started.
    """

    def __init__(self, module: Any, run: Any) -> None:
        self._module, self._run = module, run

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Logs numbers by name."""
        self._run.log(dict(values), step=update)

    def text(self, update: int, name: str, text: str) -> None:
        """Logs a text."""
        shown = self._module.Html(f"<pre>{escape(text)}</pre>", inject=False)
        self._run.log({name: shown}, step=update)

    def picture(self, update: int, name: str, png: bytes) -> None:
        """Logs a picture, given as the bytes of a PNG file."""
        from PIL import Image

        with Image.open(io.BytesIO(png)) as image:
            shown = self._module.Image(image.convert("RGB"))
        self._run.log({name: shown}, step=update)

    def close(self) -> None:
        """Writes what is left."""
        self._run.finish()


def experiment(
    name: str, folder: Path, project: str, settings: Mapping[str, Any], update: int
) -> Experiment:
    """Starts a run or, after update 0, continues the one of the same folder."""
    module = optional(name, f"Logging to {name}", name)
    options: dict[str, Any] = {
        "project": project,
        "name": _identity(folder / f"{name}.txt", new=not update),
        "config": dict(settings),
        "resume": "allow",
    }
    if name == "wandb":
        options |= {"id": options["name"], "dir": str(folder), "mode": _mode(module)}
    return Experiment(module, module.init(**options))


def _identity(file: Path, new: bool) -> str:
    """The run's name in the logger, kept in a file of the folder."""
    if file.exists() and not new:
        return file.read_text("utf-8").strip()
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", file.resolve().parent.name)
    made = f"{stem}-{secrets.token_hex(4)}"
    with replacing(file) as written:
        written.write(f"{made}\n".encode())
    return made


def _mode(wandb: Any) -> str | None:
    """How Weights & Biases works: as the user asks, else offline without a login."""
    if os.environ.get("WANDB_MODE"):
        return None
    try:
        known = bool(wandb.api.api_key)
    except Exception:
        known = False
    if known:
        return None
    print(
        "wandb: there is no login on this machine, so the run is logged offline; "
        "upload it later with `wandb sync`."
    )
    return "offline"
