"""Long texts cut into pieces, which the `tokenizers` library encodes in parallel.

GPT-2's pattern never joins a character to white space that follows it, so byte-level
BPE gives the same ids when a text is cut before a line break that follows a character
other than white space.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from zoo.files.surrogates import refuse_halves
from zoo.tokenizers.library import pre_tokenizer

if TYPE_CHECKING:
    import tokenizers

SAFE_CUT = re.compile(r"(?<=\S)(?=\n)")
PIECE = 1 << 12  # characters, at least


def pieces(text: str) -> Iterator[str]:
    """Yields consecutive parts of a text, each but the last `PIECE` or longer."""
    start = 0
    while start < len(text) - PIECE:
        cut = SAFE_CUT.search(text, start + PIECE)
        end = cut.start() if cut else len(text)
        yield text[start:end]
        start = end
    yield text[start:]


def all_pieces(texts: str | Iterable[str]) -> Iterator[str]:
    """Yields the pieces of one or more texts, to train on.

    Raises:
        ValueError: a text has half of a surrogate pair.
    """
    for number, text in enumerate([texts] if isinstance(texts, str) else texts):
        refuse_halves(text, f"text {number}")
        yield from pieces(text)


def cuts_safely(backend: "tokenizers.Tokenizer") -> bool:
    """Tells whether a text has the same ids when it is cut into pieces."""
    rules = pre_tokenizer(backend)
    return (
        rules.get("type") == "ByteLevel"
        and not rules["add_prefix_space"]
        and rules.get("use_regex", True)
        and backend.normalizer is None
        and not any(
            token.rstrip or "\n" in token.content
            for token in backend.get_added_tokens_decoder().values()
        )
    )
