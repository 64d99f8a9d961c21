"""Stops, streams, forms of prompts, and errors, on text that is known beforehand."""

import numpy as np
import pytest
from keras import ops

from tests.generation.models import CONTEXT, chain
from zoo import Tokenizer

LETTERS = "abcdefghijklmnop"


@pytest.fixture(scope="module")
def alphabet():
    """Goes on in the alphabet, and from its end to its beginning."""
    model = chain([(i + 1) % len(LETTERS) for i in range(len(LETTERS))])
    model.tokenizer = Tokenizer.characters(LETTERS)
    return model


# === Forms ===


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("ab", "abcdef"),
        ([0, 1], [0, 1, 2, 3, 4, 5]),
        ((0, 1), [0, 1, 2, 3, 4, 5]),
        ([np.int64(0), np.int64(1)], [0, 1, 2, 3, 4, 5]),
        (["ab"], ["abcdef"]),
        ([[0, 1]], [[0, 1, 2, 3, 4, 5]]),
        (["ab", "o"], ["abcdef", "opabc"]),
        ([[0, 1], [14]], [[0, 1, 2, 3, 4, 5], [14, 15, 0, 1, 2]]),
        (["ab", [14]], ["abcdef", [14, 15, 0, 1, 2]]),
        ([np.array([0, 1]), [14]], [[0, 1, 2, 3, 4, 5], [14, 15, 0, 1, 2]]),
    ],
)
def test_what_goes_in_comes_out_longer(alphabet, prompt, expected):
    assert alphabet.generate(prompt, 4, temperature=0) == expected


def test_arrays(alphabet):
    found = alphabet.generate(np.array([0, 1]), 4, temperature=0)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [0, 1, 2, 3, 4, 5]
    found = alphabet.generate(np.array([[0, 1], [7, 8]], "int64"), 4, temperature=0)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[0, 1, 2, 3, 4, 5], [7, 8, 9, 10, 11, 12]]
    tensor = ops.convert_to_tensor([[0, 1], [7, 8]])
    assert np.array_equal(alphabet.generate(tensor, 4, temperature=0), found)
    rows = np.array([[0, 1], [3, 4], [7, 8]])
    ragged = alphabet.generate(rows, 4, temperature=0, stop=5)
    assert [row.tolist() for row in ragged] == [
        [0, 1, 2, 3, 4],
        [3, 4],
        [7, 8, 9, 10, 11, 12],
    ]


# === Stops ===


def test_stop_at_a_token(alphabet):
    assert alphabet.generate("ab", 9, temperature=0, stop=5) == "abcde"
    assert alphabet.generate("ab", 9, temperature=0, stop="f") == "abcde"
    assert alphabet.generate("ab", 9, temperature=0, stop=[[5]]) == "abcde"
    assert alphabet.generate("e", 9, temperature=0, stop="f") == "e"
    # One in the prompt does not count, and one that never comes changes nothing.
    assert alphabet.generate("f", 9, temperature=0, stop="f") == "fghijklmno"


def test_stop_at_sequences(alphabet):
    options = {"temperature": 0, "stop": ["ab", [5, 6], "p"]}
    # "ab" would begin in the prompt.
    assert alphabet.generate("a", 9, **options) == "abcde"
    assert alphabet.generate("f", 9, **options) == "fghijklmno"
    assert alphabet.generate("m", 9, **options) == "mno"
    assert alphabet.generate("p", 9, **options) == "p"


def test_rows_stop_on_their_own(alphabet):
    found = alphabet.generate(["ab", "e", "h"], 9, temperature=0, stop="f")
    assert found == ["abcde", "e", "hijklmnopa"]


def test_an_unfinished_stop_at_the_end_is_text(alphabet):
    options = {"temperature": 0, "stop": ["ab", [5, 6], "p"]}
    assert alphabet.generate("a", 5, **options) == "abcdef"
    assert "".join(alphabet.generate("a", 5, stream=True, **options)) == "bcdef"


# === Streams ===


def test_streams_are_the_rest_of_the_text(gpt):
    options = {"temperature": 2.0, "top_k": 9, "top_p": 0.95, "seed": 3}
    stream = gpt.generate([4, 8], 20, stream=True, **options)
    first = next(stream)  # before the rest is there
    assert [4, 8, first, *stream] == gpt.generate([4, 8], 20, **options)


def test_streams_stop(alphabet):
    options = {"temperature": 0, "stop": ["ab", [5, 6], "p"], "stream": True}
    for prompt, expected in (("a", "bcde"), ("f", "ghijklmno"), ("m", "no"), ("p", "")):
        assert "".join(alphabet.generate(prompt, 9, **options)) == expected
    ids = alphabet.generate([0], 9, **options)
    assert list(ids) == [1, 2, 3, 4]


def test_streamed_characters_are_whole():
    text = "aé東🎉b"
    tokenizer = Tokenizer.train_bpe("", 257)  # bytes
    ids = tokenizer.encode(text).tolist()
    assert len(ids) == len(set(ids)) == 11
    successors = list(range(257))
    for token, following in zip(ids, [*ids[1:], ids[0]], strict=True):
        successors[token] = following
    model = chain(successors)
    model.tokenizer = tokenizer
    pieces = list(model.generate("a", 10, temperature=0, stream=True))
    assert pieces == ["é", "東", "🎉", "b"]
    # Cut within the last character but one: what is left comes at the end.
    pieces = list(model.generate("a", 7, temperature=0, stream=True))
    assert pieces[:2] == ["é", "東"]
    assert "a" + "".join(pieces) == tokenizer.decode(ids[:8])


# === Errors ===


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ("", {}, "A prompt must have at least one token"),
        ([], {}, "A prompt must have at least one token"),
        ([[1], []], {}, "A prompt must have at least one token"),
        ([1.5], {}, r"whole-number token ids, got 1.5"),
        ([[1.5]], {}, r"whole-number token ids, got \[1.5\]"),
        (np.zeros((1, 2, 2), int), {}, "A prompt must be a string or a list"),
        (5, {}, "A prompt must be a string or a list of .*got array.5"),
        ([16], {}, r"from 0 to 15 \(vocab_size=16\), got values from 16 to 16"),
        ([-1], {}, "Token ids must be from 0 to 15"),
        ("z", {}, "[Tt]he character 'z'"),
        (
            "a",
            {"max_new_tokens": 0},
            "max_new_tokens must be a whole number from 1, got 0",
        ),
        (
            "a",
            {"max_new_tokens": CONTEXT},
            "1 tokens and 32 new ones do not fit into context_length=32",
        ),
        ("a", {"stop": ""}, "A stop must not be empty"),
        ("a", {"stop": [3, ""]}, "A stop must not be empty"),
        ("a", {"stop": 16}, "Token ids must be from 0 to 15"),
        ("a", {"num_beams": 0}, "num_beams must be a whole number from 1, got 0"),
        ("a", {"num_beams": 2, "top_k": 3}, "Beam search ranks by probability alone"),
        ("a", {"num_beams": 2, "temperature": 0}, "Leave temperature"),
        ("a", {"num_beams": 2, "stream": True}, "one prompt and no beams"),
        (["a", "b"], {"stream": True}, "one prompt and no beams"),
    ],
)
def test_bad_requests(alphabet, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        alphabet.generate(prompts, **{"max_new_tokens": 4} | options)


def test_strings_need_a_tokenizer(gpt):
    for request in (
        lambda: gpt.generate("a", 1),
        lambda: gpt.generate([1], 1, stop="a"),
        lambda: gpt.score("abc"),
    ):
        with pytest.raises(ValueError, match="Strings need a tokenizer: set model.tok"):
            request()
