"""Takes texts as strings or token ids, one or several, and returns the same form."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from keras import ops

from zoo.generation.decoding import Decoder
from zoo.generation.sampling import Sampling
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.checks.token_ids import token_range

Texts = Any
"""A string, a list of ids, a list of either, or an array of ids (T,) or (B, T)."""


class TakesTexts:
    """Methods with which a model reads texts and answers in the same form."""

    config: Any
    variables: Any
    tokenizer: Any

    def check_ids(self, token_ids: np.ndarray) -> None:
        """Raises for ids outside the vocabulary.

        Call it before ids are cast, which may turn invalid ids into valid ones.

        Raises:
            ValueError: an id is invalid; the message gives the extremes.
        """
        if token_ids.size and token_ids.dtype.kind not in "iu":
            raise ValueError(
                f"Token ids must be whole numbers, got an array of {token_ids.dtype}."
            )
        token_range(token_ids, self.config).check()

    def check_length(self, length: int | None) -> None:
        """Raises a ValueError if there are more tokens than the context holds."""
        limit = self.config.context_length
        if length is not None and length > limit:
            raise ValueError(
                f"{length} tokens do not fit into context_length={limit}. Shorten the "
                "text, or make the model with a longer context."
            )

    @property
    def _decoder(self) -> Decoder:
        if "compiled_decoder" not in self.__dict__:
            return self.__dict__.setdefault("compiled_decoder", Decoder(self))
        return self.__dict__["compiled_decoder"]

    def need_tokenizer(self) -> Any:
        """The tokenizer.

        Raises:
            ValueError: there is none; the message says how to get one.
        """
        if self.tokenizer is None:
            raise ValueError(
                "Strings need a tokenizer: set model.tokenizer = "
                "zoo.Tokenizer.from_preset(...), load the model with from_preset, or "
                "pass token ids."
            )
        return self.tokenizer

    def _rows(self, texts: Texts) -> list[np.ndarray]:
        """The ids of each text."""
        items = [texts] if is_single(texts) else list(texts)
        rows = []
        for item in items:
            if isinstance(item, str):
                item = self.need_tokenizer().encode(item)
            rows.append(self.row_of(item, "A prompt").astype("int32"))
        return rows

    def row_of(self, ids: Any, what: str) -> np.ndarray:
        """Token ids (T,) of the vocabulary.

        Raises:
            ValueError: they are not one row of valid ids.
        """
        try:
            row = np.asarray(ids)
        except ValueError:  # lists within it, of different lengths
            row = np.zeros((1, 1), object)
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise ValueError(
                f"{what} must be a string or a list of whole-number token ids, "
                f"got {ids!r}."
            )
        self.check_ids(row)
        return row

    def _drawable(self, sampling: Sampling, texts: Texts) -> Sampling:
        """Restricts sampling to ids that the tokenizer knows.

        A vocabulary may be larger than its tokenizer's, rounded up for speed. For
        prompts of ids, `allowed` may list ids beyond the tokenizer's.
        """
        if not isinstance(self.tokenizer, Tokenizer):
            return sampling
        known = self.tokenizer.vocab_size
        if known == self.config.vocab_size:
            return sampling
        if sampling.allowed is None:
            return replace(sampling, allowed=range(known))
        if sampling.allowed.stop > known and any_text(texts):
            raise ValueError(
                f"allowed={sampling.allowed} has ids that the tokenizer of {known} "
                "tokens cannot write as text. Pass ids as prompts."
            )
        return sampling

    def _like(
        self,
        texts: Texts,
        rows: Sequence[np.ndarray],
        text: Callable[[int], str],
    ) -> Any:
        """Rows of ids in the form of `texts`; `text` returns a row's text by number."""
        if isinstance(texts, str):
            return text(0)
        if is_single(texts):
            return rows[0] if isinstance(texts, np.ndarray) else rows[0].tolist()
        if isinstance(texts, np.ndarray):
            lengths = {len(row) for row in rows}
            return np.stack(rows) if len(lengths) == 1 else rows
        return [
            text(number) if isinstance(item, str) else row.tolist()
            for number, (item, row) in enumerate(zip(texts, rows, strict=True))
        ]


def plain(texts: Texts) -> Texts:
    """Converts tensors of any backend to NumPy arrays."""
    if isinstance(texts, (str, list, tuple, np.ndarray)):
        return texts
    return ops.convert_to_numpy(texts)


def any_text(texts: Texts) -> bool:
    """Whether any text is a string."""
    return isinstance(texts, str) or any(isinstance(text, str) for text in texts)


def is_single(texts: Texts) -> bool:
    """Whether this is one text, not several."""
    if isinstance(texts, str):
        return True
    if isinstance(texts, np.ndarray):
        return texts.ndim < 2
    return bool(texts) and isinstance(texts[0], (int, np.integer))
