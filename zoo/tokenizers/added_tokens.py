"""Tokens that were added to a vocabulary, as Hugging Face folders keep them.

Three files name them: `added_tokens_decoder` of tokenizer_config.json or, in older
folders, added_tokens.json and special_tokens_map.json; read as `transformers` does.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.files import limits
from zoo.files.damaged import reading
from zoo.files.text_files import read_whole

if TYPE_CHECKING:
    import tokenizers

CONFIG = "tokenizer_config.json"
# Special tokens without an id get theirs in this order; then come others that have a
# name, such as image_token, and then those in the lists.
ROLES = [f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
LISTS = ("additional_special_tokens", "extra_special_tokens")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class Added:
    """A token that was added.

    Attributes:
        content: What stands for it in a text.
        flags: How it is found there, as `tokenizers.AddedToken` takes them.
        id: Its id; None where no file says it.
        file: Which file says so.
    """

    content: str
    flags: Mapping[str, bool]
    id: int | None
    file: Path


def settings(folder: Path) -> dict[str, Any]:
    """What tokenizer_config.json holds; nothing if it is not there."""
    return _json(folder / CONFIG)


def added_tokens(folder: Path) -> list[Added]:
    """A folder's added tokens, in the order of their ids, those without one last.

    Raises:
        ValueError: A file is damaged.
    """
    file = folder / CONFIG
    values = _json(file)
    numbered: list[Added] = []
    if (decoder := values.get("added_tokens_decoder")) is not None:
        special = _special(file, values)
        with reading(file, "added_tokens_decoder: objects with content, by their ids"):
            numbered = [_added(file, x, int(i)) for i, x in decoder.items()]
    else:
        file = folder / "special_tokens_map.json"
        special = _special(file, values | _json(file))
        file = folder / "added_tokens.json"
        with reading(file, "an object of tokens and their ids"):
            for content, number in _json(file).items():
                flags = {"special": content in special}
                flags["normalized"] = not flags["special"]
                numbered.append(Added(content, flags, _whole(number), file))
    numbered = [
        replace(token, flags={**token.flags, "special": True})
        if token.content in special
        else token
        for token in sorted(numbered, key=lambda token: token.id or 0)
    ]
    known = {token.content for token in numbered}
    return numbered + [x for name, x in special.items() if name not in known]


def add(backend: "tokenizers.Tokenizer", tokens: Iterable[Added]) -> None:
    """Adds tokens to a tokenizer of the `tokenizers` library.

    Raises:
        ValueError: A token would get another id than its file says.
    """
    from tokenizers import AddedToken

    tokens = [*tokens]
    backend.add_tokens([AddedToken(x.content, **x.flags) for x in tokens])
    for token in tokens:
        found = backend.token_to_id(token.content)
        if token.id is not None and found != token.id:
            other = backend.id_to_token(token.id)
            taken = f", and {token.id} is the id of {other!r}" if other else ""
            raise ValueError(
                f"{token.file} gives the token {token.content!r} the id {token.id}; "
                f"expected {found}: added tokens go on where the vocabulary ends{taken}"
            )


def _special(file: Path, values: dict[str, Any]) -> dict[str, Added]:
    """Tokens that have a role, such as mask_token, by what stands for them."""
    found: dict[str, Added] = {}
    with reading(file, "special tokens as strings, or as objects with content"):
        for key in sorted(values, key=_place):
            value = values[key]
            several: Iterable[Any] = ()
            if key in LISTS:
                several = value.values() if isinstance(value, dict) else value or ()
            elif key.endswith("_token") and isinstance(value, str | dict):
                several = [value]
            for one in several:
                fields = {"content": one} if isinstance(one, str) else one
                token = _added(file, {"normalized": False, **fields, "special": True})
                found.setdefault(token.content, token)
    return found


def _place(key: str) -> int:
    if key in LISTS:
        return len(ROLES) + 1
    return ROLES.index(key) if key in ROLES else len(ROLES)


def _added(file: Path, fields: dict[str, Any], number: int | None = None) -> Added:
    flags = {name: fields[name] for name in FLAGS if name in fields}
    if wrong := [name for name, value in flags.items() if not isinstance(value, bool)]:
        raise TypeError(f"{wrong[0]} is {flags[wrong[0]]!r}; expected true or false")
    if not isinstance(fields["content"], str) or not fields["content"]:
        raise TypeError(f"content is {fields['content']!r}; expected a string")
    return Added(fields["content"], flags, number, file)


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise TypeError(f"got the id {number!r}; expected a whole number")
    return number


def _json(file: Path) -> dict[str, Any]:
    """A JSON object; an empty one if there is no such file."""
    if not file.exists():
        return {}
    with reading(file, "a JSON object"):
        found = json.loads(read_whole(file, limits.MAX_CONFIG_BYTES))
        if not isinstance(found, dict):
            raise TypeError(f"got {type(found).__name__}")
    return found
