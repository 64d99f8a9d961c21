"""Makes configurations from the values in files."""

import inspect
from collections.abc import Mapping
from typing import Any


def made(cls: Any, values: Mapping[str, Any]) -> Any:
    """Makes a configuration from the fields in a file.

    Args:
        cls: the configuration's class.
        values: the fields by name; lists become tuples.

    Raises:
        ValueError: a field is unknown or missing, or has an invalid value.
    """
    accepted = inspect.signature(cls).parameters
    if unknown := sorted(set(values) - set(accepted)):
        raise ValueError(
            f"{cls.__name__} has no fields {unknown}; the file is from another "
            f"version. Known fields: {', '.join(accepted)}."
        )
    needed = [k for k, field in accepted.items() if field.default is field.empty]
    if missing := [name for name in needed if name not in values]:
        raise ValueError(
            f"{cls.__name__} needs the fields {missing}, which the file lacks."
        )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
