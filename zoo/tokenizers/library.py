"""What this package needs of the `tokenizers` library: its rules, and its errors."""

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zoo.files.damaged import cause, is_panic

if TYPE_CHECKING:
    import tokenizers


def pre_tokenizer(backend: "tokenizers.Tokenizer") -> dict[str, Any]:
    """Returns the rules that split a text into words; {} if there are none."""
    return json.loads(backend.to_str())["pre_tokenizer"] or {}


@contextlib.contextmanager
def library_errors(use: str) -> Iterator[None]:
    """Turns any error of the library, Rust's panics included, into a ValueError.

    Args:
        use: what the tokenizer was asked to do, to follow "can't".
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, ValueError) or not (
            isinstance(error, Exception) or is_panic(error)
        ):
            raise
        raise ValueError(f"This tokenizer can't {use}: {cause(error)}") from error
