"""Numbers that a caller gives, checked by name before anything is computed."""

import math
import numbers
import operator
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """The whole number that `value` is, NumPy's too; ValueError if it is none."""
    number = None
    if not isinstance(value, (bool, np.bool_)) and hasattr(value, "__index__"):
        number = operator.index(value)
    if number is None or not least <= number <= most:
        limits = f"from {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {limits}, got {value!r}")
    return number


def real(name: str, value: Any) -> float:
    """The finite number that `value` is, NumPy's too; ValueError if it is none."""
    if isinstance(value, (bool, np.bool_)) or not (
        isinstance(value, numbers.Real) and math.isfinite(value)
    ):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def length_penalty(value: Any) -> float:
    """A power of lengths, such that float32 holds that of a thousand tokens."""
    if not -10 <= real("length_penalty", value) <= 10:
        raise ValueError(f"length_penalty must be from -10 to 10, got {value!r}")
    return float(value)


def generator(seed: int | None) -> np.random.Generator:
    """Draws by a seed, by chance of None."""
    return np.random.default_rng(None if seed is None else whole("seed", seed, 0))
