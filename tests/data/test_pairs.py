"""Pairs and full sentences: balanced labels, no text lost, the right lengths."""

import random

import numpy as np
import pytest

from zoo.data import Documents, full_sentences, load, sentence_pairs
from zoo.data.text.sequences import shortened

pytestmark = pytest.mark.host

LENGTH = 32


@pytest.fixture(scope="module")
def numbered() -> Documents:
    """Documents of 1 to 30 sentences of 1 to 20 tokens; token K is number K."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 31, size=300)
    lengths = rng.integers(1, 21, size=sizes.sum())
    sentences = np.append(0, np.cumsum(lengths))
    documents = np.append(0, np.cumsum(sizes))
    return Documents(np.arange(sentences[-1]), sentences, documents)


def document_of(documents: Documents, token: int) -> int:
    firsts = documents.sentences[documents.documents]
    return int(np.searchsorted(firsts, token, "right"))


def test_documents_know_their_sentences(words):
    documents = Documents.of([["the cat", "", "sat."], [""], ["dogs bark"]], words)
    assert words.decode(documents.tokens) == "the cat sat. dogs bark"
    assert documents.sentences.tolist() == [0, 2, 4, 6]
    assert documents.documents.tolist() == [0, 2, 3]
    assert len(documents) == 2
    with pytest.raises(ValueError, match="at least one token, got none in 1 doc"):
        Documents.of([["", " "]], words)
    with pytest.raises(TypeError, match="list of sentences, got 'The cat sat.'"):
        Documents.of([["a mat"], "The cat sat."], words)


def test_text_is_cut_into_sentences(words):
    text = 'The cat sat. A mat is\nbig? "Dogs bark!" The 3.5 cats sat. the mat\n \nNew!'
    documents = Documents.from_text(text, words)
    cuts = documents.sentences
    found = [
        words.decode(documents.tokens[a:b])
        for a, b in zip(cuts, cuts[1:], strict=False)
    ]
    assert len(found) == 5
    assert found[0] == "the cat sat."
    assert found[1] == "a mat is big?"
    assert found[4] == "new!"
    assert documents.documents.tolist() == [0, 4, 5]
    both = Documents.from_text(text, words, paragraphs=2)
    assert both.documents.tolist() == [0, 5]
    with pytest.raises(ValueError, match="paragraphs must be at least 1, got 0"):
        Documents.from_text(text, words, paragraphs=0)


def test_pairs_are_half_random(numbered, words):
    pairs = sentence_pairs(numbered, words, LENGTH, seed=3)
    assert len(pairs) > 500
    assert abs(pairs.labels.mean() - 0.5) < 1 / len(pairs)
    for row, label in enumerate(pairs.labels):
        a, b = (document_of(numbered, t) for t in pairs.starts[row])
        assert (a == b) == (label == 0)
    together = pairs.labels == 0
    # The successor of A, apart from dropped tokens.
    gap = (pairs.starts[:, 1] - pairs.stops[:, 0])[together]
    assert (gap >= 0).all()
    full = pairs.lengths < LENGTH
    assert (gap[full[together]] == 0).all()


def test_pairs_fill_the_length(numbered, words):
    pairs = sentence_pairs(numbered, words, LENGTH, short=0.0)
    assert pairs.lengths.max() == LENGTH
    assert (pairs.stops > pairs.starts).all()
    assert (pairs.lengths == LENGTH).mean() > 0.8
    shorter = sentence_pairs(numbered, words, LENGTH, short=1.0)
    assert (shorter.lengths == LENGTH).mean() < 0.6
    assert len(shorter) > len(pairs)


def test_pairs_use_the_whole_text(numbered, words):
    pairs = sentence_pairs(numbered, words, 1000, short=0.0)
    used = np.zeros(len(numbered.tokens), bool)
    for start, stop in zip(pairs.starts[:, 0], pairs.stops[:, 0], strict=True):
        used[start:stop] = True
    for row in np.flatnonzero(pairs.labels == 0):
        used[pairs.starts[row, 1] : pairs.stops[row, 1]] = True
    unused = np.flatnonzero(~used)
    # Only the last sentences of documents are left out.
    sentences = np.searchsorted(numbered.sentences, unused, "right") - 1
    assert set(sentences) <= set(numbered.documents[1:] - 1)


def test_swapped_pairs_are_contiguous(numbered, words):
    pairs = sentence_pairs(numbered, words, 1000, negatives="swapped", short=0.0)
    swapped = pairs.labels == 1
    assert abs(swapped.mean() - 0.5) < 1 / len(pairs)
    assert (pairs.stops[~swapped, 0] == pairs.starts[~swapped, 1]).all()
    assert (pairs.stops[swapped, 1] == pairs.starts[swapped, 0]).all()


def test_pairs_depend_on_the_seed_alone(numbered, words):
    first, again, other = (
        sentence_pairs(numbered, words, LENGTH, seed=s).starts for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_truncation_is_the_originals():
    """Against `truncate_seq_pair`, which drops one token at a time."""
    rng = random.Random(0)
    lengths = np.array([[rng.randint(1, 40), rng.randint(1, 40)] for _ in range(500)])
    lost_a, lost_b = shortened(np.zeros_like(lengths), lengths, 30)
    for (a, b), cut_a, cut_b in zip(lengths.tolist(), lost_a, lost_b, strict=True):
        left = [a, b]
        while sum(left) > 30:
            left[0 if left[0] > left[1] else 1] -= 1
        assert left == [a - cut_a, b - cut_b]


def test_truncation_takes_from_both_ends(words):
    sentences = np.array([0, 400, 800, 1000])
    documents = Documents(np.arange(1000), sentences, np.array([0, 2, 3]))
    pairs = [
        sentence_pairs(documents, words, 103, short=0.0, seed=s) for s in range(60)
    ]
    front = np.array([p.starts[0, 0] for p in pairs if p.starts[0, 0] < 400])
    # Of 350 tokens lost, half in front: 175 with a standard deviation of 9.4.
    assert np.abs(front - 175).max() < 5 * 9.4
    assert len(set(front.tolist())) > 10


def test_full_sentences_hold_every_token_once(numbered, words):
    sequences = full_sentences(numbered, words, LENGTH)
    assert sequences.labels is None
    ends = numbered.sentences[numbered.documents[1:-1]]
    np.testing.assert_array_equal(
        sequences.tokens, np.insert(numbered.tokens, ends, words.sep_id)
    )
    separators = ends + np.arange(len(ends))
    ranges = zip(sequences.starts[:, 0], sequences.stops[:, 0], strict=True)
    held = np.concatenate([np.arange(a, b) for a, b in ranges])
    assert (np.diff(held) > 0).all()
    # All but separators that would end a sequence, which has one there anyway.
    missing = np.setdiff1d(np.arange(len(sequences.tokens)), held)
    assert len(missing) and np.isin(missing, separators).all()
    for places in (sequences.starts[:, 0], sequences.stops[:, 0] - 1):
        assert not np.isin(places, separators).any()
    assert sequences.lengths.max() <= LENGTH
    # Every sentence fits into a sequence, so each sequence begins with one.
    firsts = sequences.tokens[sequences.starts[:, 0]]
    assert np.isin(firsts, numbered.sentences).all()


def test_a_sentence_may_fill_a_sequence(words):
    """Its separator is the sequence's own."""
    documents = Documents(np.arange(20), np.array([0, 8, 12, 20]), np.array([0, 1, 3]))
    sequences = full_sentences(documents, words, 10)
    assert sequences.starts[:, 0].tolist() == [0, 9, 13]
    assert sequences.stops[:, 0].tolist() == [8, 13, 21]


