"""Sequences to pretrain on: pairs of sentences, or full sentences alone.

Devlin et al. 2019 (BERT), appendix A.2, and its `create_pretraining_data.py`;
Liu et al. 2019 (RoBERTa), section 4.2; Lan et al. 2020 (ALBERT), section 3.1.

Shapes: N sequences, T tokens of one with [CLS] and [SEP].
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from zoo.data.text.documents import Documents
from zoo.data.text.sequences import Sequences, shortened
from zoo.tokenizers.tokenizer import Tokenizer

Negatives = Literal["random", "swapped"]
# What a model is taught of pairs, and how those are made that do not belong together.
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
    """Cuts documents into pairs A B of which half belong together (label 0).

    A and B are stretches of whole sentences that fill T tokens; what is too long loses
    tokens at the front or the back, by chance. In every second pair, chosen by chance,
    the label is 1. The last sentence of a document has none to follow it, so it begins
    no pair: the original, which pairs it with a random one, has more than half random.

    Args:
        documents: The text.
        tokenizer: What encoded it.
        length: T.
        negatives: What label 1 means: "random", B is of another document (next
            sentence prediction); "swapped", B stands before A (sentence order).
        short: The share of pairs that are made for a shorter length, from 2 tokens on,
            that is drawn for them, so that short inputs occur in training.
        duplicates: How often the documents are cut, each time into other pairs; 10 in
            the original. Which pairs belong together is soon learned by heart from a
            small text that is cut once.
        num_segments: Of the model, see `Sequences`.
        seed: A non-negative integer that selects the pairs.

    Raises:
        ValueError: An argument is out of range, there is one document only from which
            to take random sentences, or none has two sentences.
    """
    special = 2 + tokenizer.separators
    if length < special + 2:
        raise ValueError(
            f"length={length}; expected at least {special + 2}, for two tokens"
        )
    if not 0 <= short <= 1:
        raise ValueError(f"short={short}; expected 0 to 1")
    if negatives not in get_args(Negatives):
        raise ValueError(
            f"negatives={negatives!r}; expected one of {get_args(Negatives)}"
        )
    if negatives == "random" and len(documents) < 2:
        raise ValueError(
            "there is one document; random sentences need another one. A document is a "
            "stretch of paragraphs, which blank lines end: give more text, fewer "
            "paragraphs a document, or learn no pairs (full_sentences)"
        )
    if duplicates < 1:
        raise ValueError(f"duplicates={duplicates}; expected at least 1")
    rng = np.random.default_rng(seed)
    room = length - special
    cuts = (_pairs(documents, room, negatives, short, rng) for _ in range(duplicates))
    pairs = np.array([pair for cut in cuts for pair in cut], np.int64)
    if not pairs.size:
        raise ValueError(
            f"none of the {len(documents)} documents has two sentences; expected "
            "longer ones"
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
    """Fills sequences of one segment with whole sentences, as RoBERTa does.

    They run on from one document to the next, with a [SEP] between; a sentence longer
    than T - 2 is cut.

    Args:
        documents: The text.
        tokenizer: What encoded it.
        length: T.
    """
    if length < 3:
        raise ValueError(f"length={length}; expected at least 3, for one token")
    ends = documents.sentences[documents.documents[1:-1]]
    tokens = np.insert(documents.tokens, ends, tokenizer.sep_id)
    # A separator belongs to the sentence before it.
    bounds = documents.sentences + np.searchsorted(ends, documents.sentences, "right")
    separators = {*(ends + np.arange(len(ends))).tolist()}
    room, sentences = length - 2, bounds.tolist()
    start, places = 0, []
    while start < len(tokens):
        reach = min(start + room, len(tokens))
        # One stands at the end of a sequence in any case.
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
    """Start and stop of A, start and stop of B, label."""
    sentences, firsts = documents.sentences.tolist(), documents.documents.tolist()
    labels = _fair(rng)

    def reach(first: int, tokens: int, at_least: int, last: int) -> int:
        """The sentence before which there are so many tokens from the first one on."""
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
                stop = middle  # what followed A is used later
            else:
                begin, end = middle, stop
            yield *a, sentences[begin], sentences[end], label
            first = stop


def _fair(rng: np.random.Generator) -> Iterator[int]:
    """Zeros and ones by chance, as many of each: every two hold one of both."""
    while True:
        yield from rng.permutation(2).tolist()
