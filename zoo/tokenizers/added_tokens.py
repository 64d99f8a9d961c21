"""Tokens added to a vocabulary, read from Hugging Face folders as `transformers` does.

They are listed in `added_tokens_decoder` of tokenizer_config.json or, in older folders,
in added_tokens.json and special_tokens_map.json.
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
# Special tokens without an id are numbered in this order, then those of other roles,
# such as image_token, then those in the lists.
ROLES = [f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
LISTS = ("additional_special_tokens", "extra_special_tokens")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class Added:
    """An added token.

    Attributes:
        content: the string that it matches in a text.
        flags: how it is matched, the options of `tokenizers.AddedToken`.
        id: its id; None if no file gives one.
        file: the file that lists it.
    """

    content: str
    flags: Mapping[str, bool]
    id: int | None
    file: Path


def settings(folder: Path) -> dict[str, Any]:
    """Returns the content of tokenizer_config.json; {} if there is none."""
    return _json(folder / CONFIG)


def added_tokens(folder: Path) -> list[Added]:
    """Returns a folder's added tokens by ascending id, those without an id last.

    Raises:
        ValueError: a file is damaged.
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
        ValueError: a token would get another id than its file gives.
    """
    from tokenizers import AddedToken

    tokens = [*tokens]
    backend.add_tokens([AddedToken(x.content, **x.flags) for x in tokens])
    for token in tokens:
        found = backend.token_to_id(token.content)
        if token.id is not None and found != token.id:
            other = backend.id_to_token(token.id)
            taken = f" {token.id} is the id of {other!r}." if other else ""
            raise ValueError(
                f"The token {token.content!r} in {token.file} must have the id "
                f"{found}, got {token.id}. The ids of added tokens start where the "
                f"vocabulary ends.{taken}"
            )


def _special(file: Path, values: dict[str, Any]) -> dict[str, Added]:
    """Returns the tokens that have a role, such as mask_token, by content."""
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
        raise TypeError(f"{wrong[0]} must be true or false, got {flags[wrong[0]]!r}.")
    if not isinstance(fields["content"], str) or not fields["content"]:
        raise TypeError(f"content must be a string, got {fields['content']!r}.")
    return Added(fields["content"], flags, number, file)


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise TypeError(f"an id must be a whole number, got {number!r}.")
    return number


def _json(file: Path) -> dict[str, Any]:
    """Reads a JSON object; {} if there is no such file."""
    if not file.exists():
        return {}
    with reading(file, "a JSON object"):
        found = json.loads(read_whole(file, limits.MAX_CONFIG_BYTES))
        if not isinstance(found, dict):
            raise TypeError(f"got {type(found).__name__}.")
    return found
