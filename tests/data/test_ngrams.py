"""Tables of n-grams compared with Python's own counters."""

from collections import Counter

import numpy as np
import pytest

from zoo.data.text.ngrams import beginning, count_ngrams, ngrams_ending, suffixes

pytestmark = pytest.mark.host

ORDER = 5


def documents(vocab_size):
    """A long document, one shorter than an n-gram, and another."""
    rng = np.random.default_rng(0)
    chosen = [rng.zipf(1.5, size) % vocab_size for size in (400, 2, 30)]
    return [document.astype("int32") for document in chosen]


def by_hand(texts, size):
    return Counter(
        tuple(text[at : at + size].tolist())
        for text in texts
        for at in range(len(text) - size + 1)
    )


def spelled(tables, vocab_size):
    """Returns the n-grams of each table, in its order."""
    found = [[()]]
    for table in tables[1:]:
        parents, last = np.divmod(table.keys, vocab_size)
        pairs = zip(parents.tolist(), last.tolist(), strict=True)
        found.append([(*found[-1][parent], token) for parent, token in pairs])
    return found


# Few possible n-grams are counted differently from many.
@pytest.mark.parametrize("vocab_size", [4, 50_000])
def test_counts(vocab_size):
    texts = documents(vocab_size)
    tables = count_ngrams(texts, ORDER, vocab_size)
    assert len(tables) == ORDER + 1
    for size, ngrams in enumerate(spelled(tables, vocab_size)[1:], start=1):
        counts = tables[size].counts.tolist()
        expected = by_hand(texts, size)
        assert dict(zip(ngrams, counts, strict=True)) == expected
        assert ngrams == sorted(expected)


def test_numbers_of_what_ends_at_each_token():
    tables = count_ngrams(documents(4), ORDER, 4)
    ngrams = spelled(tables, 4)
    text = np.random.default_rng(1).integers(4, size=60)
    missing = 0
    for size, numbers in enumerate(ngrams_ending(tables, text, 4)):
        assert len(numbers) == 61
        for end, number in enumerate(numbers):
            ending = tuple(text[max(end - size, 0) : end].tolist())
            if number < 0:
                missing += 1
                assert ending not in ngrams[size]
            else:
                assert ngrams[size][number] == ending
    assert 20 < missing < 200


def test_suffixes():
    tables = count_ngrams(documents(4), ORDER, 4)
    ngrams = spelled(tables, 4)
    links = suffixes(tables, 4)
    for size in range(1, ORDER + 1):
        shorter = [ngrams[size - 1][number] for number in links[size]]
        assert shorter == [ngram[1:] for ngram in ngrams[size]]


def test_texts_shorter_than_an_ngram():
    tables = count_ngrams([np.array([2, 1])], 4, 3)
    assert [len(table.keys) for table in tables] == [1, 2, 1, 0, 0]
    assert [len(link) for link in suffixes(tables, 3)] == [1, 2, 1, 0, 0]
    assert [n.tolist() for n in ngrams_ending(tables, np.array([2]), 3)] == [
        [0, 0],
        [-1, 1],
        [-1, -1],
        [-1, -1],
        [-1, -1],
    ]


@pytest.mark.parametrize("vocab_size", [4, 50_000])
def test_beginnings_are_one_more_symbol(vocab_size):
    texts = documents(vocab_size)
    tables = count_ngrams(texts, ORDER, vocab_size, beginnings=True)
    begun = [np.append(vocab_size, text) for text in texts]
    flags = beginning(tables, vocab_size)
    ngrams = spelled(tables, vocab_size + 1)
    for size in range(1, ORDER + 1):
        expected = by_hand(begun, size)
        if size == 1:
            expected[vocab_size,] = 0  # it is never predicted
        counts = tables[size].counts.tolist()
        assert dict(zip(ngrams[size], counts, strict=True)) == expected
        begins = [ngram[0] == vocab_size for ngram in ngrams[size]]
        assert flags[size].tolist() == begins
