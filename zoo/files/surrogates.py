"""Halves of surrogate pairs: no characters, and in no encoding.

Cut or broken JSON has them (logs, tweets), and so have bytes that are not UTF-8 where a
program read them with errors="surrogateescape", as Python reads its command line.
"""

import re

HALF = re.compile("[\ud800-\udfff]")
REMEDY = 'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'


def half_in(text: str) -> re.Match | None:
    """The first half of a surrogate pair in a text, if there is one."""
    return None if text.isascii() else HALF.search(text)


def refuse_halves(text: str, name: str = "the text") -> None:
    """Raises ValueError if a text has one; the name says which text it is."""
    if found := half_in(text):
        raise ValueError(
            f"{name} has half of a surrogate pair (U+{ord(found[0]):04X}) at position "
            f"{found.start()}, which is no character; {REMEDY} replaces it"
        )
