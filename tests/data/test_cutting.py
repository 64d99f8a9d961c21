import numpy as np
import pytest

from zoo.data import Collocations, Tokenizer
from zoo.data.pretraining.cutting import masking_of_text, pretraining_sequences

pytestmark = pytest.mark.host

TEXT = "\n\n".join(f"Old dogs{i} sleep. They wait{i}. Now sit." for i in range(12))


@pytest.fixture(scope="module")
def words():
    return Tokenizer.train_wordpiece(TEXT, 120)


def test_pairs_and_full_sentences(words):
    pairs = pretraining_sequences(TEXT, words, 16, paragraphs=1, seed=1)
    assert pairs.starts.shape[1] == 2 and set(pairs.labels) == {0, 1}
    twice = pretraining_sequences(TEXT, words, 16, paragraphs=1, duplicates=2)
    assert len(twice) > 1.5 * len(pairs)
    runs = pretraining_sequences(TEXT, words, 16, negatives=None)
    assert runs.starts.shape[1] == 1 and runs.labels is None


def test_one_document_has_no_random_sentences(words):
    with pytest.raises(ValueError, match="at least two documents, got one"):
        pretraining_sequences(TEXT, words, 16, paragraphs=12)


def test_masking_by_unit(words):
    masking = masking_of_text(TEXT, words, 20, rate=0.2, unit="span")
    assert (masking.unit, masking.rate, masking.max_masked) == ("span", 0.2, 6)
    masking = masking_of_text(TEXT * 8, words, 20, unit="pmi", most_collocations=4)
    assert isinstance(masking.unit, Collocations)
    assert 0 < sum(map(len, masking.unit.phrases.values())) <= 4
    ids = np.tile(words.encode("old dogs1 sleep"), (2, 1))
    assert masking(ids, np.random.default_rng(0))["token_ids"].shape == ids.shape
