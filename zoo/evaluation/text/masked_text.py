"""Held-out text, masked once: what BERT's pretraining is judged by."""

from typing import Any

import numpy as np

from zoo.data.pretraining.masked_batches import MaskedBatches
from zoo.data.pretraining.masking import Masking, most_masked
from zoo.data.pretraining.sentence_pairs import (
    Negatives,
    full_sentences,
    sentence_pairs,
)
from zoo.data.text.documents import Documents
from zoo.data.text.sequences import Sequences
from zoo.tokenizers.tokenizer import Tokenizer

RATE = 0.15


def masked_once(
    sequences: Sequences, tokenizer: Tokenizer, length: int, count: int
) -> dict[str, np.ndarray]:
    """Sequences masked by BERT's own rule, always alike, so that figures compare.

    Args:
        sequences: of held-out text.
        tokenizer: that they are of.
        length: tokens of the longest.
        count: how many, at most.

    Returns:
        One batch, as `MaskedBatches` makes them.
    """
    masking = Masking(tokenizer, most_masked(RATE, length), rate=RATE)
    count = min(count, len(sequences))
    (batch,) = MaskedBatches(sequences, masking, count, seed=0).batch(0)
    return batch


def masked_text_metrics(
    model: Any,
    text: str,
    *,
    paragraphs: int = 8,
    duplicates: int = 10,
    negatives: Negatives = "random",
    length: int | None = None,
    count: int = 500,
    seed: int = 0,
) -> dict[str, float]:
    """Losses and accuracies of a `BertPretrainer` with a tokenizer on a text.

    Args:
        model: compiled.
        text: paragraph by paragraph.
        paragraphs: that make up a document.
        duplicates: times that documents are cut into pairs.
        negatives: what pairs are that do not belong together: of a model that learned
            the order of sentences "swapped", see `sentence_pairs`.
        length: tokens of a sequence; the most that the model can read if None.
        count: sequences to mask, at most.
        seed: of the pairs.
    """
    length = length or model.config.context_length
    tokenizer = model.tokenizer
    documents = Documents.from_text(text, tokenizer, paragraphs)
    if model.next_sentence is None:
        sequences = full_sentences(documents, tokenizer, length)
    else:
        sequences = sentence_pairs(
            documents,
            tokenizer,
            length,
            negatives=negatives,
            duplicates=duplicates,
            seed=seed,
        )
    batch = masked_once(sequences, tokenizer, length, count)
    return model.evaluate(batch, batch_size=32, verbose=0, return_dict=True)