def test_full_sentences_cut_long_ones(words):
    documents = Documents(np.arange(25), np.array([0, 20, 25]), np.array([0, 2]))
    sequences = full_sentences(documents, words, 10)
    assert sequences.starts[:, 0].tolist() == [0, 8, 16, 20]
    assert sequences.stops[:, 0].tolist() == [8, 16, 20, 25]


def test_pairs_of_the_manual(words):
    documents = Documents.from_text(load("docs").validation, words, paragraphs=8)
    pairs = sentence_pairs(documents, words, 64)
    batch = pairs.pack(np.arange(20))
    for ids, segments, label in zip(
        batch["token_ids"], batch["segment_ids"], pairs.labels, strict=False
    ):
        assert ids[0] == words.cls_id
        assert (ids == words.sep_id).sum() == 2
        assert label in (0, 1)
        assert set(segments) == {0, 1}
    alike = sentence_pairs(documents, words, 64, num_segments=1)
    assert not alike.pack(np.arange(20))["segment_ids"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 4}, "length must be at least 5.*got 4"),
        ({"short": 1.5}, "short must be .*got 1.5"),
        ({"duplicates": 0}, "duplicates must be at least 1, got 0"),
        ({"negatives": "none"}, "negatives must be one of .*'swapped'.* got 'none'"),
    ],
)
def test_pairs_refuse(numbered, words, arguments, message):
    with pytest.raises(ValueError, match=message):
        sentence_pairs(numbered, words, **{"length": LENGTH, **arguments})


def test_duplicates_are_cut_anew(numbered, words):
    once = sentence_pairs(numbered, words, LENGTH, seed=1)
    pairs = sentence_pairs(numbered, words, LENGTH, duplicates=4, seed=1)
    assert 3.5 < len(pairs) / len(once) < 4.5
    np.testing.assert_array_equal(pairs.labels[: len(once)], once.labels)
    assert len({*map(tuple, pairs.starts)}) > 2 * len(once)
    assert abs(pairs.labels.mean() - 0.5) < 0.01


def test_pairs_need_text(words):
    alone = Documents.of([["the cat", "sat"]], words)
    with pytest.raises(ValueError, match="at least two documents, got one"):
        sentence_pairs(alone, words, LENGTH)
    assert len(sentence_pairs(alone, words, LENGTH, negatives="swapped")) == 1
    single = Documents.of([["the cat"], ["sat"]], words)
    with pytest.raises(ValueError, match="two sentences, got none among 2"):
        sentence_pairs(single, words, LENGTH)
    with pytest.raises(ValueError, match="length must be at least 3.*got 2"):
        full_sentences(single, words, 2)
