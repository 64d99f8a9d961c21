"""Which data are raw text, and the plain strings in them.

A text is a `str`, UTF-8 `bytes`, or an element of an array, a pandas column or a
TensorFlow tensor of strings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.engine.batches import is_tensor

# One list of N texts, or two for pairs.
Segments = tuple[list[str], ...]


def segments_of(x: Any) -> Segments | None:
    """The texts in `x`; None if it holds anything else.

    Args:
        x: a text; a list, array or column of N texts; a list of N pairs, an array or
            table (N, 2); or, as in Keras Hub, a tuple of two such lists, the first
            texts and the second.

    Returns:
        One list of N texts, or two lists for pairs.

    Raises:
        ValueError: some elements are texts and others are not, a text is missing or
            not UTF-8, or the two lists differ in length.
    """
    if is_text(x):
        return (_plain([x]),)
    if isinstance(x, tuple) and len(x) == 2 and not any(map(is_text, x)):
        sides = [segments_of(side) for side in x]
        if any(side is None or len(side) != 1 for side in sides):
            return None
        first, second = (side[0] for side in sides if side is not None)
        if len(first) != len(second):
            raise ValueError(
                "Pairs of texts need as many first texts as second ones, got "
                f"{len(first)} and {len(second)}."
            )
        return first, second
    if (rows := _rows(x)) is None or not len(rows):
        return None
    if is_text(rows[0]):
        return (_plain(rows),)
    if not _is_pair(rows[0]):
        return None
    if wrong := [row for row in rows if not _is_pair(row)]:
        raise ValueError(f"Each row must be a pair of texts, got {wrong[0]!r:.80}.")
    return _plain([row[0] for row in rows]), _plain([row[1] for row in rows])


def is_text(x: Any) -> bool:
    """Whether `x` is a single text."""
    return isinstance(x, (str, bytes))


def _rows(x: Any) -> Sequence[Any] | None:
    """The elements of a list, column, table or tensor that may hold texts."""
    if is_tensor(x):
        if getattr(x, "dtype", None) is None or "string" not in str(x.dtype):
            return None
        x = np.asarray(x)
    elif hasattr(x, "to_numpy") and hasattr(x, "iloc"):  # of pandas
        if getattr(getattr(x, "dtype", None), "kind", "O") in "iufbc" or (
            x.ndim == 2 and x.shape[1] > 2
        ):
            return None
        x = x.to_numpy(dtype=object)
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "OUST" or x.ndim > 2:
            return None
        if x.ndim == 2 and x.shape[1] == 1:
            x = x[:, 0]
        return x.tolist() if x.ndim else [x.item()]
    # Columns of `datasets` are sequences too.
    return x if isinstance(x, Sequence) else None


def _is_pair(row: Any) -> bool:
    return isinstance(row, (list, tuple)) and len(row) == 2 and all(map(is_text, row))


def _plain(texts: Sequence[Any]) -> list[str]:
    """The texts as `str`."""
    found = []
    for number, text in enumerate(texts):
        if isinstance(text, bytes):
            try:
                text = text.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"Text {number} is not UTF-8: {error}.") from None
        if not isinstance(text, str):
            raise ValueError(
                f"All texts must be strings, got {text!r:.80} as text {number}. Leave "
                "such rows out."
            )
        found.append(text)
    return found
