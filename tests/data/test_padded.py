import itertools

import numpy as np
import pytest

from zoo.data import LabelledText, Tokenizer
from zoo.data.tasks.padded import ArrayBatches, padded_texts

pytestmark = pytest.mark.host


def test_short_texts_are_padded_and_long_ones_cut():
    words = Tokenizer.train_words(["a b c d"], 20)
    examples = [LabelledText("a b", 1), LabelledText("a b c d", 0)]
    ids, classes = padded_texts(examples, words, 3)
    assert ids.dtype == classes.dtype == np.int32
    a, b, c = words.encode("a b c")
    assert ids.tolist() == [[a, b, words.pad_id], [a, b, c]]
    assert classes.tolist() == [1, 0]


def test_every_row_once_an_epoch_with_its_target():
    rows = np.arange(6)
    batches = ArrayBatches(rows, 10 * rows, batch_size=2, seed=3)
    epoch = list(itertools.islice(batches.batches(0), 3))
    assert sorted(np.concatenate([inputs for inputs, _ in epoch])) == rows.tolist()
    for inputs, targets in epoch:
        np.testing.assert_array_equal(targets, 10 * inputs)
