"""Reads fields of other libraries' configurations and checks their types."""

from collections.abc import Mapping
from typing import Any

from zoo.configs.checks import checked, shown
from zoo.files.limits import MAX_SIZE


def option(
    theirs: Mapping[str, Any],
    name: str,
    default: Any,
    kind: Any = None,
    most: int = MAX_SIZE,
) -> Any:
    """A field's value, or the default if it is missing or null.

    Args:
        theirs: the configuration.
        name: the field's name.
        default: the value of a missing field.
        kind: the type of the value; by default the type of `default`.
        most: the largest integer allowed; numbers must be at least 0.

    Raises:
        ValueError: the value has another type, or is out of range.
    """
    if (value := theirs.get(name)) is None:
        return default
    value = checked(name, value, kind or type(default), most)
    if isinstance(value, int | float) and value < 0:
        raise ValueError(f"{name} must be at least 0, got {value}.")
    return value


def check_fixed(
    theirs: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]], model: str
) -> None:
    """Raises for options that make a model compute something that ours can't.

    Args:
        theirs: the configuration.
        fixed: the supported values of each option; the first is the default.
        model: the name of our model, for the error.

    Raises:
        ValueError: an option has an unsupported value.
    """
    for name, values in fixed.items():
        value = theirs.get(name)
        if value is not None and value not in values:
            raise ValueError(
                f"{name} must be {values[0]!r} for {model}, got {name}={shown(value)}."
            )
