"""Configurations of what files say."""

import inspect
from collections.abc import Mapping
from typing import Any


def made(cls: Any, values: Mapping[str, Any]) -> Any:
    """A configuration of the fields that a file says.

    Raises:
        ValueError: it has no such fields, or needs others, or a value is a wrong one.
    """
    accepted = inspect.signature(cls).parameters
    if unknown := sorted(set(values) - set(accepted)):
        raise ValueError(
            f"{cls.__name__} has no fields {unknown}; the file is from another "
            f"version. Known fields: {', '.join(accepted)}"
        )
    needed = [k for k, field in accepted.items() if field.default is field.empty]
    if missing := [name for name in needed if name not in values]:
        raise ValueError(
            f"{cls.__name__} needs the fields {missing}; the file has none"
        )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
