"""Checks of a configuration's fields, before anything is built from it."""

from collections.abc import Sequence
from typing import Any


def check_whole(config: Any, *names: str, least: int = 1) -> None:
    """Raises unless these fields are whole numbers from `least` up."""
    for name in names:
        check_count(name, getattr(config, name), least)


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raises unless `value` is a whole number from `least` up."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number from {least}, got {value!r}")


def check_choice(config: Any, name: str, choices: Sequence[str]) -> None:
    """Raises unless the field is one of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise ValueError(f"{name} must be one of {tuple(choices)}, got {value!r}")


def check_rate(config: Any, name: str) -> None:
    """Raises unless the field is a rate of dropout."""
    value = getattr(config, name)
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
