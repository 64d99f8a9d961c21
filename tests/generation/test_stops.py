"""Strings that end a text, wherever they lie in tokens."""

import numpy as np
import pytest

from tests.generation.models import CONTEXT, VOCABULARY, chain, random_gpt
from tests.models.translators import made
from zoo import (
    LinearLM,
    LinearLMConfig,
    NgramConfig,
    NgramLM,
    RecurrentLM,
    RecurrentLMConfig,
    Tokenizer,
    TransformerConfig,
)
from zoo.generation.stops import Stops, Written

GREEDY = {"temperature": 0}
TEXT = "one two three four five seven nine"
LETTERS = "abcdefghijklm"


@pytest.fixture(scope="module")
def words():
    """Writes TEXT, whose words are tokens, and then begins anew."""
    tokenizer = Tokenizer.train_bpe(["x " + TEXT] * 50, 300)
    ids = tokenizer.encode(TEXT).tolist()
    assert len(ids) == len(set(ids)) < 15
    successors = list(range(tokenizer.vocab_size))
    for token, following in zip(ids, [*ids[1:], ids[0]], strict=True):
        successors[token] = following
    model = chain(successors)
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="module")
def prompt(words):
    """What the first token says."""
    return words.tokenizer.decode(words.tokenizer.encode(TEXT)[:1])


def cut(text: str, start: int, *stops: str) -> str:
    """The text up to the first stop after its beginning."""
    places = [text.find(stop, start) for stop in stops]
    return text[: min((place for place in places if place >= 0), default=len(text))]


STOPS = [
    "e",
    "w",
    " t",
    "o thr",
    "three f",
    "four",
    "n",
    "nine",
    "e five s",
    "never",
    " ",
]


@pytest.mark.parametrize("stop", STOPS)
def test_strings_are_found_in_the_text(words, prompt, stop):
    new = len(words.tokenizer.encode(TEXT)) - 1
    expected = cut(TEXT, len(prompt), stop)
    assert words.generate(prompt, new, stop=stop, **GREEDY) == expected
    assert words.generate(prompt, new, stop=stop, top_k=1, seed=0) == expected
    beams = {"num_beams": 2, "length_penalty": 0.0}
    assert words.generate(prompt, new, stop=stop, **beams) == expected
    stream = words.generate(prompt, new, stop=stop, stream=True, **GREEDY)
    assert prompt + "".join(stream) == expected
    # Rows end on their own; a stop in a prompt does not count.
    middle = TEXT[: TEXT.index(" five")]
    rows = words.generate([prompt, middle], new, stop=stop, **GREEDY)
    goes_on = words.generate(middle, new, **GREEDY)
    assert rows == [expected, cut(goes_on, len(middle), stop)]


def test_the_first_of_several_stops_counts(words, prompt):
    options = {"stop": ["four", "ee", words.tokenizer.encode(" seven")], **GREEDY}
    assert words.generate(prompt, 20, **options) == "one two thr"
    options["stop"] = ["eve", words.tokenizer.encode(" five").tolist()]
    assert words.generate(prompt, 20, **options) == "one two three four"


def test_ids_end_before_the_token_of_a_stop(words):
    ids = words.tokenizer.encode(TEXT)
    for stop in STOPS[:-1]:
        text = cut(TEXT, len(words.tokenizer.decode(ids[:1])), stop)
        count = max(
            n
            for n in range(1, len(ids) + 1)
            if text.startswith(words.tokenizer.decode(ids[:n]))
        )
        options = {"stop": stop, **GREEDY}
        found = words.generate(ids[:1], len(ids) - 1, **options)
        assert found.tolist() == ids[:count].tolist()
        stream = words.generate(ids[:1].tolist(), len(ids) - 1, stream=True, **options)
        assert list(stream) == ids[1:count].tolist()


def test_nothing_is_streamed_that_may_begin_a_stop(words, prompt):
    stream = words.generate(
        prompt, 20, stop=["two thirds", "our f!"], stream=True, **GREEDY
    )
    pieces = [next(stream)]
    while "four" not in prompt + "".join(pieces):
        # "two th" may become the one, "our f" the other.
        assert not (prompt + "".join(pieces)).endswith(
            ("two", "two th", "our", "our f")
        )
        pieces.append(next(stream))
    whole = prompt + "".join([*pieces, *stream])
    assert whole == words.generate(prompt, 20, **GREEDY)


def test_characters_of_several_tokens():
    text = "aé東🎉b"
    tokenizer = Tokenizer.train_bpe("", 257)  # bytes
    ids = tokenizer.encode(text).tolist()
    successors = list(range(257))
    for token, following in zip(ids, [*ids[1:], ids[0]], strict=True):
        successors[token] = following
    model = chain(successors)
    model.tokenizer = tokenizer
    for stop, expected in (
        ("東", "aé"),
        ("é東", "a"),
        ("🎉b", "aé東"),
        ("b", text[:-1]),
    ):
        assert model.generate("a", 10, stop=stop, **GREEDY) == expected
        stream = model.generate("a", 10, stop=stop, stream=True, **GREEDY)
        assert list(stream) == list(expected[1:])
    # What stands for a part of a character is no text yet.
    assert model.generate("a", 10, stop="\ufffd", **GREEDY) == text
    # Half of one may be a prompt.
    assert model.generate(ids[:2], 9, stop="東", **GREEDY) == ids[:3]


