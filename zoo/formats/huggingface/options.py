"""Fields of other libraries' configurations, by their names and kinds."""

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
    """A field's value; null, as no value, stands for the default.

    Args:
        theirs: the configuration.
        name: of the field.
        default: what it has where it is not said.
        kind: of its values, where the default does not tell.
        most: the largest whole number; the least of all numbers is 0.

    Raises:
        ValueError: the value is of another kind, or beyond.
    """
    if (value := theirs.get(name)) is None:
        return default
    value = checked(name, value, kind or type(default), most)
    if isinstance(value, int | float) and value < 0:
        raise ValueError(f"{name} must be a number from 0, got {value}")
    return value


def check_fixed(
    theirs: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]], model: str
) -> None:
    """Raises for options that change what a model computes in ways that ours has not.

    Args:
        theirs: the configuration.
        fixed: the values that we have of each; the first is what is meant by none.
        model: ours, for the error.
    """
    for name, values in fixed.items():
        value = theirs.get(name)
        if value is not None and value not in values:
            raise ValueError(
                f"{model} does not have the option {name}={shown(value)}; only "
                f"{name}={values[0]!r} is converted."
            )
