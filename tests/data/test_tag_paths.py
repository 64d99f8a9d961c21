"""The best paths of tags, compared with a search of all paths."""

import itertools

import numpy as np
import pytest

from zoo.data import TagPaths

pytestmark = pytest.mark.host

NAMES = ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")


def is_whole(tags) -> bool:
    """Tells whether each I-TYPE follows a tag of its type."""
    before = ("O", *tags[:-1])
    return all(
        tag[0] != "I" or last[2:] == tag[2:]
        for last, tag in zip(before, tags, strict=True)
    )


@pytest.mark.parametrize("words", [1, 2, 5])
def test_the_best_of_all_whole_paths(words):
    paths = TagPaths(NAMES, [(1, 3, 0), (2,), (1, 3, 3, 2, 4)])
    rng = np.random.default_rng(words)
    for _ in range(20):
        scores = rng.normal(size=(words, len(NAMES)))
        found = paths.best(scores)
        assert is_whole([NAMES[tag] for tag in found])
        best = max(
            scores[np.arange(words), list(tags)].sum()
            for tags in itertools.product(range(len(NAMES)), repeat=words)
            if is_whole([NAMES[tag] for tag in tags])
        )
        assert scores[np.arange(words), found].sum() == pytest.approx(best)


def test_entities_may_begin_inside_where_the_data_have_them_so():
    """As in the original CoNLL files, where B-TYPE only separates adjacent entities."""
    scores = np.log([[0.4, 0.1, 0.05, 0.4, 0.05], [0.1, 0.1, 0.1, 0.6, 0.1]])
    scores[0, 3] += 0.1
    strict, free = (TagPaths(NAMES, [tags]) for tags in ((0, 1, 3), (0, 3, 3)))
    assert free.best(scores).tolist() == [3, 3]
    assert strict.best(scores).tolist() == [1, 3]
    assert TagPaths(NAMES, [(3, 3)]).best(scores).tolist() == [3, 3]


def test_no_words_and_fewer_tags():
    paths = TagPaths(NAMES, [(0, 1)])
    assert paths.best(np.zeros((0, 5))).shape == (0,)
    assert paths.best(np.log([[0.1, 0.8, 0.1]])).tolist() == [1]
