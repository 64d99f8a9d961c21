"""Logging to other projects' loggers from a plain `fit`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from zoo.engine.current import engine
from zoo.training.trackers.experiments import experiment
from zoo.training.trackers.samples import Sample, encoded
from zoo.training.trackers.tensorboard import TensorBoard
from zoo.training.trackers.tracker import (
    Tracker,
    TrackerName,
    check_installed,
)


class LogTo(keras.callbacks.Callback):
    """Logs the metrics of each epoch, and samples, to one or several loggers.

        model.fit(x, epochs=5, callbacks=[zoo.training.LogTo("tensorboard")])

    Args:
        *names: "tensorboard", "wandb" or "trackio"; each needs the extra of its name.
        folder: the run's folder: TensorBoard's files are written there, and its name
            is the run's.
        project: the project that the run belongs to, for Weights & Biases and Trackio.
        settings: values to log once.
        samples: called at the end of each epoch; returns samples by name: a text,
            images (N, H, W, C) in [0, 1], or the path of a PNG file.

    Raises:
        ValueError: a logger is unknown, or its package is not installed.
    """

    def __init__(
        self,
        *names: TrackerName,
        folder: str | Path = "runs/fit",
        project: str = "zoo",
        settings: Mapping[str, Any] | None = None,
        samples: Callable[[], Mapping[str, Sample]] = dict,
    ) -> None:
        super().__init__()
        if not names:
            raise ValueError("LogTo needs at least one logger, such as 'tensorboard'.")
        check_installed(names)
        self.names, self.folder, self.project = names, Path(folder), project
        self.settings, self.samples = dict(settings or {}), samples
        self._trackers: list[Tracker] = []

    def start(self, update: int = 0) -> None:
        """Opens the loggers, unless they are open; only the main process logs.

        Args:
            update: the update that training continues from.
        """
        if not self._trackers and engine().is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._trackers = [
                _open(name, self.folder, self.project, self.settings, update)
                for name in self.names
            ]

    def log(
        self,
        update: int,
        scalars: Mapping[str, float],
        samples: Mapping[str, str | bytes],
    ) -> None:
        """Logs figures and samples of an update; pictures are PNG bytes."""
        for tracker in self._trackers:
            tracker.scalars(update, scalars)
            for name, value in samples.items():
                if isinstance(value, str):
                    tracker.text(update, name, value)
                else:
                    tracker.picture(update, name, value)

    def close(self) -> None:
        """Closes the loggers."""
        trackers, self._trackers = self._trackers, []
        for tracker in trackers:
            tracker.close()

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the loggers."""
        self.start(int(engine().numpy(self.model.optimizer.iterations)))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the epoch's metrics and samples at the number of the update."""
        update = int(engine().numpy(self.model.optimizer.iterations))
        values = {name: float(engine().numpy(x)) for name, x in (logs or {}).items()}
        self.log(update, values, encoded(self.samples()))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Closes the loggers."""
        self.close()


def _open(
    name: TrackerName,
    folder: Path,
    project: str,
    settings: Mapping[str, Any],
    update: int,
) -> Tracker:
    """Starts to log to one of the loggers.

    Args:
        name: the logger.
        folder: the run's folder, whose name is the run's. A run that is resumed in the
            same folder continues its log.
        project: the project that the run belongs to, for Weights & Biases and Trackio.
        settings: the run's settings.
        update: the update that training continues from.

    Raises:
        ValueError: its package is not installed.
    """
    if name == "tensorboard":
        return TensorBoard(folder, settings, update)
    return experiment(name, folder, project, settings, update)
