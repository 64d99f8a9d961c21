"""Exact match and F1 of answers, as SQuAD's own script counts them.

Rajpurkar et al. 2016, section 6.1; Rajpurkar et al. 2018 for questions without answer.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized_answer(text: str) -> str:
    """An answer in small letters, without punctuation, articles and further blanks."""
    text = ARTICLES.sub(" ", text.lower().translate(PUNCTUATION))
    return " ".join(text.split())


def exact_match(prediction: str, answer: str) -> float:
    """1.0 if both are the same but for `normalized_answer`, else 0.0."""
    return float(normalized_answer(prediction) == normalized_answer(answer))


def token_f1(prediction: str, answer: str) -> float:
    """The harmonic mean of precision and recall of the normalised answers' words."""
    predicted, true = (normalized_answer(x).split() for x in (prediction, answer))
    if not predicted or not true:
        return float(predicted == true)
    common = (Counter(predicted) & Counter(true)).total()
    return 2 * common / (len(predicted) + len(true))


def answer_metrics(
    answers: Sequence[Sequence[str]], predictions: Sequence[str]
) -> dict[str, float]:
    """Exact match and F1 in percent, of each question the best over its answers.

    Args:
        answers: The right answers to each question; none if there is no answer.
        predictions: One a question; "" says that there is no answer.

    Returns:
        `exact_match` and `f1`; where there are questions without an answer, the same of
        both sorts, as in `has_answer/f1` and `no_answer/f1`.
    """
    exact, f1 = _scores(answers, predictions)
    found = {"exact_match": 100 * exact.mean(), "f1": 100 * f1.mean()}
    answered = np.array([bool(some) for some in answers])
    if not answered.all():
        for name, part in (("has_answer", answered), ("no_answer", ~answered)):
            if part.any():
                found[f"{name}/exact_match"] = 100 * exact[part].mean()
                found[f"{name}/f1"] = 100 * f1[part].mean()
    return {name: float(value) for name, value in found.items()}


@dataclass(frozen=True)
class NoAnswerThreshold:
    """Above which score a question is best said to have no answer.

    Attributes:
        exact_match: The highest exact match over all thresholds, in percent.
        exact_match_threshold: The threshold that gives it.
        f1: The highest F1, in percent.
        f1_threshold: The threshold that gives it.
    """

    exact_match: float
    exact_match_threshold: float
    f1: float
    f1_threshold: float


def best_no_answer_threshold(
    answers: Sequence[Sequence[str]],
    predictions: Sequence[str],
    no_answer_scores: np.ndarray,
) -> NoAnswerThreshold:
    """The thresholds by which SQuAD 2.0's `best_exact` and `best_f1` are the highest.

    A prediction is replaced by "" where its score is above the threshold; -inf replaces
    all. Choose it on one part and report on another.

    Args:
        answers: The right answers to each question; none if there is no answer.
        predictions: One a question, of the text wherever possible.
        no_answer_scores: How much likelier there is none, of shape (N,).
    """
    scores = np.asarray(no_answer_scores, "float64")
    if scores.shape != (len(predictions),) or np.isnan(scores).any():
        raise ValueError(
            f"no_answer_scores are of shape {scores.shape}; expected "
            f"({len(predictions)},), one for each prediction, and none of them NaN"
        )
    order = np.argsort(scores, kind="stable")
    thresholds = np.concatenate([[-np.inf], scores[order]])
    # Questions of one score are answered together, or not.
    possible = np.append(thresholds[1:] != thresholds[:-1], True)
    empty = _scores(answers, [""] * len(predictions))
    best = []
    for kept, none in zip(_scores(answers, predictions), empty, strict=True):
        totals = none.sum() + np.append(0, np.cumsum((kept - none)[order]))
        place = np.where(possible, totals, -np.inf).argmax()
        best += [100 * float(totals[place]) / len(scores), float(thresholds[place])]
    return NoAnswerThreshold(*best)


def _scores(
    answers: Sequence[Sequence[str]], predictions: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Exact match and F1 of each question."""
    if len(answers) != len(predictions) or not len(answers):
        raise ValueError(
            f"{len(predictions)} predictions for {len(answers)} questions; expected "
            "one for each, and some"
        )
    exact, f1 = [], []
    for some, prediction in zip(answers, predictions, strict=True):
        known = [answer for answer in some if normalized_answer(answer)] or [""]
        exact.append(max(exact_match(prediction, answer) for answer in known))
        f1.append(max(token_f1(prediction, answer) for answer in known))
    return np.array(exact), np.array(f1)
