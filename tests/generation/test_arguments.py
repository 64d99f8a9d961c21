"""Numbers at their limits, NumPy's numbers, and what is no number."""

import numpy as np
import pytest

from tests.models.translators import made
from zoo import NgramConfig, NgramLM, TransformerConfig

PROMPT = [3, 1, 4]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    return NgramLM(NgramConfig(13, 3)).fit(rng.integers(13, size=300))


@pytest.fixture(scope="module")
def translator():
    return made(TransformerConfig(13, 32, 1, 2, 16, 32, dropout=0.0))


@pytest.fixture(params=["gpt", "table", "translator"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("small", [1e-12, 1e-38, 1e-40, 5e-324])
def test_small_temperatures_are_greedy(model, small):
    greedy = model.generate(PROMPT, 9, temperature=0)
    assert model.generate(PROMPT, 9, temperature=small, seed=1) == greedy
    options = {"top_k": 5, "top_p": 0.9, "seed": 2}
    assert model.generate(PROMPT, 9, temperature=small, **options) == greedy
    assert model.generate(PROMPT, 9, temperature=1.0, top_p=small, seed=1) == greedy


def test_large_temperatures_are_even_draws(gpt):
    rows = np.tile(PROMPT, (600, 1))
    for large in (1e30, 1e300):
        found = gpt.generate(rows, 1, temperature=large, seed=0)[:, -1]
        assert np.bincount(found, minlength=13).min() > 20
        options = {"temperature": large, "allowed": range(2, 4), "seed": 0}
        assert set(gpt.generate(rows, 1, **options)[:, -1]) == {2, 3}


def test_what_never_followed_is_not_drawn_at_any_temperature():
    model = NgramLM(NgramConfig(6, 2, "mle")).fit([0, 1, 0, 2] * 9)
    rows = [[0]] * 200
    for temperature in (1.0, 1e9, 1e300):
        found = model.generate(rows, 1, temperature=temperature, seed=0)
        assert {row[1] for row in found} == {1, 2}
    # Of what is allowed nothing ever followed: any of it may come.
    found = model.generate(rows, 1, allowed=range(3, 6), seed=0)
    assert {row[1] for row in found} == {3, 4, 5}


def test_numbers_of_numpy(model):
    options = {"temperature": 0.7, "top_k": 5, "top_p": 0.9, "repetition_penalty": 1.5}
    plain = model.generate(PROMPT, 6, seed=3, **options)
    numpy = {
        "temperature": np.float64(0.7),
        "top_k": np.int64(5),
        "top_p": np.float64(0.9),
        "repetition_penalty": np.float32(1.5),
        "seed": np.uint8(3),
    }
    assert model.generate(PROMPT, np.int32(6), **numpy) == plain
    off = {"temperature": 1.0, "seed": 3}
    assert model.generate(PROMPT, 6, top_k=None, top_p=None, **off) == (
        model.generate(PROMPT, 6, **off)
    )


def test_numbers_of_numpy_for_beams(gpt, translator):
    for model in (gpt, translator):
        plain = model.generate(PROMPT, 6, num_beams=2, length_penalty=0.5)
        options = {"num_beams": np.int64(2), "length_penalty": np.float32(0.5)}
        assert model.generate(PROMPT, np.int64(6), **options) == plain


@pytest.mark.parametrize("seed", [0, 2**31, 2**40, 2**70])
def test_any_seed_from_0(model, seed):
    options = {"temperature": 1.0, "seed": seed}
    assert model.generate(PROMPT, 6, **options) == model.generate(PROMPT, 6, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1e-40}, "temperature must be 0 or more, got -1e-40"),
        ({"temperature": float("nan")}, "temperature must be a finite number, got nan"),
        ({"temperature": float("inf")}, "temperature must be a finite number, got inf"),
        ({"temperature": "hot"}, "temperature must be a finite number, got 'hot'"),
        ({"temperature": None}, "temperature must be a finite number, got None"),
        ({"temperature": True}, "temperature must be a finite number, got True"),
        ({"top_k": np.int64(-5)}, "top_k must be a whole number from 0"),
        ({"top_k": 5.0}, "top_k must be a whole number from 0, got 5.0"),
        ({"top_k": True}, "top_k must be a whole number from 0, got True"),
        ({"top_p": float("nan")}, "top_p must be a finite number, got nan"),
        ({"top_p": "all"}, "top_p must be a finite number, got 'all'"),
        ({"repetition_penalty": 1e-40}, "repetition_penalty must be from 0.001"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty must be a finite"),
        ({"seed": -1}, "seed must be a whole number from 0, got -1"),
        ({"seed": 1.5}, "seed must be a whole number from 0, got 1.5"),
        ({"seed": "x"}, "seed must be a whole number from 0, got 'x'"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number from 1"),
        ({"max_new_tokens": -3}, "max_new_tokens must be a whole number from 1"),
        ({"max_new_tokens": 2.0}, "max_new_tokens must be a whole number from 1"),
        ({"max_new_tokens": "9"}, "max_new_tokens must be a whole number from 1"),
        ({"num_beams": 2.0}, "num_beams must be a whole number from 1, got 2.0"),
    ],
)
def test_what_is_refused_is_named(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(PROMPT, **{"max_new_tokens": 4} | options)


@pytest.mark.parametrize("length_penalty", [float("nan"), "long", 11, -100])
def test_length_penalties_that_are_refused(gpt, translator, length_penalty):
    for model in (gpt, translator):
        with pytest.raises(ValueError, match="length_penalty must be"):
            model.generate(PROMPT, 4, num_beams=2, length_penalty=length_penalty)


BAD_IDS = [
    np.array([2**32 + 1, 2**32 + 2]),
    [2**32 + 1, 2],
    [2**70, 1],
    np.array([2**63 + 1, 1], "uint64"),
    [-1, 2],
    np.array([-(2**32) + 1, 2]),
    [1.0, 2.0],
    np.array([1.5, 2.0]),
    [True, False],
    [[1, 2], [2**40]],
]


@pytest.mark.parametrize("ids", BAD_IDS, ids=[repr(x)[:20] for x in BAD_IDS])
def test_ids_are_checked_before_they_are_cast(model, ids):
    message = "Token ids must be from 0|whole-number token ids"
    requests = [lambda: model.generate(ids, 2)]
    if isinstance(model, NgramLM):
        requests += [lambda: model.fit(ids), lambda: model.probabilities(ids)]
        message += "|context must be one text"
    if hasattr(model, "context"):
        requests += [lambda: model.score(ids, [1]), lambda: model.score([1], ids)]
        message += "|one target per source"
    else:
        requests += [lambda: model.score(ids), lambda: model.score([1, 2], prompt=ids)]
        message += "|one per text"
    for request in requests:
        with pytest.raises(ValueError, match=message):
            request()


def test_ids_of_any_width_are_read(model):
    plain = model.generate(PROMPT, 4, temperature=0)
    for dtype in ("uint8", "uint16", "int64", "uint64"):
        found = model.generate(np.array(PROMPT, dtype), 4, temperature=0)
        assert found.tolist() == plain
