"""Exact match and F1 of answers, as computed by SQuAD's official script.

Rajpurkar et al. 2016, section 6.1; Rajpurkar et al. 2018 for unanswerable questions.
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
    """An answer in lower case, without punctuation, articles and extra whitespace."""
    text = ARTICLES.sub(" ", text.lower().translate(PUNCTUATION))
    return " ".join(text.split())


def exact_match(prediction: str, answer: str) -> float:
    """1.0 if the normalised answers are equal, else 0.0."""
    return float(normalized_answer(prediction) == normalized_answer(answer))


def token_f1(prediction: str, answer: str) -> float:
    """F1 of the words of two normalised answers, from 0.0 to 1.0."""
    predicted, true = (normalized_answer(x).split() for x in (prediction, answer))
    if not predicted or not true:
        return float(predicted == true)
    common = (Counter(predicted) & Counter(true)).total()
    return 2 * common / (len(predicted) + len(true))


def answer_metrics(
    answers: Sequence[Sequence[str]], predictions: Sequence[str]
) -> dict[str, float]:
    """Exact match and F1 in percent; each question counts its best-matching answer.

    Args:
        answers: the correct answers to each question; empty if it is unanswerable.
        predictions: one answer per question; "" if it has none.

    Returns:
        `exact_match` and `f1`. If there are unanswerable questions, also the same for
        both kinds of questions, as in `has_answer/f1` and `no_answer/f1`.

    Raises:
        ValueError: there are no questions, or not one prediction for each.
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
    """The best score thresholds above which questions count as unanswerable.

    Attributes:
        exact_match: the highest exact match over all thresholds, in percent.
        exact_match_threshold: the threshold with the highest exact match.
        f1: the highest F1 over all thresholds, in percent.
        f1_threshold: the threshold with the highest F1.
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
    """The thresholds that maximise SQuAD 2.0's `best_exact` and `best_f1`.

    A prediction is replaced by "" if its score is above the threshold; -inf replaces
    all. Choose the threshold on one split and report on another.

    Args:
        answers: the correct answers to each question; empty if it is unanswerable.
        predictions: one answer per question, from the text if possible.
        no_answer_scores: (N,) by how much no answer is more likely than the prediction.

    Raises:
        ValueError: there are no questions, or not one prediction and score for each.
    """
    scores = np.asarray(no_answer_scores, "float64")
    if scores.shape != (len(predictions),) or np.isnan(scores).any():
        raise ValueError(
            f"no_answer_scores must have shape ({len(predictions)},), one for each "
            f"prediction, and no NaN, got shape {scores.shape}."
        )
    order = np.argsort(scores, kind="stable")
    thresholds = np.concatenate([[-np.inf], scores[order]])
    # A threshold can't separate questions with equal scores.
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
    """Exact match and F1 of each question, (N,) each."""
    if len(answers) != len(predictions) or not len(answers):
        raise ValueError(
            "There must be one prediction for each question, and at least one, got "
            f"{len(predictions)} predictions for {len(answers)} questions."
        )
    exact, f1 = [], []
    for some, prediction in zip(answers, predictions, strict=True):
        known = [answer for answer in some if normalized_answer(answer)] or [""]
        exact.append(max(exact_match(prediction, answer) for answer in known))
        f1.append(max(token_f1(prediction, answer) for answer in known))
    return np.array(exact), np.array(f1)
