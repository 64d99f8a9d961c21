"""Exact match and F1 as in SQuAD's script, and its best threshold."""

import numpy as np
import pytest

from zoo.evaluation import answer_metrics, best_no_answer_threshold
from zoo.evaluation.text.answers import exact_match, normalized_answer, token_f1

pytestmark = pytest.mark.host


def test_normalisation():
    assert normalized_answer(" The U.S.A., a  (big)\tAnthem's an!") == "usa big anthems"
    assert normalized_answer("the") == ""
    assert normalized_answer("theatre") == "theatre"


@pytest.mark.parametrize(
    ("prediction", "answer", "exact", "f1"),
    [
        ("the Bonn", "bonn.", 1, 1),
        ("in Bonn", "Bonn", 0, 2 / 3),
        ("Bonn Bonn am Rhein", "Bonn am Rhein", 0, 6 / 7),
        ("Köln", "Bonn", 0, 0),
        ("", "", 1, 1),
        ("", "Bonn", 0, 0),
        ("Bonn", "", 0, 0),
    ],
)
def test_one_answer(prediction, answer, exact, f1):
    assert exact_match(prediction, answer) == exact
    assert token_f1(prediction, answer) == pytest.approx(f1)


def test_the_best_of_several_answers():
    answers = [["Bonn", "in Bonn"], ["a cat"], []]
    found = answer_metrics(answers, ["in the Bonn", "cat sat", ""])
    assert found == pytest.approx(
        {
            "exact_match": 200 / 3,
            "f1": 100 * (1 + 2 / 3 + 1) / 3,
            "has_answer/exact_match": 50,
            "has_answer/f1": 100 * (1 + 2 / 3) / 2,
            "no_answer/exact_match": 100,
            "no_answer/f1": 100,
        }
    )
    assert set(answer_metrics(answers[:2], ["", ""])) == {"exact_match", "f1"}
    # Answers that normalise to nothing do not count, as in SQuAD 2.0.
    assert answer_metrics([["the"]], [""])["exact_match"] == 100


def test_the_best_threshold_against_all():
    rng = np.random.default_rng(0)
    for trial in range(30):
        size = rng.integers(1, 12)
        words = np.array(["a b c", "b c", "c", "d e"])
        answers = [[w] if rng.random() < 0.6 else [] for w in rng.choice(words, size)]
        predictions = rng.choice(words, size).tolist()
        scores = rng.normal(size=size) if trial % 2 else rng.integers(0, 3, size)
        best = best_no_answer_threshold(answers, predictions, scores)

        every = {}
        for threshold in (-np.inf, *scores):
            kept = zip(predictions, scores <= threshold, strict=True)
            chosen = [prediction if keep else "" for prediction, keep in kept]
            every[threshold] = answer_metrics(answers, chosen)
        for name in ("exact_match", "f1"):
            value = getattr(best, name)
            assert value == pytest.approx(max(found[name] for found in every.values()))
            threshold = getattr(best, f"{name}_threshold")
            assert every[threshold][name] == pytest.approx(value)


def test_refusals():
    with pytest.raises(ValueError, match="2 predictions for 1 questions"):
        answer_metrics([["a"]], ["a", "b"])
    with pytest.raises(ValueError, match="0 predictions for 0"):
        answer_metrics([], [])
    for scores in (np.zeros(2), np.array([np.nan])):
        with pytest.raises(ValueError, match="no_answer_scores must have shape"):
            best_no_answer_threshold([["a"]], ["a"], scores)
