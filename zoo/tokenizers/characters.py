"""Character-level tokenization: one id for each distinct character.

`tokenizers` takes 2.6 s to encode a million characters; a NumPy lookup table takes
milliseconds.
"""

from typing import TYPE_CHECKING

import numpy as np

from zoo.files.surrogates import refuse_halves
from zoo.tokenizers.library import pre_tokenizer

if TYPE_CHECKING:
    import tokenizers

EVERY_CHARACTER = r"[\s\S]"
RULES = {
    "type": "Split",
    "pattern": {"Regex": EVERY_CHARACTER},
    "behavior": "Isolated",
    "invert": False,
}


def of_text(text: str) -> "tokenizers.Tokenizer":
    """Makes the tokenizer of `zoo.Tokenizer.characters`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    if not text:
        raise ValueError(
            "The text must have at least one character, got an empty text."
        )
    refuse_halves(text)
    vocabulary = {character: i for i, character in enumerate(sorted(set(text)))}
    backend = Tokenizer(models.WordLevel(vocabulary))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(EVERY_CHARACTER), "isolated")
    backend.decoder = decoders.Fuse()
    return backend


class Alphabet:
    """Lookup tables between code points and token ids.

    Args:
        characters: the characters, in the order of their ids.
    """

    def __init__(self, characters: str) -> None:
        """Builds both tables."""
        self._points = _code_points(characters)
        # By code point, up to the largest; a last entry of -1 stands for all above.
        self._ids = np.full(int(self._points.max(initial=0)) + 2, -1, np.int32)
        self._ids[self._points] = np.arange(len(self._points))

    @classmethod
    def of(cls, backend: "tokenizers.Tokenizer") -> "Alphabet | None":
        """Returns the alphabet of a character-level tokenizer, None of any other.

        A tokenizer with added tokens, which may be longer than a character, has none.
        """
        if pre_tokenizer(backend) != RULES:
            return None
        vocabulary = backend.get_vocab()
        characters = sorted(vocabulary, key=vocabulary.__getitem__)
        if [vocabulary[c] for c in characters] != [*range(len(characters))] or any(
            len(c) != 1 for c in characters
        ):
            return None
        return cls("".join(characters))

    def encode(self, text: str) -> np.ndarray:
        """Returns the ids of a text, int32 of shape (number of characters,).

        Raises:
            ValueError: a character is not in the alphabet.
        """
        points = _code_points(text)
        ids = self._ids[np.minimum(points, len(self._ids) - 1)]
        if ids.size and ids.min() < 0:
            place = int(np.argmin(ids))
            raise ValueError(
                f"The character {text[place]!r} (U+{points[place]:04X}) at position "
                f"{place} is not one of this tokenizer's {len(self._points)}. Make the "
                "tokenizer from all the text, drop the character, or use train_bpe, "
                "which encodes any text."
            )
        return ids

    def decode(self, ids: np.ndarray) -> str:
        """Returns the text of ids of shape (number of characters,)."""
        points = self._points[ids.astype(np.int64)]
        return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
