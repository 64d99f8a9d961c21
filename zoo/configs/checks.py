"""Checks of a configuration's fields, before anything is built from it."""

import functools
import math
import numbers
import types
import typing
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from zoo.files.damaged import LONGEST
from zoo.files.limits import MAX_LAYERS, MAX_SIZE

# Fields that say how often something is built or done one after the other.
DEPTHS = (
    "num_layers",
    "num_highways",
    "num_residual_blocks",
    "residual_blocks",
    "discriminator_layers",
    "discriminator_steps",
    "downsampling",
    "order",
)
# Activations by their names in Keras, which would make an object of whatever else a
# file says.
KERAS_ACTIVATIONS = (
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
)
KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
}


def check_fields(config: Any, most: int = MAX_SIZE) -> None:
    """Raises unless each field of a dataclass is of the kind that it is declared.

    Numbers must be finite and within the limits of `zoo.files.limits`. NumPy's become
    Python's and lists become tuples, as files and saving need it.

    Args:
        config: the dataclass, which may be frozen.
        most: the largest whole number.
    """
    cls: Any = type(config)
    for name, kind in _kinds(cls).items():
        value = checked(name, getattr(config, name), kind, most)
        if name in DEPTHS and value > MAX_LAYERS:
            raise ValueError(f"{name} must be at most {MAX_LAYERS}, got {shown(value)}")
        object.__setattr__(config, name, value)


@functools.cache
def _kinds(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def checked(name: str, value: Any, kind: Any, most: int = MAX_SIZE) -> Any:
    """The value of a field, or an error that says what kind it must be of."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # with None
        return None if value is None else checked(name, value, inner[0], most)
    if origin is typing.Literal:
        return checked(name, value, type(inner[0]), most)
    if origin is tuple:
        return _entries(name, value, inner[0], most)
    if origin is dict and isinstance(value, dict):
        return {
            k: checked(f"{name}[{k!r}]", v, inner[1], most) for k, v in value.items()
        }
    if kind is int and _is(value, numbers.Integral):
        if abs(value) <= most:
            return int(value)
        raise ValueError(f"{name} must be at most {most}, got {shown(value)}")
    if kind is float and _is(value, numbers.Real) and math.isfinite(value):
        return value if type(value) in (int, float) else float(value)
    if kind not in (int, float) and isinstance(value, origin or kind):
        return value
    wanted = KINDS.get(kind, f"a {(origin or kind).__name__}")
    raise ValueError(f"{name} must be {wanted}, got {shown(value)}")


def _entries(name: str, value: Any, kind: Any, most: int) -> tuple[Any, ...]:
    """Those of a list, which are of one kind."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list, got {shown(value)}")
    if kind is not str and len(value) > MAX_LAYERS:
        raise ValueError(
            f"{name} must have at most {MAX_LAYERS} entries, got {len(value)}"
        )
    return tuple(checked(f"each of {name}", x, kind, most) for x in value)


def _is(value: Any, kind: type) -> bool:
    """Whether it is a number of that kind; a truth value is none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """What was given, in short: a file may hold a value of any length and depth."""
    if isinstance(value, dict | list | tuple | set):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def check_whole(config: Any, *names: str, least: int = 1) -> None:
    """Raises unless these fields are whole numbers from `least` up."""
    for name in names:
        check_count(name, getattr(config, name), least)


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raises unless `value` is a whole number from `least` up."""
    if not _is(value, int) or value < least:
        raise ValueError(
            f"{name} must be a whole number from {least}, got {shown(value)}"
        )


def check_choice(config: Any, name: str, choices: Sequence[str]) -> None:
    """Raises unless the field is one of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise ValueError(f"{name} must be one of {tuple(choices)}, got {shown(value)}")


def check_rate(config: Any, name: str) -> None:
    """Raises unless the field is a rate of dropout."""
    value = getattr(config, name)
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
