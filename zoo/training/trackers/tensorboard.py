"""TensorBoard's event files, by tensorboardX, which needs no TensorFlow."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.extras import optional
from zoo.training.trackers.tracker import Tracker

FOLDER = "tensorboard"


class TensorBoard(Tracker):
    """Writes into the folder `tensorboard` of a run; read it with `tensorboard`.

    Args:
        folder: the run's folder.
        settings: the run's settings, logged as a text.
        update: the update to continue from, 0 for a new run; what was logged after it
            is hidden.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], update: int = 0
    ) -> None:
        module = optional("tensorboardX", "Logging to tensorboard", "tensorboard")
        self._writer = module.SummaryWriter(
            str(folder / FOLDER),
            purge_step=update + 1 if update else 0,
            filename_suffix=f".{time.time_ns()}",
        )
        words = json.dumps(dict(settings), indent=2, default=str)
        self._writer.add_text("settings", _preformatted(words), 0)

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Logs numbers by name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, update)
        self._writer.flush()

    def text(self, update: int, name: str, text: str) -> None:
        """Logs a text."""
        self._writer.add_text(name, _preformatted(text), update)
        self._writer.flush()

    def picture(self, update: int, name: str, png: bytes) -> None:
        """Logs a picture, given as the bytes of a PNG file."""
        import io

        import numpy as np
        from PIL import Image

        with Image.open(io.BytesIO(png)) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image(name, pixels, update, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


def _preformatted(text: str) -> str:
    """A text as Markdown that is shown as it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())
