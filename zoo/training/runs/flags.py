"""Flat flags of nested configurations.

A recipe's configuration contains its model's, some of whose fields are flags:

    model: GPTConfig = flags(GPTConfig(1024, 64, 4, 4, 128), "width", "num_layers")

The command line, `config.json` and `replace` use their names without `model`.
"""

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

C = TypeVar("C")
_FLAGS = "flags"


def flags(default: Any, *names: str, **kinds: type | Sequence[str]) -> Any:
    """A dataclass field for a nested configuration, some of whose fields are flags.

    Args:
        default: the nested dataclass; fields that are not flags keep its values.
        *names: fields that are flags.
        **kinds: fields that are flags of a narrower type: that type, or all choices.
    """
    shown = {**dict.fromkeys(names), **kinds}
    return dataclasses.field(default=default, metadata={_FLAGS: shown})


@dataclass(frozen=True)
class _Flag:
    """A flag's name, type and the nested field that holds it; "" for none."""

    name: str
    kind: Any
    holder: str = ""


def _flags_of(cls: type) -> Iterator[_Flag]:
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if _FLAGS not in field.metadata:
            yield _Flag(field.name, hints[field.name])
            continue
        inner = typing.get_type_hints(type(field.default), include_extras=True)
        for name, kind in field.metadata[_FLAGS].items():
            if not isinstance(kind, type):
                kind = inner[name] if kind is None else Literal[tuple(kind)]
            yield _Flag(name, kind, field.name)


def flat(config: Any) -> dict[str, Any]:
    """The values of a configuration's flags, by name."""
    return {
        flag.name: getattr(
            getattr(config, flag.holder) if flag.holder else config, flag.name
        )
        for flag in _flags_of(type(config))
    }


def replace(config: C, /, **changes: Any) -> C:
    """`dataclasses.replace` that also accepts the flags of nested configurations."""
    nested: dict[str, dict[str, Any]] = {}
    for flag in _flags_of(type(config)):
        if flag.holder and flag.name in changes:
            nested.setdefault(flag.holder, {})[flag.name] = changes.pop(flag.name)
    for holder, values in nested.items():
        inner = changes.get(holder, getattr(config, holder))
        changes[holder] = dataclasses.replace(inner, **values)
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def parse_flags(config: C, args: Sequence[str], description: str) -> C:
    """A configuration with the changes from the command line.

    Args:
        config: the defaults.
        args: the command line.
        description: the first lines of `--help`.

    Raises:
        ValueError: a nested configuration rejects its values.
    """
    import tyro

    words = _words(type(config))
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        if _FLAGS in field.metadata:
            words = _words(type(field.default)) | words
    values = flat(config)
    flags = dataclasses.make_dataclass(
        type(config).__name__,
        [
            (
                flag.name,
                Annotated[flag.kind, tyro.conf.arg(help=words.get(flag.name))],
                dataclasses.field(default=values[flag.name]),
            )
            for flag in _flags_of(type(config))
        ],
    )
    found = vars(tyro.cli(flags, args=args, description=description))
    return replace(
        config, **{name: x for name, x in found.items() if x != values[name]}
    )


def _words(kind: type) -> dict[str, str]:
    """The description of each field in the docstrings of a dataclass and its bases."""
    import docstring_parser

    words: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            for each in docstring_parser.parse(base.__doc__ or "").params:
                words[each.arg_name] = (each.description or "").replace("\n", " ")
    return words
