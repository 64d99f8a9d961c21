"""What may be chosen, and how often it is."""

import numpy as np
import pytest
from keras import ops
from scipy import stats

from tests.generation.models import VOCABULARY, log_softmax, logits
from zoo.generation.sampling import Sampling, choose, keep_top_k, keep_top_p

LOGITS = np.random.default_rng(0).normal(size=(6, 50), scale=3).astype("float32")
PROMPT = [3, 1, 4, 1, 5]
ROWS = 512


def probabilities(scores) -> np.ndarray:
    return np.exp(log_softmax(np.asarray(scores)))


def kept(scores) -> np.ndarray:
    return ops.convert_to_numpy(scores) > -1e20


@pytest.mark.parametrize("k", [1, 2, 7, 50, 80])
def test_top_k(k):
    order = np.argsort(-LOGITS, axis=-1)
    expected = np.zeros(LOGITS.shape, bool)
    np.put_along_axis(expected, order[:, :k], True, axis=-1)
    found = keep_top_k(ops.convert_to_tensor(LOGITS), k)
    assert np.array_equal(kept(found), expected)
    assert np.array_equal(ops.convert_to_numpy(found)[expected], LOGITS[expected])


@pytest.mark.parametrize("p", [1e-6, 0.3, 0.9, 0.99])
def test_top_p(p):
    expected = np.zeros(LOGITS.shape, bool)
    for row, chances in zip(expected, probabilities(LOGITS), strict=True):
        total = 0.0
        for token in np.argsort(-chances):
            row[token] = True
            total += chances[token]
            if total >= p:
                break
    found = keep_top_p(ops.convert_to_tensor(LOGITS), p)
    assert np.array_equal(kept(found), expected)
    assert expected.sum(-1).min() == 1 if p < 0.1 else expected.sum(-1).max() > 1


def chosen(sampling, scores, seen=None, noise=None) -> np.ndarray:
    seen = np.zeros(scores.shape, bool) if seen is None else seen
    found = choose(
        ops.convert_to_tensor(scores),
        sampling.steps,
        ops.convert_to_tensor(np.asarray(sampling.knobs, "float32")),
        ops.convert_to_tensor(seen),
        lambda: ops.convert_to_tensor(noise),
    )
    return ops.convert_to_numpy(found)


def test_greedy_takes_the_most_probable():
    assert np.array_equal(chosen(Sampling(0), LOGITS), LOGITS.argmax(-1))


@pytest.mark.parametrize("penalty", [1.3, 5.0, 0.5])
def test_repetition_penalty(penalty):
    seen = np.random.default_rng(1).random(LOGITS.shape) < 0.5
    scaled = np.where(LOGITS > 0, LOGITS / penalty, LOGITS * penalty)
    expected = np.where(seen, scaled, LOGITS)
    found = chosen(Sampling(0, repetition_penalty=penalty), LOGITS, seen)
    assert np.array_equal(found, expected.argmax(-1))


def test_all_steps_in_their_order():
    rng = np.random.default_rng(2)
    seen = rng.random(LOGITS.shape) < 0.5
    noise = rng.uniform(1e-6, 1, size=LOGITS.shape).astype("float32")
    scores = np.where(LOGITS > 0, LOGITS / 1.2, LOGITS * 1.2)
    scores = np.where(seen, scores, LOGITS) / 0.7
    least = np.sort(scores, axis=-1)[:, -10:-9]
    scores = np.where(scores < least, -np.inf, scores)
    order = np.argsort(-scores, axis=-1)
    for row, places in zip(scores, order, strict=True):
        chances = probabilities(row)[places]
        row[places[np.cumsum(chances) - chances >= 0.8]] = -np.inf
    expected = (scores - np.log(-np.log(noise))).argmax(-1)
    found = chosen(Sampling(0.7, 10, 0.8, 1.2), LOGITS, seen, noise)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0}, {}, {"top_k": 3}, {"top_p": 0.5}, {"repetition_penalty": 2.0}],
)
def test_only_allowed_ids_are_chosen(options):
    noise = np.random.default_rng(3).uniform(1e-6, 1, LOGITS.shape).astype("float32")
    allowed = range(7, 12)
    found = chosen(Sampling(**options, allowed=allowed), LOGITS, noise=noise)
    # As if there were no others.
    inside = (LOGITS[:, 7:12], None, noise[:, 7:12])
    np.testing.assert_array_equal(found, 7 + chosen(Sampling(**options), *inside))


