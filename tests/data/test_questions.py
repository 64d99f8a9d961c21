"""Windows of long texts: answers to tokens, and tokens back to text."""

import numpy as np
import pytest

from zoo.data import Question, Tokenizer, load, question_windows

pytestmark = pytest.mark.host


def question(context: str, answer: str | None, asked: str = "the cat ?") -> Question:
    answers = () if answer is None else (answer,)
    starts = tuple(context.index(answer) for answer in answers)
    return Question("0", asked, context, answers, starts)


LONG = "The cats sat on a mat. New York City is big, dogs bark - the cat sat on a mat!"


def one_hot(positions: np.ndarray, length: int) -> np.ndarray:
    return np.where(np.arange(length) == positions[:, None], 9.0, 0.0)


def test_windows_overlap_and_hold_the_answer(words):
    windows = question_windows(
        [question(LONG, "York City")], words, 16, stride=5, max_question=4
    )
    inputs, positions = windows.batch(np.arange(len(windows)))
    texts = [[words.id_to_token(i) for i in ids] for ids in inputs["token_ids"]]
    assert texts[0] == (
        "[CLS] the cat ? [SEP] the cat ##s sat on a mat . new york [SEP]".split()
    )
    begins = windows.starts[:, 1] - windows.starts[0, 1]
    assert begins.tolist() == [0, 5, 10, 15]
    assert windows.stops[-1, 1] == len(windows.tokens)
    for text, (first, last) in zip(texts, positions, strict=True):
        if "york" in text and "city" in text:
            assert text[first : last + 1] == ["york", "city"]
        else:
            assert (first, last) == (0, 0)
    assert positions.dtype == np.int32
    assert positions.any(axis=1).tolist() == [False, True, False, False]


def test_answers_are_found_again(words):
    asked = [
        question(LONG, "York City"),
        question("Dogs bark", "Dogs"),
        question(LONG, None),
    ]
    windows = question_windows(asked, words, 16, stride=5, max_question=4)
    assert windows.owners.tolist() == [0] * 4 + [1] + [2] * 4
    first, last = (one_hot(windows.positions[:, i], 16) for i in (0, 1))
    answers, nothing = windows.answers(first, last)
    assert answers[:2] == ["York City", "Dogs"]
    # [CLS] scores 0 in the answer's window, and 18 everywhere for the third question.
    assert nothing.tolist() == [-18.0, -18.0, 18.0]


def test_answers_against_plain_loops(words):
    """Tries all spans of all windows, one by one."""
    asked = [question(LONG, "York City"), question("Dogs bark", "Dogs")]
    windows = question_windows(asked, words, 16, stride=5, max_question=4)
    start, end = np.random.default_rng(0).normal(size=(2, len(windows), 16))
    sources = windows.sources(np.arange(len(windows)))
    for longest in (1, 3, 30):
        answers, nothing = windows.answers(start, end, max_tokens=longest)
        for number, asked_one in enumerate(asked):
            rows = np.flatnonzero(windows.owners == number)
            found = []
            for row in rows:
                low, high = windows.starts[row, 1], windows.stops[row, 1]
                for i in range(low, high):
                    around = [
                        min(i - a, b - 1 - i) + 0.01 * (b - a) if a <= i < b else -1
                        for a, b in zip(
                            windows.starts[rows, 1], windows.stops[rows, 1], strict=True
                        )
                    ]
                    if rows[np.argmax(around)] != row:
                        continue
                    for j in range(i, min(i + longest, high)):
                        first, last = (list(sources[row]).index(t) for t in (i, j))
                        score = start[row, first] + end[row, last]
                        text = slice(windows.offsets[i, 0], windows.offsets[j, 1])
                        found.append((score, asked_one.context[text]))
            score, text = max(found)
            assert answers[number] == text
            none = (start + end)[rows, 0].min()
            np.testing.assert_allclose(nothing[number], none - score, atol=1e-12)


def test_every_answer_of_a_text_survives():
    """Each span of whole words is recovered, to the character."""
    context = load("docs").validation[:3000]
    tokenizer = Tokenizer.train_wordpiece(context, 400)
    rng = np.random.default_rng(0)
    asked = []
    while len(asked) < 60:
        words = context.split(" ")
        first = rng.integers(len(words) - 4)
        answer = " ".join(words[first : first + 3])
        start = len(" ".join(words[:first])) + 1
        if answer.strip() == answer and first:
            asked.append(Question("0", "what is it?", context, (answer,), (start,)))
    windows = question_windows(asked, tokenizer, 80, stride=30, max_question=10)
    logits = [one_hot(windows.positions[:, i], 80) for i in (0, 1)]
    for x in logits:
        x[:, 0] = 0  # windows without the answer don't matter
    answers, _ = windows.answers(*logits)
    assert answers == [question.answers[0] for question in asked]


def test_answers_keep_their_combining_marks():
    """The tokens themselves have lost them."""
    answers = ("Beyonce\u0301", "Cafe\u0301", "\u0928\u092e\u0938\u094d\u0924\u0947")
    context = f"{answers[0]} sang at the {answers[1]}; {answers[2]} said all."
    tokenizer = Tokenizer.train_wordpiece(context, 100)
    asked = [question(context, answer, "who?") for answer in answers]
    windows = question_windows(asked, tokenizer, 100, stride=50, max_question=8)
    logits = [one_hot(windows.positions[:, i], 100) for i in (0, 1)]
    assert windows.answers(*logits)[0] == [*answers]


def test_robertas_windows(robertas):
    windows = question_windows(
        [question("the cat sat on a mat.", "on a", "the mat?")],
        robertas,
        40,
        stride=5,
        max_question=8,
    )
    inputs, positions = windows.batch(np.arange(1))
    ids = inputs["token_ids"][0]
    ends = np.flatnonzero(ids == robertas.sep_id)
    assert ends[1] == ends[0] + 1 and len(ends) == 3
    first, last = positions[0]
    assert robertas.decode(ids[first : last + 1]).strip() == "on a"
    logits = [one_hot(windows.positions[:, i], 40) for i in (0, 1)]
    assert windows.answers(*logits)[0][0].strip() == "on a"


def test_an_empty_text_has_no_answer(words):
    windows = question_windows(
        [question("", None)], words, 16, stride=5, max_question=4
    )
    answers, nothing = windows.answers(np.zeros((1, 16)), np.zeros((1, 16)))
    assert answers == [""]
    assert nothing.tolist() == [np.inf]


def test_windows_refuse(words):
    for length, stride in ((16, 10), (16, 0), (7, 1)):
        with pytest.raises(ValueError, match=f"stride={stride}, length={length}"):
            question_windows(
                [question("", None)], words, length, stride=stride, max_question=4
            )
    with pytest.raises(ValueError, match="at least one question, got none"):
        question_windows([], words, 300)
    windows = question_windows([question("cat", "cat")], words, 300)
    with pytest.raises(ValueError, match=r"shape \(1, 300\).* got \(1, 20\)"):
        windows.answers(np.zeros((1, 20)), np.zeros((1, 300)))
