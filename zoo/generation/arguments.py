"""Checks of numeric arguments, by name, before anything is computed."""

import math
import numbers
import operator
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """`value` as an int, from Python's or NumPy's integers.

    Raises:
        ValueError: it is not a whole number from `least` to `most`.
    """
    number = None
    if not isinstance(value, (bool, np.bool_)) and hasattr(value, "__index__"):
        number = operator.index(value)
    if number is None or not least <= number <= most:
        limits = f"from {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {limits}, got {value!r}.")
    return number


def real(name: str, value: Any) -> float:
    """`value` as a float, from Python's or NumPy's numbers.

    Raises:
        ValueError: it is not a finite number.
    """
    if isinstance(value, (bool, np.bool_)) or not (
        isinstance(value, numbers.Real) and math.isfinite(value)
    ):
        raise ValueError(f"{name} must be a finite number, got {value!r}.")
    return float(value)


def length_penalty(value: Any) -> float:
    """`value` as an exponent of lengths, small enough for a thousand tokens in float32.

    Raises:
        ValueError: it is not a number from -10 to 10.
    """
    if not -10 <= real("length_penalty", value) <= 10:
        raise ValueError(f"length_penalty must be from -10 to 10, got {value!r}.")
    return float(value)


def generator(seed: int | None) -> np.random.Generator:
    """A random generator with this seed; a random one for None."""
    return np.random.default_rng(None if seed is None else whole("seed", seed, 0))
