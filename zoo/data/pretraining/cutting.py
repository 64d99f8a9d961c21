"""From a text to sequences and masks for pretraining, in one call each."""

from typing import Literal

from zoo.data.pretraining.masking import Masking, Unit, most_masked
from zoo.data.pretraining.pmi import Collocations, collocations
from zoo.data.pretraining.sentence_pairs import (
    Negatives,
    full_sentences,
    sentence_pairs,
)
from zoo.data.text.documents import Documents
from zoo.data.text.sequences import Sequences
from zoo.tokenizers.tokenizer import Tokenizer

MaskUnit = Literal["token", "word", "span", "pmi"]


def pretraining_sequences(
    text: str,
    tokenizer: Tokenizer,
    length: int,
    *,
    negatives: Negatives | None = "random",
    paragraphs: int = 8,
    duplicates: int = 1,
    num_segments: int = 2,
    seed: int = 0,
) -> Sequences:
    """Cuts a text into pairs of sentences, or into full sentences.

    Args:
        text: paragraphs separated by blank lines.
        tokenizer: the tokenizer to encode them with.
        length: tokens per sequence.
        negatives: the pairs that do not belong together, see `sentence_pairs`; None for
            full sentences instead of pairs.
        paragraphs: the number of paragraphs per document.
        duplicates: how many times the documents are cut into pairs.
        num_segments: the model's number of segments, see `Sequences`.
        seed: a non-negative integer that determines the pairs.

    Raises:
        ValueError: an argument is out of range, or the text is too short.
    """
    documents = Documents.from_text(text, tokenizer, paragraphs)
    if negatives is None:
        return full_sentences(documents, tokenizer, length)
    return sentence_pairs(
        documents,
        tokenizer,
        length,
        negatives=negatives,
        duplicates=duplicates,
        num_segments=num_segments,
        seed=seed,
    )


def masking_of_text(
    text: str,
    tokenizer: Tokenizer,
    length: int,
    *,
    rate: float = 0.15,
    unit: MaskUnit = "token",
    most_collocations: int = 2000,
) -> Masking:
    """Masking for sequences of a text, whose n-grams it counts for unit "pmi".

    Args:
        text: the text to train on.
        tokenizer: the tokenizer of the sequences.
        length: tokens per sequence.
        rate: the mean share of ordinary tokens to choose.
        unit: what is chosen as a whole, as in `Masking`; "pmi" stands for the n-grams
            that occur together most.
        most_collocations: the most n-grams to take from the text.
    """
    chosen: Unit | Collocations
    if unit == "pmi":
        documents = Documents.from_text(text, tokenizer)
        chosen = collocations(documents, tokenizer, most_collocations)
    else:
        chosen = unit
    return Masking(tokenizer, most_masked(rate, length), rate=rate, unit=chosen)
