"""Fields of other libraries' configurations, by their names and kinds."""

from collections.abc import Mapping
from typing import Any

from zoo.models.config_checks import checked, shown


def option(theirs: Mapping[str, Any], name: str, default: Any, kind: Any = None) -> Any:
    """A field's value; null, as no value, stands for the default.

    Args:
        theirs: the configuration.
        name: of the field.
        default: what it has where it is not said.
        kind: of its values, where the default does not tell.

    Raises:
        ValueError: the value is of another kind.
    """
    value = theirs.get(name)
    return default if value is None else checked(name, value, kind or type(default))


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
