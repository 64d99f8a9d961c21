"""Which of a file's weights a model takes, which of its own are new, which are left."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo.files.stored_arrays import LazyArrays
from zoo.presets import weights


@dataclass(frozen=True)
class Fit:
    """What becomes of weights.

    Attributes:
        taken: from the file, by the model's names.
        new: names of the model's that are in no file.
        left: names of the file's that the model does not take.
    """

    taken: Mapping[str, np.ndarray]
    new: frozenset[str] = frozenset()
    left: tuple[str, ...] = ()

    @classmethod
    def of_common(cls, arrays: Mapping, ours: Mapping, source: Any) -> "Fit":
        """What file and model both have.

        Raises:
            ValueError: that is nothing.
        """
        if not (both := [name for name in arrays if name in ours]):
            raise ValueError(f"{source} has no weight in common with the model.")
        left = sorted(set(arrays) - set(both))
        return cls(_some(arrays, both), frozenset(set(ours) - set(both)), tuple(left))

    @classmethod
    def of_body(cls, arrays: Mapping, ours: Mapping, body: str) -> "Fit":
        """All of a body, and of what is around it that which both have."""
        both = [name for name in arrays if name in ours or name.startswith(body)]
        new = {name for name in ours if not name.startswith(body)} - set(both)
        left = sorted(set(arrays) - set(both))
        return cls(_some(arrays, both), frozenset(new), tuple(left))

    def checked(self, ours: Mapping, source: Any, ignore_mismatched: bool) -> "Fit":
        """The same, new where shapes differ and may.

        Raises:
            ValueError: the file lacks weights or has others, or shapes differ.
        """
        expected = {name: x for name, x in ours.items() if name not in self.new}
        weights.check_names(
            self.taken,
            expected,
            source,
            " strict=False takes what both have, and names the rest.",
        )
        wrong = weights.misfits(self.taken, expected)
        if wrong and not ignore_mismatched:
            weights.refuse(
                wrong,
                source,
                " ignore_mismatched=True leaves those new, as of a new head.",
            )
        rest = [name for name in self.taken if name not in wrong]
        return replace(self, taken=_some(self.taken, rest), new=self.new | set(wrong))


def _some(arrays: Mapping[str, np.ndarray], names: list[str]) -> Mapping:
    """Those of these names, none of which is read."""
    if isinstance(arrays, LazyArrays):
        return arrays.renamed({name: name for name in names})
    return {name: arrays[name] for name in names}
