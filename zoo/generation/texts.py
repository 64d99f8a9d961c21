"""Strings or token ids in, one or several; the same form out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from zoo.generation.decoding import Decoder

Texts = Any
"""A string, a list of ids, a list of either, or an array of ids (T,) or (B, T)."""


class TakesTexts:
    """What a model needs to read texts and to answer in their form."""

    config: Any
    variables: Any
    tokenizer: Any = None

    def check_ids(self, token_ids: np.ndarray) -> None:
        """Raises for ids outside the vocabulary, naming the worst."""
        vocab_size = self.config.vocab_size
        if token_ids.size and not 0 <= token_ids.min() <= token_ids.max() < vocab_size:
            raise ValueError(
                f"Token ids must be from 0 to {vocab_size - 1} (vocab_size="
                f"{vocab_size}). Received ids from {token_ids.min()} to "
                f"{token_ids.max()}. Was the text encoded with another tokenizer? "
                f"{type(self.config).__name__}(vocab_size=tokenizer.vocab_size) fits."
            )

    def check_length(self, length: int | None) -> None:
        """Raises for more tokens than the model can look at."""
        limit = self.config.context_length
        if length is not None and length > limit:
            raise ValueError(
                f"{length} tokens do not fit into context_length={limit}. Shorten the "
                "text, or make the model with a longer context."
            )

    @property
    def _decoder(self) -> Decoder:
        if "compiled_decoder" not in self.__dict__:
            self.__dict__["compiled_decoder"] = Decoder(self)
        return self.__dict__["compiled_decoder"]

    def _need_tokenizer(self):
        if self.tokenizer is None:
            raise ValueError(
                "Strings need a tokenizer: set model.tokenizer = "
                "zoo.Tokenizer.from_preset(...), load the model with from_preset, or "
                "pass token ids."
            )
        return self.tokenizer

    def _rows(self, texts: Texts) -> list[np.ndarray]:
        """The ids of each."""
        items = [texts] if is_single(texts) else list(texts)
        rows = []
        for item in items:
            if isinstance(item, str):
                item = self._need_tokenizer().encode(item)
            row = np.asarray(item)
            if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
                raise ValueError(
                    "A prompt is a string or a list of whole-number token ids. "
                    f"Received: {item!r}"
                )
            rows.append(row.astype("int32"))
            self.check_ids(rows[-1])
        return rows

    def _like(self, texts: Texts, rows: Sequence[np.ndarray]) -> Any:
        """Rows of ids in the form of `texts`."""
        if isinstance(texts, str):
            return self.tokenizer.decode(rows[0])
        if is_single(texts):
            return rows[0] if isinstance(texts, np.ndarray) else rows[0].tolist()
        if isinstance(texts, np.ndarray):
            lengths = {len(row) for row in rows}
            return np.stack(rows) if len(lengths) == 1 else rows
        return [
            self.tokenizer.decode(row) if isinstance(item, str) else row.tolist()
            for item, row in zip(texts, rows, strict=True)
        ]


def plain(texts: Texts) -> Texts:
    """Tensors of any backend as NumPy's arrays."""
    if isinstance(texts, (str, list, tuple, np.ndarray)):
        return texts
    return ops.convert_to_numpy(texts)


def is_single(texts: Texts) -> bool:
    """Whether it is one text, not several."""
    if isinstance(texts, str):
        return True
    if isinstance(texts, np.ndarray):
        return texts.ndim < 2
    return bool(texts) and isinstance(texts[0], (int, np.integer))
