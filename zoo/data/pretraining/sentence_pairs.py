"""Sequences to pretrain on: pairs of sentences, or runs of full sentences.

Devlin et al. 2019 (BERT), appendix A.2, and its `create_pretraining_data.py`;
Liu et al. 2019 (RoBERTa), section 4.2; Lan et al. 2020 (ALBERT), section 3.1.

Shapes: N sequences, T tokens per sequence with [CLS] and [SEP].
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from zoo.data.text.documents import Documents
from zoo.data.text.sequences import Sequences, shortened
from zoo.tokenizers.tokenizer import Tokenizer

Negatives = Literal["random", "swapped"]
# The task on pairs, and how it makes the pairs that do not belong together.
NEGATIVES: dict[str, Negatives] = {"next": "random", "order": "swapped"}


def sentence_pairs(
    documents: Documents,
    tokenizer: Tokenizer,
    length: int,
    *,
    negatives: Negatives = "random",
    short: float = 0.1,
    duplicates: int = 1,
    num_segments: int = 2,
    seed: int = 0,
) -> Sequences:
    """Cuts documents into pairs A B, half of which belong together (label 0).

    A and B are stretches of whole sentences that fill T tokens; if they are too long,
    tokens are dropped at random from either end. Half of the pairs, one of every two,
    get label 1. The last sentence of a document has no successor, so it begins no pair;
    the original pairs it with a random sentence, so that more than half of its pairs
    are random.

    Args:
        documents: the text.
        tokenizer: the tokenizer that encoded it.
        length: T.
        negatives: what label 1 means: "random", B comes from another document (next
            sentence prediction); "swapped", B precedes A in the text (sentence order).
        short: the share of pairs made for a random shorter length, of 2 tokens or more,
            so that training sees short inputs.
        duplicates: how many times the documents are cut, each time into other pairs; 10
            in the original. With one cut of a small text, a model soon memorizes which
            pairs belong together.
        num_segments: the model's number of segments, see `Sequences`.
        seed: a non-negative integer that determines the pairs.

    Raises:
        ValueError: an argument is out of range, random sentences are to come from a
            single document, or no document has two sentences.
    """
    special = 2 + tokenizer.separators
    if length < special + 2:
        raise ValueError(
            f"length must be at least {special + 2}, room for two tokens, got {length}."
        )
    if not 0 <= short <= 1:
        raise ValueError(f"short must be from 0 to 1, got {short}.")
    if negatives not in get_args(Negatives):
        raise ValueError(
            f"negatives must be one of {get_args(Negatives)}, got {negatives!r}."
        )
    if negatives == "random" and len(documents) < 2:
        raise ValueError(
            "Random sentences need at least two documents, got one. A document is a "
            "group of paragraphs, which end at blank lines: give more text, put fewer "
            "paragraphs into a document, or train without pairs (full_sentences)."
        )
    if duplicates < 1:
        raise ValueError(f"duplicates must be at least 1, got {duplicates}.")
    rng = np.random.default_rng(seed)
    room = length - special
    cuts = (_pairs(documents, room, negatives, short, rng) for _ in range(duplicates))
    pairs = np.array([pair for cut in cuts for pair in cut], np.int64)
    if not pairs.size:
        raise ValueError(
            "At least one document must have two sentences, got none among "
            f"{len(documents)}. Give longer documents."
        )
    starts, stops, labels = pairs[:, 0:3:2], pairs[:, 1:4:2], pairs[:, 4]
    for segment, surplus in enumerate(shortened(starts, stops, room)):
        front = rng.binomial(surplus, 0.5)
        starts[:, segment] += front
        stops[:, segment] -= surplus - front
    if negatives == "swapped":
        for places in (starts, stops):
            places[labels == 1] = places[labels == 1, ::-1]
    labels = labels.astype(np.int32)
    return Sequences(
        documents.tokens, starts, stops, length, tokenizer, labels, num_segments
    )


def full_sentences(
    documents: Documents, tokenizer: Tokenizer, length: int
) -> Sequences:
    """Packs whole sentences into sequences of one segment, as RoBERTa does.

    A sequence may continue into the next document, with a [SEP] between. A sentence
    longer than T - 2 tokens is cut.

    Args:
        documents: the text.
        tokenizer: the tokenizer that encoded it.
        length: T.
    """
    if length < 3:
        raise ValueError(
            f"length must be at least 3, room for one token, got {length}."
        )
    ends = documents.sentences[documents.documents[1:-1]]
    tokens = np.insert(documents.tokens, ends, tokenizer.sep_id)
    # A separator belongs to the sentence before it.
    bounds = documents.sentences + np.searchsorted(ends, documents.sentences, "right")
    separators = {*(ends + np.arange(len(ends))).tolist()}
    room, sentences = length - 2, bounds.tolist()
    start, places = 0, []
    while start < len(tokens):
        reach = min(start + room, len(tokens))
        # A sequence ends with a separator anyway, so one here needs no room.
        whole = sentences[bisect_right(sentences, reach + (reach in separators)) - 1]
        stop = whole if whole > start else reach
        places.append((start, stop - (stop - 1 in separators)))
        start = stop
    starts, stops = np.array(places).T[..., None]
    return Sequences(tokens, starts, stops, length, tokenizer)


def _pairs(
    documents: Documents,
    room: int,
    negatives: Negatives,
    short: float,
    rng: np.random.Generator,
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yields the start and stop of A, the start and stop of B, and the label."""
    sentences, firsts = documents.sentences.tolist(), documents.documents.tolist()
    labels = _fair(rng)

    def reach(first: int, tokens: int, at_least: int, last: int) -> int:
        """Returns the sentence to stop before, to have `tokens` tokens from `first`."""
        return bisect_left(sentences, sentences[first] + tokens, first + at_least, last)

    for document, (first, last) in enumerate(zip(firsts, firsts[1:], strict=False)):
        while first < last - 1:
            target = int(rng.integers(2, room + 1)) if rng.random() < short else room
            stop = reach(first, target, 2, last)
            middle = first + int(rng.integers(1, stop - first))
            a = sentences[first], sentences[middle]
            label = next(labels)
            if label and negatives == "random":
                other = (document + rng.integers(1, len(documents))) % len(documents)
                begin = int(rng.integers(firsts[other], firsts[other + 1]))
                rest = target - (a[1] - a[0])
                end = reach(begin, rest, 1, firsts[other + 1])
                stop = middle  # the true successor of A begins the next pair
            else:
                begin, end = middle, stop
            yield *a, sentences[begin], sentences[end], label
            first = stop


def _fair(rng: np.random.Generator) -> Iterator[int]:
    """Yields 0 and 1 in random order, one of each in every two."""
    while True:
        yield from rng.permutation(2).tolist()
