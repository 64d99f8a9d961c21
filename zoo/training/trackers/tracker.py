"""What a logger of another project must be able to do, and the ones there are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

from zoo.extras import optional

TrackerName = Literal["tensorboard", "wandb", "trackio"]
# The package that each logger needs; its extra has the logger's name.
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}


class Tracker(ABC):
    """Receives a run's figures and samples; each record belongs to an update."""

    @abstractmethod
    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Logs numbers by name."""

    @abstractmethod
    def text(self, update: int, name: str, text: str) -> None:
        """Logs a text."""

    @abstractmethod
    def picture(self, update: int, name: str, png: bytes) -> None:
        """Logs a picture, given as the bytes of a PNG file."""

    @abstractmethod
    def close(self) -> None:
        """Writes what is left."""


def check_installed(names: Sequence[str]) -> None:
    """Raises ValueError if a logger is unknown or its package is not installed."""
    for name in names:
        if name not in PACKAGES:
            known = ", ".join(PACKAGES)
            raise ValueError(f"log must be among {known}; got {name!r}.")
        optional(PACKAGES[name], f"Logging to {name}", name)
