import numpy as np
import pytest

import zoo
from zoo.data.datasets import TextDataset
from zoo.data.encoded import EncodedText

pytestmark = pytest.mark.host


def test_both_parts_by_character():
    text = TextDataset("text", "abab", "cab", "", "", "")
    encoded = EncodedText.by_character(text)
    assert encoded.tokenizer.vocab_size == 3
    assert encoded.tokenizer.decode(encoded.train) == "abab"
    assert encoded.tokenizer.decode(encoded.validation) == encoded.validation_text
    again = EncodedText.of(text, zoo.Tokenizer.characters("abc"))
    np.testing.assert_array_equal(again.validation, encoded.validation)
