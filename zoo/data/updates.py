"""Batches that are a function of an update's number, so that a run can be resumed."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

# Updates in a Grain dataset, which must have a length.
ENDLESS = 2**62


class Updates(ABC):
    """What gives each update of a training its batch."""

    @abstractmethod
    def batch(self, update: int) -> Any:
        """The batch of an update, counted from 0."""

    def batches(self, start: int = 0) -> Iterator[Any]:
        """Returns the endless iterator over `batch(start)`, `batch(start + 1)`, ...

        Batches are made when asked for: drawing one takes microseconds, and Grain's
        prefetching threads take several times as long to hand it over.
        """
        if start < 0:
            raise ValueError(f"start={start}; expected an update number from 0")
        return map(self.batch, itertools.count(start))
