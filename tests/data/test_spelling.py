"""Words as sequences of character ids."""

import numpy as np
import pytest

from zoo.data import LabelledText, Tokenizer, spelled, spelled_sequences

pytestmark = pytest.mark.host

TEXTS = ["the cat saw the dog .", "The Élan of cats"]
EXAMPLES = [LabelledText(text, label) for label, text in enumerate(TEXTS)]


def test_ids_are_allennlps():
    """AllenNLP's `ELMoCharacterMapper.convert_word_to_char_ids`, with ids plus one."""
    found = spelled(["cat", "", "ä", "abcdef"], 6)
    assert found.dtype == "int32"
    assert found.tolist() == [
        [259, 100, 98, 117, 260, 261],
        [259, 260, 261, 261, 261, 261],
        [259, 196, 165, 260, 261, 261],
        [259, 98, 99, 100, 101, 260],
    ]
    with pytest.raises(ValueError, match="word_length must be at least 3.*got 2"):
        spelled(["cat"], 2)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train_words(TEXTS, 9)


def test_the_commonest_words_have_names(tokenizer):
    """Words are split as in BERT; the rest is unknown."""
    assert tokenizer.vocab_size == 9
    names = [tokenizer.id_to_token(index) for index in range(9)]
    assert names[:6] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the"]
    assert Tokenizer.train_words([*TEXTS], 9) == tokenizer
    assert tokenizer.encode("THE zebra").tolist() == [5, 1]
    with pytest.raises(ValueError, match="vocab_size must be more than the 5.*got 5"):
        Tokenizer.train_words(TEXTS, 5)


@pytest.mark.parametrize("lowercase", [True, False])
def test_sequences_are_spelled_as_they_stand_in_the_text(lowercase):
    tokenizer = Tokenizer.train_words(["the", *TEXTS], 6, lowercase=lowercase)
    sequences = spelled_sequences(EXAMPLES, tokenizer, 7, 6)
    inputs, labels = sequences.batch(np.array([1, 0]))
    assert labels.tolist() == [1, 0]
    ids, characters = inputs["token_ids"], inputs["character_ids"]
    assert characters.shape == (2, 7, 6) and characters.dtype == "int32"
    assert ids.tolist()[0] == [2, 5 if lowercase else 1, 1, 1, 1, 3, 0]
    first = ["the", "elan"] if lowercase else ["The", "Élan"]
    words = [[*first, "of", "cats"], ["the", "cat", "saw", "the", "dog"]]
    for row, expected in zip(characters, words, strict=True):
        count = len(expected)
        assert np.array_equal(row[1 : 1 + count], spelled(expected, 6))
        assert row[0].tolist() == [259, 257, 260, 261, 261, 261]
        assert row[1 + count].tolist() == [259, 258, 260, 261, 261, 261]
        assert not row[2 + count :].any()
    # Everything but the spelling is unchanged.
    assert sequences.pack(np.array([1]), 6)["character_ids"].shape == (1, 6, 6)
    assert sequences.lengths.tolist() == [7, 6]


def test_pairs_are_spelled_too(tokenizer):
    examples = [LabelledText("the cat", 0, "dogs"), LabelledText("a", 1, "the dog")]
    sequences = spelled_sequences(examples, tokenizer, 8, 6)
    characters = sequences.pack(np.arange(2))["character_ids"]
    assert np.array_equal(characters[0, [1, 2, 4]], spelled(["the", "cat", "dogs"], 6))
    assert np.array_equal(characters[1, [1, 3, 4]], spelled(["a", "the", "dog"], 6))
