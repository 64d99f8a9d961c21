"""Documents of sentences as one run of token ids, to cut training sequences from.

Shapes: K tokens, S sentences, D documents.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.tokenizers.tokenizer import Tokenizer

BLANK_LINES = re.compile(r"\n\s*\n")
# White space after a full stop, maybe with a quote, that no small letter follows.
SENTENCE_END = re.compile(r"""(?:(?<=[.!?])|(?<=[.!?]["'”’)\]]))\s+(?=[^\sa-z])""")


@dataclass(frozen=True, eq=False)
class Documents:
    """Tokens, and where sentences and documents begin.

    Attributes:
        tokens: Token ids of all sentences, int32 of shape (K,).
        sentences: The token at which each sentence begins, then K: (S + 1,).
        documents: The sentence at which each document begins, then S: (D + 1,).
    """

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    @classmethod
    def of(
        cls, documents: Iterable[Sequence[str]], tokenizer: Tokenizer
    ) -> "Documents":
        r"""Encodes documents that are lists of sentences.

        Of the original BERT's format, a sentence a line and a blank line after each
        document, pass `[d.splitlines() for d in text.split("\n\n")]`. Sentences and
        documents without a token are left out.

        Raises:
            ValueError: No sentence has a token.
            TypeError: A document is a string.
        """
        documents = [*documents]
        if strings := [document for document in documents if isinstance(document, str)]:
            raise TypeError(
                f"got the document {strings[0]!r:.80}; expected a list of sentences. "
                "Documents.from_text cuts a text into them"
            )
        documents = [list(sentences) for sentences in documents]
        encoded = tokenizer.encode_batch([s for d in documents for s in d])
        owners = np.repeat(np.arange(len(documents)), [len(d) for d in documents])
        lengths = np.array([len(ids) for ids in encoded], np.int64)
        if not lengths.any():
            raise ValueError(
                f"the {len(documents)} documents have no token; expected sentences"
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
        """Encodes prose, in which blank lines stand between paragraphs.

        A sentence ends at a full stop, question or exclamation mark that no small
        letter follows: crude ("Mr. Smith" is cut), and enough, since a "sentence" of
        BERT is any stretch of text.

        Args:
            text: The text.
            tokenizer: What encodes it.
            paragraphs: How many make up one document.
        """
        if paragraphs < 1:
            raise ValueError(f"paragraphs={paragraphs}; expected at least 1")
        found = (SENTENCE_END.split(p) for p in BLANK_LINES.split(text) if p.strip())
        groups = iter(lambda: list(itertools.islice(found, paragraphs)), [])
        return cls.of((list(itertools.chain(*group)) for group in groups), tokenizer)

    def __len__(self) -> int:
        """D."""
        return len(self.documents) - 1
