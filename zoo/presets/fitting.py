"""Matches a file's weights to a model's: which are taken, new, or left over."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo.files.stored_arrays import LazyArrays
from zoo.presets import weights


@dataclass(frozen=True)
class Fit:
    """How a file's weights fit a model.

    Attributes:
        taken: arrays from the file, by the model's weight names.
        new: weights of the model that the file lacks.
        left: weights of the file that the model does not take.
    """

    taken: Mapping[str, np.ndarray]
    new: frozenset[str] = frozenset()
    left: tuple[str, ...] = ()

    @classmethod
    def of_common(cls, arrays: Mapping, ours: Mapping, source: Any) -> "Fit":
        """Takes the weights that the file and the model have in common.

        Raises:
            ValueError: they have none in common.
        """
        if not (both := [name for name in arrays if name in ours]):
            raise ValueError(
                f"{source} must have at least one weight in common with the model, got "
                "none. Check that it belongs to this kind of model."
            )
        left = sorted(set(arrays) - set(both))
        return cls(_some(arrays, both), frozenset(set(ours) - set(both)), tuple(left))

    @classmethod
    def of_body(cls, arrays: Mapping, ours: Mapping, body: str) -> "Fit":
        """Takes all weights of the body, and other weights that both have."""
        both = [name for name in arrays if name in ours or name.startswith(body)]
        new = {name for name in ours if not name.startswith(body)} - set(both)
        left = sorted(set(arrays) - set(both))
        return cls(_some(arrays, both), frozenset(new), tuple(left))

    def checked(self, ours: Mapping, source: Any, ignore_mismatched: bool) -> "Fit":
        """Checks names and shapes; weights of other shapes become new if allowed.

        Raises:
            ValueError: weights are missing, left over or of another shape.
        """
        expected = {name: x for name, x in ours.items() if name not in self.new}
        weights.check_names(
            self.taken,
            expected,
            source,
            " strict=False loads what both have and logs the rest.",
        )
        wrong = weights.misfits(self.taken, expected)
        if wrong and not ignore_mismatched:
            weights.refuse(
                wrong,
                source,
                " ignore_mismatched=True initialises those anew, as for a new head.",
            )
        rest = [name for name in self.taken if name not in wrong]
        return replace(self, taken=_some(self.taken, rest), new=self.new | set(wrong))


def _some(arrays: Mapping[str, np.ndarray], names: list[str]) -> Mapping:
    """Selects arrays by name, without reading any."""
    if isinstance(arrays, LazyArrays):
        return arrays.renamed({name: name for name in names})
    return {name: arrays[name] for name in names}
