"""Collocations: counts and PMI against plain loops, and how n-grams are found."""

import math
from collections import Counter

import numpy as np
import pytest

from zoo.data import Collocations, Documents, collocations
from zoo.data.pretraining.pmi import _Fingerprints

pytestmark = pytest.mark.host


def plain_pmi(sentences: list[list[str]], min_count: int) -> dict[int, dict]:
    """Computes equation 3 over all splits of each n-gram."""
    counts = {
        n: Counter(
            tuple(s[i : i + n]) for s in sentences for i in range(len(s) - n + 1)
        )
        for n in range(1, 6)
    }

    def log_p(gram: tuple) -> float:
        return math.log(counts[len(gram)][gram] / counts[len(gram)].total())

    def cuts(gram: tuple):
        for where in range(1, 2 ** (len(gram) - 1)):
            parts, start = [], 0
            for place in range(1, len(gram)):
                if where >> (place - 1) & 1:
                    parts.append(gram[start:place])
                    start = place
            yield [*parts, gram[start:]]

    return {
        n: {
            gram: min(log_p(gram) - sum(map(log_p, parts)) for parts in cuts(gram))
            for gram, count in counts[n].items()
            if count >= min_count
        }
        for n in range(2, 6)
    }


@pytest.fixture(scope="module")
def sentences() -> list[list[str]]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(400):
        some = rng.choice(["the", "cat", "sat", "mat", "dogs", "bark"], size=6).tolist()
        if rng.random() < 0.4:
            some[2:2] = ["new", "york", "citys"]
        made.append(some)
    return made


def test_collocations_are_those_of_highest_pmi(sentences, words):
    documents = Documents.of([[" ".join(s) for s in sentences]], words)
    found = collocations(documents, words, 40, min_count=5)
    plain = plain_pmi(sentences, min_count=5)
    assert [len(found.phrases[n]) for n in range(2, 6)] == [
        min(most, sum(value > 0 for value in plain[n].values()))
        for n, most in zip(range(2, 6), (20, 10, 5, 5), strict=True)
    ]
    for n, phrases in found.phrases.items():
        scores = sorted(plain[n].values(), reverse=True)[: len(phrases)]
        names = [tuple(words.decode(phrase).split()) for phrase in phrases]
        np.testing.assert_allclose(
            [plain[n][name] for name in names], scores, rtol=1e-9
        )
    best = [words.decode(phrases[0]) for phrases in found.phrases.values()][:2]
    assert best[1] == "new york citys"
    assert best[0] in ("new york", "york citys")


def test_ngrams_keep_to_a_sentence(words):
    documents = Documents.of([["new", "york"] * 50], words)
    assert not any(collocations(documents, words, 10).phrases.values())


def test_what_is_unknown_is_no_part_of_them(words):
    documents = Documents.of([["new \u2020 york is big", "the cat sat"]] * 30, words)
    found = collocations(documents, words, 40)
    held = {i for phrases in found.phrases.values() for p in phrases for i in p}
    assert words.encode("\u2020")[0] == words.unk_id not in held
    assert words.token_to_id("big") in held


def test_the_longest_is_found_first(words):
    def ids(text):
        return tuple(words.encode(text).tolist())

    some = Collocations(
        {2: (ids("the cat"), ids("cats sat"), ids("sat on")), 3: (ids("sat on a"),)}
    )
    text = "[CLS] the cats sat on a mat the cat sat on the [SEP]"
    tokens = words.encode(text)[None]
    begins = ~words.continuations[tokens]
    inside = some.inside(tokens, begins)
    found = [words.id_to_token(i) for i in tokens[inside]]
    # "the cat" is not in "the cats"; "cats sat" gives way to "sat on a".
    assert found == ["on", "a", "cat", "on"]
    twice = np.concatenate([tokens, tokens])
    np.testing.assert_array_equal(
        some.inside(twice, np.concatenate([begins, begins])),
        np.repeat(inside, 2, axis=0),
    )


def test_fingerprints_tell_stretches_apart():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 50, 3000)
    starts = rng.integers(0, 2990, 20_000)
    stops = starts + rng.integers(1, 10, 20_000)
    prints = _Fingerprints(tokens).of(starts, stops)
    stretches = [tuple(tokens[a:b]) for a, b in zip(starts, stops, strict=True)]
    by_print = {}
    for value, stretch in zip(prints.tolist(), stretches, strict=True):
        assert by_print.setdefault(value, stretch) == stretch
    assert len(by_print) == len(set(stretches))
    alone = _Fingerprints(np.array(stretches[0])).of(
        np.array([0]), np.array([len(stretches[0])])
    )
    assert alone[0] == prints[0]


def test_collocations_refuse(words):
    documents = Documents.of([["new york"]], words)
    for size, count, name in ((0, 1, "size"), (1, 0, "min_count")):
        with pytest.raises(ValueError, match=f"^{name} must be at least 1, got 0"):
            collocations(documents, words, size, min_count=count)
