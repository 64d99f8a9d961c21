"""Ends texts at stops, which are strings or ids.

A string is searched for in the text, regardless of token boundaries, and the text is
cut just before it. Ids are searched for among the tokens.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Stop = str | int | Sequence[str | int | Sequence[int]] | None
# Replaces bytes that do not (yet) form a whole character.
UNFINISHED = "\ufffd"
# How many of a prompt's last tokens affect the text of the next ones: whether a space
# comes first, and which bytes of a character are already there.
NEIGHBORS = 8


@dataclass(frozen=True)
class Stops:
    """The stops of a text.

    Attributes:
        ids: sequences of ids that end it.
        strings: strings that end it.
        decode: maps ids to text; None for a model without a tokenizer.
    """

    ids: tuple[tuple[int, ...], ...] = ()
    strings: tuple[str, ...] = ()
    decode: Any = None

    @classmethod
    def of(cls, stop: Stop, model: Any) -> "Stops":
        """The stops from the argument of a model's `generate`.

        Raises:
            ValueError: a stop is empty or has invalid ids.
        """
        decode = None if model.tokenizer is None else model.tokenizer.decode
        if stop is None:
            return cls(decode=decode)
        single = isinstance(stop, str) or not np.iterable(stop)
        items: Any = [stop] if single else stop
        strings = [item for item in items if isinstance(item, str)]
        ids = [
            tuple(
                model.row_of(item if np.iterable(item) else [item], "A stop").tolist()
            )
            for item in items
            if not isinstance(item, str)
        ]
        if not all([*ids, *strings]):
            raise ValueError(f"A stop must not be empty, got {stop!r}.")
        if strings:
            decode = model.need_tokenizer().decode
        return cls(tuple(ids), tuple(strings), decode)


class Written:
    """The new tokens of a row, up to a stop.

    Args:
        stops: the stops that end it.
        prompt: the ids before, which are not searched for stops.
    """

    def __init__(self, stops: Stops, prompt: Sequence[int] | np.ndarray = ()) -> None:
        self.stops = stops
        self.ended = False
        self._prompt = [int(token) for token in prompt]
        self._tokens: list[int] = []
        # If a string ended it, the end of the text within that of all new tokens.
        self._place: int | None = None

    def extend(self, tokens: Iterable[int]) -> None:
        """Adds tokens, unless the row has ended."""
        if self.ended:
            return
        seen = len(self._tokens)
        self._tokens += map(int, tokens)
        starts = (
            (start, stop)
            for stop in self.stops.ids
            for start in range(max(seen - len(stop) + 1, 0), len(self._tokens))
        )
        places = [
            start
            for start, stop in starts
            if tuple(self._tokens[start : start + len(stop)]) == stop
        ]
        if places:
            self.ended = True
            del self._tokens[min(places) :]
        self._look_for_strings()

    def close(self) -> None:
        """Ends the row: no more tokens follow."""
        if not self.ended:
            self.ended = True
            self._look_for_strings()

    def ids(self) -> list[int]:
        """The new tokens; once the row has ended, those entirely before a stop.

        Until then, those that can't be part of a stop.
        """
        if self.ended and self._place is None:
            return self._tokens
        tokens = self._tokens[: len(self._tokens) - self._held(self._tokens, "ids")]
        if self.stops.strings:
            limit = self.new_text()
            while tokens and not limit.startswith(self._new_text_of(tokens)):
                tokens = tokens[:-1]
        return tokens

    def new_text(self) -> str:
        """The text after the prompt; once the row has ended, up to a stop.

        Until then, the part that is final and can't be part of a stop.
        """
        if self._place is not None:
            return self._new_text_of(self._tokens)[: self._place]
        if self.ended:
            return self._new_text_of(self._tokens)
        held = self._held(self._tokens, "ids")
        text = self._new_text_of(self._tokens[: len(self._tokens) - held])
        text = text.rstrip(UNFINISHED)
        return text[: len(text) - self._held(text, "strings")]

    def text(self) -> str:
        """The text of prompt and new tokens, up to a stop."""
        text = self.stops.decode(self._prompt + self._tokens)
        if self._place is None:
            return text
        return text[: len(text) - len(self._new_text_of(self._tokens)) + self._place]

    def _look_for_strings(self) -> None:
        if not self.stops.strings:
            return
        text = self._new_text_of(self._tokens)
        settled = text if self.ended else text.rstrip(UNFINISHED)
        places = [settled.find(string) for string in self.stops.strings]
        if found := [place for place in places if place >= 0]:
            self.ended, self._place = True, min(found)

    def _new_text_of(self, tokens: list[int]) -> str:
        before = self._prompt[-NEIGHBORS:]
        text = self.stops.decode(before + tokens)
        return text[len(os.path.commonprefix([self.stops.decode(before), text])) :]

    def _held(self, written: Sequence, kind: str) -> int:
        """How many of the last tokens or characters may be the start of a stop."""
        if self.ended:
            return 0
        return max(
            (
                size
                for stop in getattr(self.stops, kind)
                for size in range(1, min(len(stop), len(written) + 1))
                if tuple(written[-size:]) == tuple(stop[:size])
            ),
            default=0,
        )


def write(rows: Sequence[Written], parts: Iterable[np.ndarray]) -> None:
    """Adds tokens, (B, n) at a time, to the rows until stops have ended them all."""
    for part in parts:
        for row, tokens in zip(rows, part.tolist(), strict=True):
            row.extend(tokens)
        if all(row.ended for row in rows):
            break
    for row in rows:
        row.close()