def test_generated_ids_are_allowed(gpt):
    tokens = gpt.generate([PROMPT] * 20, 3, allowed=range(2, 4), seed=0)
    assert {int(i) for row in tokens for i in row[len(PROMPT) :]} == {2, 3}


def drawn(gpt, **options) -> np.ndarray:
    """The first new token of many rows with one prompt."""
    rows = np.tile(np.asarray(PROMPT, "int32"), (ROWS, 1))
    return gpt.generate(rows, 1, **options)[:, -1]


def fits(tokens, expected) -> bool:
    """Pearson's test; cells that expect little are put together."""
    counts = np.bincount(tokens, minlength=VOCABULARY)
    expected = expected * len(tokens)
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], max(expected[rare].sum(), 1e-9))
    statistic = ((counts - expected) ** 2 / expected).sum()
    return stats.chi2.sf(statistic, len(counts) - 1) > 1e-3


def test_tokens_are_drawn_as_often_as_they_are_probable(gpt):
    scores = logits(gpt, np.asarray([PROMPT]))[0, len(PROMPT) - 1]
    plain, cool = probabilities(scores), probabilities(scores / 0.5)
    assert fits(drawn(gpt, temperature=1.0, seed=1), plain)
    assert fits(drawn(gpt, temperature=0.5, seed=4), cool)
    assert not fits(drawn(gpt, temperature=0.5, seed=4), plain)


def test_cut_distributions_are_renormalised(gpt):
    scores = logits(gpt, np.asarray([PROMPT]))[0, len(PROMPT) - 1]
    order = np.argsort(-scores)
    kept = order[:8]
    chances = probabilities(scores[kept])
    kept = kept[np.cumsum(chances) - chances < 0.9]
    assert 2 < len(kept) < 8
    expected = np.zeros(VOCABULARY)
    expected[kept] = probabilities(scores[kept])
    tokens = drawn(gpt, temperature=1.0, top_k=8, top_p=0.9, seed=3)
    assert set(tokens) <= set(kept)
    assert fits(tokens, expected)


def test_a_seed_repeats_itself(gpt):
    first, again, other = (drawn(gpt, temperature=1.0, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(drawn(gpt, temperature=1.0), drawn(gpt, temperature=1.0))


def test_later_tokens_are_drawn_with_other_noise(gpt):
    rows = np.tile(PROMPT, (ROWS, 1))
    found = gpt.generate(rows, 2, temperature=1.0, seed=1)[:, len(PROMPT) :]
    most = np.bincount(found[:, 0]).argmax()
    second = found[found[:, 0] == most, 1]
    assert len(second) > 60
    text = np.asarray([[*PROMPT, most]])
    assert fits(second, probabilities(logits(gpt, text)[0, len(PROMPT)]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -0.1}, "temperature must be 0 or more, got -0.1"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"top_k": -1}, "top_k must be a whole number from 0, got -1"),
        ({"top_k": 2.5}, "top_k must be a whole number from 0, got 2.5"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], got 0.0"),
        ({"top_p": 1.5}, r"top_p must be in \(0, 1\], got 1.5"),
        ({"repetition_penalty": 0}, "repetition_penalty must be above 0, got 0"),
    ],
)
def test_bad_knobs(gpt, fields, message):
    with pytest.raises(ValueError, match=message):
        gpt.generate([1], 1, **fields)
