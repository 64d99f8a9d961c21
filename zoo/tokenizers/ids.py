"""Checks the ids that a file gives its tokens."""

from pathlib import Path

from zoo.files.limits import MAX_TOKENS


def check_ids(file: Path, vocabulary: dict[str, int]) -> None:
    """Checks that each token of a vocabulary has an id of its own.

    Raises:
        ValueError: two tokens share an id, or an id is out of range.
    """
    tokens: dict[int, str] = {}
    for token, number in vocabulary.items():
        if type(number) is not int or not 0 <= number < MAX_TOKENS:
            raise ValueError(
                f"The ids in {file} must be from 0 to {MAX_TOKENS - 1:,}, got "
                f"{number!r:.80} for the token {token!r:.80}."
            )
        if (other := tokens.setdefault(number, token)) != token:
            raise ValueError(
                f"{file} must give each id to one token, got {number} for "
                f"{other!r:.80} and for {token!r:.80}."
            )
