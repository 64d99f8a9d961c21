"""The width at which a model is as large as another."""

import dataclasses
from bisect import bisect_left
from typing import Any, TypeVar

from zoo.presets.registry import count_parameters

C = TypeVar("C")


def matching_width(config: C, parameters: int, multiple: int = 8) -> C:
    """The narrowest configuration with at least `parameters` parameters.

    Args:
        config: the configuration of a model; its field `width` is replaced.
        parameters: the number of parameters to reach.
        multiple: what the width must be a multiple of.

    Raises:
        ValueError: no width up to 16,384 is enough.
    """

    def of(width: int) -> C:
        made: Any = dataclasses.replace(config, width=width)  # type: ignore[type-var]
        return made

    widths = range(multiple, 2**14 + 1, multiple)
    found = bisect_left(
        widths, parameters, key=lambda width: count_parameters(of(width))
    )
    if found == len(widths):
        raise ValueError(
            f"No width up to {widths[-1]} gives {type(config).__name__} {parameters:,} "
            "parameters. Ask for fewer, or add layers."
        )
    return of(widths[found])