@pytest.mark.parametrize("family", ["gpt", "recurrent", "linear", "ngram"])
def test_every_family_stops(family):
    sizes = (VOCABULARY, CONTEXT)
    rng = np.random.default_rng(0)
    if family == "ngram":
        model = NgramLM(NgramConfig(VOCABULARY, 3)).fit(rng.integers(13, size=500))
    else:
        model = {
            "gpt": random_gpt,
            "recurrent": lambda: RecurrentLM(RecurrentLMConfig(*sizes, 1, 16)),
            "linear": lambda: LinearLM(LinearLMConfig(*sizes, 16)),
        }[family]()
        weights = model.get_weights()
        model.set_weights([rng.normal(size=w.shape, scale=0.5) for w in weights])
    model.tokenizer = Tokenizer.characters(LETTERS)
    for options in (GREEDY, {"seed": 4}):
        text = model.generate("ab", 20, **options)
        for stop in (text[7:10], text[18:], text[5]):
            expected = cut(text, 2, stop)
            assert model.generate("ab", 20, stop=stop, **options) == expected
            stream = model.generate("ab", 20, stop=stop, stream=True, **options)
            assert "ab" + "".join(stream) == expected


def test_translations_stop():
    model = made(TransformerConfig(16, CONTEXT, 1, 2, 16, 32, dropout=0.0))
    rng = np.random.default_rng(5)
    weights = model.get_weights()
    model.set_weights([rng.normal(size=w.shape, scale=0.6) for w in weights])
    model.tokenizer = Tokenizer.characters("PBE" + LETTERS)
    model.tokenizer.backend.add_special_tokens(["P", "B", "E"])
    for options in ({}, {"temperature": 1.0, "seed": 2}, {"num_beams": 3}):
        texts = model.generate(["ab", "cab"], 12, **options)
        assert max(map(len, texts)) > 3
        stop = max(texts, key=len)[1:3]
        found = model.generate(["ab", "cab"], 12, stop=stop, **options)
        if "num_beams" in options:  # what ends early competes with what does not
            assert not any(stop in text for text in found)
        else:
            assert found == [cut(text, 0, stop) for text in texts]


@pytest.mark.host
def test_words_with_blanks_between_them():
    text = "one two three. four five six"
    tokenizer = Tokenizer.train_words([text] * 9, 40)
    model = NgramLM(NgramConfig(tokenizer.vocab_size, 3))
    model.tokenizer = tokenizer
    model.fit(text)
    whole = model.generate("one", 6, **GREEDY)
    assert whole.startswith("one two three")
    for stop in ("wo thr", "four", " ", "three.", "e f"):
        expected = cut(whole, 3, stop)
        assert model.generate("one", 6, stop=stop, **GREEDY) == expected
        stream = model.generate("one", 6, stop=stop, stream=True, **GREEDY)
        assert "one" + "".join(stream) == expected


@pytest.mark.host
def test_stops_that_are_none():
    model = NgramLM(NgramConfig(3, 2)).fit([0, 1, 2] * 9)
    model.tokenizer = Tokenizer.characters("abc")
    for stop in (1.5, [[1.0]], True, b"a", [None], [[1, [2]]]):
        with pytest.raises(ValueError, match=r"A stop must be|Token ids must be"):
            model.generate("a", 3, stop=stop, **GREEDY)
    for stop in ([], (), None, "never", 0):
        assert model.generate("a", 1, stop=stop, **GREEDY) == "ab"
    with pytest.raises(ValueError, match="Token ids must be from 0 to 2"):
        model.generate("a", 3, stop=2**32 + 1)


@pytest.mark.host
def test_written_holds_back_what_may_be_a_stop():
    row = Written(
        Stops(((1, 2, 1),), ("cba",), lambda ids: "".join("abcd"[i] for i in ids))
    )
    seen = []
    for token in (3, 1, 2, 2, 1, 3):
        row.extend([token])
        seen.append((row.new_text(), list(row.ids())))
    assert seen == [
        ("d", [3]),
        ("d", [3]),
        ("d", [3]),
        ("dbc", [3, 1, 2]),
        ("dbc", [3, 1, 2]),
        ("dbccbd", [3, 1, 2, 2, 1, 3]),
    ]
    row.extend([2, 1, 0])
    assert row.ended and row.new_text() == row.text() == "dbccbd"
    assert row.ids() == [3, 1, 2, 2, 1, 3]
