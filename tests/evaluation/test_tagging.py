"""Entities and their metrics, as in `seqeval` 1.2.2."""

import random

import pytest

from zoo.evaluation import entities, entity_metrics

pytestmark = pytest.mark.host

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
        ("B-PER B-PER I-PER", [("PER", 0, 0), ("PER", 1, 2)]),
        ("I-PER I-PER O I-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 0), ("LOC", 1, 2)]),
        ("I-PER B-PER I-LOC", [("PER", 0, 0), ("PER", 1, 1), ("LOC", 2, 2)]),
        ("O O", []),
        ("", []),
        ("B-A-B I-A-B I-A", [("A-B", 0, 1), ("A", 2, 2)]),
    ],
)
def test_entities(tags, expected):
    """Expected values are those that `seqeval`'s `get_entities` returned."""
    assert entities(tags.split()) == expected


def conlleval(tags: list[str]) -> list[tuple[str, int, int]]:
    """Applies conlleval.pl's rules for the start and end of a chunk."""
    found, begin, previous = [], 0, "O"
    for place, tag in enumerate([*tags, "O"]):
        changed = previous[2:] != tag[2:]
        if previous != "O" and (tag[0] in "BO" or changed):
            found.append((previous[2:], begin, place - 1))
        if tag[0] == "B" or (tag[0] == "I" and (previous == "O" or changed)):
            begin = place
        previous = tag
    return found


def test_entities_of_random_tags():
    rng = random.Random(0)
    for _ in range(3000):
        tags = rng.choices(TAGS, k=rng.randint(0, 12))
        assert entities(tags) == conlleval(tags)


def test_figures():
    """Expected values are `seqeval`'s: micro, macro and by type."""
    labels = ["B-PER I-PER O B-LOC", "O B-LOC I-LOC O", "I-ORG O"]
    predictions = ["B-PER I-PER O I-LOC", "O B-LOC O O", "O B-PER"]
    found = entity_metrics(
        [x.split() for x in labels], [x.split() for x in predictions]
    )
    expected = {
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "macro_f1": (0.5 + 0.0 + 2 / 3) / 3,
        "LOC/precision": 0.5,
        "LOC/recall": 0.5,
        "LOC/f1": 0.5,
        "ORG/precision": 0.0,
        "ORG/recall": 0.0,
        "ORG/f1": 0.0,
        "PER/precision": 0.5,
        "PER/recall": 1.0,
        "PER/f1": 2 / 3,
    }
    assert found == pytest.approx(expected, abs=1e-12)
    nothing = entity_metrics([["O"]], [["O"]])
    assert nothing == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "macro_f1": 0.0}


def test_refusals():
    with pytest.raises(ValueError, match="tag 'PER' at word 1"):
        entities(["O", "PER"])
    with pytest.raises(
        ValueError, match="labels have 2 tags in 1 sentences, .* 1 in 1"
    ):
        entity_metrics([["O", "O"]], [["O"]])
