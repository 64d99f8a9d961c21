"""What `zoo.distribution.use` asks of the engine for a strategy."""

from abc import abstractmethod

from zoo.engine.base import Engine
from zoo.engine.layout import Mesh


class Strategy(Engine):
    """An engine for several devices.

    Attributes:
        MORE_DEVICES: a sentence that says how to get more devices, for an error.
    """

    MORE_DEVICES: str

    def __init__(self, mesh: Mesh) -> None:
        super().__init__()
        self.mesh = mesh

    @staticmethod
    @abstractmethod
    def count_devices() -> int:
        """The number of devices available; must start nothing."""

    @abstractmethod
    def enter(self) -> None:
        """Lays what is made from here on over the devices."""

    @abstractmethod
    def exit(self) -> None:
        """Undoes `enter`."""
