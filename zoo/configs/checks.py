"""Checks a configuration's fields before anything is built from it."""

import functools
import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from zoo.configs.made import made
from zoo.files.damaged import LONGEST
from zoo.files.limits import MAX_LAYERS, MAX_SIZE

# Fields that count things that are built or done one after another.
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
# The names of Keras's activations; Keras would construct an object from any other value
# in a file.
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
    """Checks that each field of a dataclass has its declared type.

    Numbers must be finite and within the limits of `zoo.files.limits`. NumPy numbers
    become Python's and lists become tuples, as saving requires. A field may be a
    configuration itself; a dict, as files hold it, is made into one.

    Args:
        config: the dataclass, which may be frozen.
        most: the largest integer allowed.

    Raises:
        ValueError: a field has another type, or is out of range.
    """
    cls: Any = type(config)
    for name, kind in _kinds(cls).items():
        value = checked(name, getattr(config, name), kind, most)
        if name in DEPTHS and value > MAX_LAYERS:
            raise ValueError(
                f"{name} must be at most {MAX_LAYERS}, got {shown(value)}."
            )
        object.__setattr__(config, name, value)


@functools.cache
def _kinds(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def checked(name: str, value: Any, kind: Any, most: int = MAX_SIZE) -> Any:
    """The value of a field, converted to its declared type.

    Args:
        name: of the field, for the error message.
        value: to check.
        kind: the declared type.
        most: the largest integer allowed.

    Raises:
        ValueError: the value has another type, or is out of range.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # the other type is None
        return None if value is None else checked(name, value, inner[0], most)
    if origin is typing.Literal:
        return checked(name, value, type(inner[0]), most)
    if origin is tuple:
        return _entries(name, value, inner[0], most)
    if origin is dict and isinstance(value, dict):
        return {
            k: checked(f"{name}[{k!r}]", v, inner[1], most) for k, v in value.items()
        }
    if is_dataclass(kind) and isinstance(value, Mapping):
        try:
            return made(kind, value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error
    if kind is int and _is(value, numbers.Integral):
        if abs(value) <= most:
            return int(value)
        raise ValueError(f"{name} must be at most {most}, got {shown(value)}.")
    if kind is float and _is(value, numbers.Real) and math.isfinite(value):
        return value if type(value) in (int, float) else float(value)
    if kind not in (int, float) and isinstance(value, origin or kind):
        return value
    wanted = KINDS.get(kind, f"a {(origin or kind).__name__}")
    raise ValueError(f"{name} must be {wanted}, got {shown(value)}.")


def _entries(name: str, value: Any, kind: Any, most: int) -> tuple[Any, ...]:
    """The checked entries of a list, which all have one type."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list, got {shown(value)}.")
    if kind is not str and len(value) > MAX_LAYERS:
        raise ValueError(
            f"{name} must have at most {MAX_LAYERS} entries, got {len(value)}."
        )
    return tuple(checked(f"each of {name}", x, kind, most) for x in value)


def _is(value: Any, kind: type) -> bool:
    """Whether a value is a number of this kind; booleans are not numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value in short form: a file may hold one of any length and depth."""
    if isinstance(value, dict | list | tuple | set):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def check_whole(config: Any, *names: str, least: int = 1) -> None:
    """Raises ValueError unless these fields are integers of at least `least`."""
    for name in names:
        check_count(name, getattr(config, name), least)


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raises ValueError unless `value` is an integer of at least `least`."""
    if not _is(value, int) or value < least:
        raise ValueError(
            f"{name} must be a whole number from {least}, got {shown(value)}."
        )


def check_choice(config: Any, name: str, choices: Sequence[str]) -> None:
    """Raises ValueError unless the field is one of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise ValueError(f"{name} must be one of {tuple(choices)}, got {shown(value)}.")


def check_rate(config: Any, name: str) -> None:
    """Raises ValueError unless the field is a dropout rate, in [0, 1)."""
    value = getattr(config, name)
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}.")
