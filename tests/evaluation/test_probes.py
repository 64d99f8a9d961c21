"""Linear probes on fully informative and on uninformative features."""

import numpy as np
import pytest

from tests.data.conftest import PIECES, SPECIAL, WORDS, write_vocabulary
from zoo.data import (
    LabelledText,
    Question,
    TaggedWords,
    labelled_sequences,
    question_windows,
    tagged_sequences,
)
from zoo.evaluation import linear_probe
from zoo.evaluation.text.probes import SpanProbe

pytestmark = pytest.mark.host

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    return write_vocabulary(folder, [*SPECIAL, *WORDS, *PIECES])


@pytest.fixture(scope="module")
def one_hot(words):
    """Returns one-hot tokens as features; those of padding would spoil a mean."""

    def encode(inputs):
        features = np.eye(words.vocab_size)[inputs["token_ids"]]
        return np.where(inputs["padding_mask"][..., None], features, 100.0)

    return encode


def blind(inputs):
    return np.ones((*inputs["token_ids"].shape, 2))


def sentence() -> list[str]:
    return list(RANDOM.choice(["the", "cat", "sat", "mat"], RANDOM.integers(2, 6)))


def test_texts(words, one_hot):
    texts = [sentence() for _ in range(60)]
    examples = [LabelledText(" ".join(text), int("cat" in text)) for text in texts]
    sequences = labelled_sequences(examples, words, 12)
    inputs, labels = sequences.batch(np.arange(len(sequences)))
    probabilities = linear_probe(one_hot, sequences).predict_probabilities(inputs)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95
    # Only the class frequencies are left to learn.
    shares = linear_probe(blind, sequences).predict_probabilities(inputs)
    np.testing.assert_allclose(shares[:, 1], labels.mean(), atol=1e-3)


def test_tags_are_learned_where_words_begin(words, one_hot):
    # "##s" has no tag of its own and must not be treated as if it had.
    examples = [
        TaggedWords(("cats", "bark"), (1, 2)),
        TaggedWords(("the", "cats"), (0, 1)),
    ] * 10
    sequences = tagged_sequences(examples, words, 8)
    inputs, tags, weights = sequences.batch(np.arange(len(sequences)))
    probe = linear_probe(one_hot, sequences)
    assert len(probe.classifier.classes_) == 3
    shares = probe.predict_probabilities(inputs)
    assert shares.shape == (*tags.shape, 3)
    np.testing.assert_allclose(shares.sum(axis=-1), 1)
    assert (shares.argmax(axis=-1) == tags)[weights > 0].all()


def test_spans(words, one_hot):
    context = "the cat sat on a mat . dogs bark ! new york city is big"
    examples = [
        Question("0", "the cat ?", context[start:], ("york city",), (begin - start,))
        for start in (0, 8, 23)
        for begin in (context.index("york"),)
    ]
    windows = question_windows(examples, words, 24, stride=8, max_question=4)
    inputs, _ = windows.batch(np.arange(len(windows)))
    logits = linear_probe(one_hot, windows).predict_logits(inputs)
    assert (logits["start_logits"][~inputs["padding_mask"]] == -1e9).all()
    assert windows.answers(*logits.values())[0] == ["york city"] * 3
    fewer = SpanProbe(one_hot, windows, most=windows.lengths.sum() // 2)
    logits = fewer.predict_logits(inputs)
    assert windows.answers(*logits.values())[0] == ["york city"] * 3


def test_values_are_refused(words, one_hot):
    sequences = labelled_sequences([LabelledText("the cat", 0.5)], words, 9)
    with pytest.raises(ValueError, match="needs classes, got labels: float32"):
        linear_probe(one_hot, sequences)
