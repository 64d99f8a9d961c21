"""Documents of sentences as one array of token ids, to cut training sequences from.

Shapes: K tokens, S sentences, D documents.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.tokenizers.tokenizer import Tokenizer

BLANK_LINES = re.compile(r"\n\s*\n")
# White space after the end of a sentence, maybe with a quote, not before lower case.
SENTENCE_END = re.compile(r"""(?:(?<=[.!?])|(?<=[.!?]["'”’)\]]))\s+(?=[^\sa-z])""")


@dataclass(frozen=True, eq=False)
class Documents:
    """Tokens, and where sentences and documents begin.

    Attributes:
        tokens: the token ids of all sentences, int32 of shape (K,).
        sentences: the token at which each sentence begins, then K, of shape (S + 1,).
        documents: the sentence at which each document begins, then S, of shape
            (D + 1,).
    """

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    @classmethod
    def of(
        cls, documents: Iterable[Sequence[str]], tokenizer: Tokenizer
    ) -> "Documents":
        r"""Encodes documents that are lists of sentences.

        For the format of the original BERT, one sentence per line and a blank line
        after each document, pass `[d.splitlines() for d in text.split("\n\n")]`.
        Sentences and documents without tokens are left out.

        Raises:
            ValueError: no sentence has a token.
            TypeError: a document is a string.
        """
        documents = [*documents]
        if strings := [document for document in documents if isinstance(document, str)]:
            raise TypeError(
                f"A document must be a list of sentences, got {strings[0]!r:.80}. "
                "Documents.from_text splits a text into sentences."
            )
        documents = [list(sentences) for sentences in documents]
        encoded = tokenizer.encode_batch([s for d in documents for s in d])
        owners = np.repeat(np.arange(len(documents)), [len(d) for d in documents])
        lengths = np.array([len(ids) for ids in encoded], np.int64)
        if not lengths.any():
            raise ValueError(
                "The documents must have at least one token, got none in "
                f"{len(documents)} documents."
            )
        full = lengths > 0
        _, first = np.unique(owners[full], return_index=True)
        return cls(
            np.concatenate(encoded),
            np.concatenate([[0], np.cumsum(lengths[full])]),
            np.append(first, full.sum()),
        )

    @classmethod
    def from_text(
        cls, text: str, tokenizer: Tokenizer, paragraphs: int = 1
    ) -> "Documents":
        """Encodes prose whose paragraphs are separated by blank lines.

        A sentence ends at a full stop, question mark or exclamation mark not followed
        by a lower-case letter. This is crude ("Mr. Smith" is split) but sufficient: to
        BERT, a "sentence" is any stretch of text.

        Args:
            text: the text.
            tokenizer: the tokenizer to encode it with.
            paragraphs: the number of paragraphs per document.
        """
        if paragraphs < 1:
            raise ValueError(f"paragraphs must be at least 1, got {paragraphs}.")
        found = (SENTENCE_END.split(p) for p in BLANK_LINES.split(text) if p.strip())
        groups = iter(lambda: list(itertools.islice(found, paragraphs)), [])
        return cls.of((list(itertools.chain(*group)) for group in groups), tokenizer)

    def __len__(self) -> int:
        """Returns D."""
        return len(self.documents) - 1
