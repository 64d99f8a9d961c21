"""Lone surrogates: halves of surrogate pairs, which no encoding can represent.

Truncated or broken JSON contains them (logs, tweets), and so does text decoded from
bytes that are not UTF-8 with errors="surrogateescape", as Python's command line is.
"""

import re

HALF = re.compile("[\ud800-\udfff]")
REMEDY = 'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'


def half_in(text: str) -> re.Match[str] | None:
    """The first lone surrogate in a text; None if there is none."""
    return None if text.isascii() else HALF.search(text)


def refuse_halves(text: str, name: str = "the text") -> None:
    """Raises ValueError if a text has a lone surrogate; `name` names the text."""
    if found := half_in(text):
        raise ValueError(
            f"{name} has half of a surrogate pair (U+{ord(found[0]):04X}) at position "
            f"{found.start()}, which is not a character; {REMEDY} replaces it."
        )
