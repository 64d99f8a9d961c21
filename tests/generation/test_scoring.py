"""Scores beside the logits that they come from."""

import numpy as np
import pytest

from tests.generation.models import CONTEXT, chain, log_softmax, logits
from zoo import Tokenizer

TEXT = [3, 1, 4, 1, 5, 9, 2, 6]


def by_hand(gpt, ids) -> np.ndarray:
    scores = log_softmax(logits(gpt, np.asarray([ids[:-1]])))[0]
    return np.asarray([scores[at, token] for at, token in enumerate(ids[1:])])


def test_scores_are_log_probabilities(gpt):
    found = gpt.score(TEXT)
    assert isinstance(found, np.ndarray)
    assert found.shape == (len(TEXT) - 1,)
    assert np.abs(found - by_hand(gpt, TEXT)).max() < 1e-4
    assert np.array_equal(gpt.score(np.asarray(TEXT)), found)


def test_lists_of_different_lengths(gpt):
    texts = [*[TEXT, TEXT[:3], TEXT[::-1], [0, 12]] * 4, TEXT]  # more than one batch
    found = gpt.score(texts)
    assert len(found) == len(texts) == 17
    for text, scores in zip(texts, found, strict=True):
        assert np.abs(scores - by_hand(gpt, text)).max() < 1e-4
    assert gpt.score([]) == []


def test_a_prompt_is_a_condition(gpt):
    found = gpt.score(TEXT[3:], prompt=TEXT[:3])
    assert np.abs(found - by_hand(gpt, TEXT)[2:]).max() < 1e-4
    several = gpt.score([TEXT[3:], [7]], prompt=TEXT[:3])
    assert np.abs(several[0] - found).max() < 1e-5
    assert several[1].shape == (1,)
    each = gpt.score([TEXT[3:], [7]], prompt=[TEXT[:3], [2, 2]])
    assert np.abs(each[0] - found).max() < 1e-5
    assert np.abs(each[1] - by_hand(gpt, [2, 2, 7])[1:]).max() < 1e-4


def test_probabilities_of_all_continuations_sum_to_one(gpt):
    found = gpt.score([[token] for token in range(13)], prompt=TEXT)
    assert np.exp(np.concatenate(found)).sum() == pytest.approx(1, abs=1e-5)


def test_a_whole_context_and_one_more(gpt):
    text = np.arange(CONTEXT + 1) % 13
    assert gpt.score(text).shape == (CONTEXT,)
    with pytest.raises(ValueError, match=r"from 2 to 33 tokens.*got 34"):
        gpt.score(np.arange(CONTEXT + 2) % 13)


def test_strings():
    model = chain([1, 2, 0])
    model.tokenizer = Tokenizer.characters("abc")
    likely, unlikely = model.score("abca"), model.score("acba")
    assert likely.shape == unlikely.shape == (3,)
    assert likely.min() > unlikely.max()
    assert np.array_equal(model.score("ca", prompt="ab"), likely[1:])


def test_errors(gpt):
    with pytest.raises(ValueError, match=r"from 2 to 33 tokens.*got 1"):
        gpt.score([1])
    with pytest.raises(ValueError, match="got 2 prompts for 3 texts"):
        gpt.score([[1], [2], [3]], prompt=[[1], [2]])
    with pytest.raises(ValueError, match="Token ids must be from 0 to 12"):
        gpt.score([1, 13])
