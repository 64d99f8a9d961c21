"""`generate` of a model that looks its distributions up, on text known beforehand."""

import numpy as np
import pytest

from zoo import NgramConfig, NgramLM, Tokenizer

LETTERS = "abcdefghijklmnop"
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def alphabet():
    """Goes on in the alphabet, and from its end to its beginning."""
    model = NgramLM(NgramConfig(16, 3, "kneser_ney"))
    model.tokenizer = Tokenizer.characters(LETTERS)
    return model.fit(LETTERS * 3)


@pytest.fixture(scope="module")
def coin():
    """After 0 comes 1 three times in four, and 2 else; 3 once in a long time."""
    rng = np.random.default_rng(0)
    heads = np.where(rng.random(4000) < 0.75, 1, 2)
    ids = np.stack([np.zeros(4000, int), heads], axis=1).ravel()
    return NgramLM(NgramConfig(4, 2, "mle")).fit([ids, [0, 3]])


def test_forms(alphabet):
    assert alphabet.generate("ab", 4, **GREEDY) == "abcdef"
    assert alphabet.generate(["ab", [14]], 4, **GREEDY) == [
        "abcdef",
        [14, 15, 0, 1, 2],
    ]
    found = alphabet.generate(np.array([[0, 1], [7, 8]]), 200, **GREEDY)
    assert found.shape == (2, 202)
    assert np.array_equal((found[0] + 7) % 16, found[1])


def test_stops_and_streams(alphabet):
    options = {"stop": ["ab", [5, 6], "p"], **GREEDY}
    for prompt, expected in (("a", "abcde"), ("f", "fghijklmno"), ("p", "p")):
        assert alphabet.generate(prompt, 9, **options) == expected
        stream = alphabet.generate(prompt, 9, stream=True, **options)
        assert prompt + "".join(stream) == expected
    found = alphabet.generate(["ab", "e", "h"], 9, stop="f", **GREEDY)
    assert found == ["abcde", "e", "hijklmnopa"]
    assert alphabet.generate("a", 5, stop=["fg"], **GREEDY) == "abcdef"


def test_samples_follow_the_distribution(coin):
    found = coin.generate([[0]] * 4000, 1, seed=1)
    counts = np.bincount([row[1] for row in found], minlength=4)
    expected = 4000 * coin.probabilities([0])
    assert np.abs(counts - expected).max() < 4 * np.sqrt(4000 / 4)
    assert counts[0] == 0


def test_knobs(coin):
    assert {row[1] for row in coin.generate([[0]] * 200, 1, top_k=2)} == {1, 2}
    assert {row[1] for row in coin.generate([[0]] * 200, 1, top_p=0.7)} == {1}
    assert coin.generate([0], 1, allowed=range(2, 4), **GREEDY) == [0, 2]
    assert coin.generate([0, 1, 0], 1, repetition_penalty=9.0, **GREEDY)[-1] == 2


def test_seeds(coin):
    options = {"temperature": 1.5, "seed": 3}
    first = coin.generate([0], 60, **options)
    assert first == coin.generate([0], 60, **options)
    assert first == [0, *coin.generate([0], 60, stream=True, **options)]
    assert first != coin.generate([0], 60, **options | {"seed": 4})


def test_without_smoothing_a_dead_end_is_left_by_a_shorter_context():
    model = NgramLM(NgramConfig(4, 3, "mle")).fit([0, 1, 2, 3])
    assert not model.probabilities([2, 3]).any()
    assert model.generate([1], 4, **GREEDY) == [1, 2, 3, 0, 1]


def test_beams_are_refused(alphabet):
    with pytest.raises(ValueError, match="Leave num_beams=1"):
        alphabet.generate("a", 4, num_beams=2)
    with pytest.raises(ValueError, match="A prompt must have at least one token"):
        alphabet.generate("", 4)
