"""Texts and tagged words as sequences, and batches of similar length."""

import itertools

import numpy as np
import pytest

from zoo.data import (
    LabelledText,
    TaggedWords,
    TextBatches,
    each_once,
    labelled_sequences,
    tagged_sequences,
)

pytestmark = pytest.mark.host


def test_texts_and_labels(words):
    texts = [LabelledText("the cat sat", 1), LabelledText("dogs bark on a mat .", 0)]
    sequences = labelled_sequences(texts, words, 6)
    inputs, labels = sequences.batch(np.arange(2))
    assert (labels.dtype, labels.tolist()) == (np.int32, [1, 0])
    decoded = [words.decode(ids) for ids in inputs["token_ids"]]
    assert decoded == ["[CLS] the cat sat [SEP] [PAD]", "[CLS] dogs bark on a [SEP]"]


def test_pairs_and_values(words):
    texts = [
        LabelledText("the cat", 2.5, "dogs bark on a mat ."),
        LabelledText("the cat sat on a mat", 0.0, "the"),
    ]
    inputs, labels = labelled_sequences(texts, words, 8).batch(np.arange(2))
    assert (labels.dtype, labels.tolist()) == (np.float32, [2.5, 0.0])
    decoded = [words.decode(ids) for ids in inputs["token_ids"]]
    assert decoded == [
        "[CLS] the cat [SEP] dogs bark on [SEP]",
        "[CLS] the cat sat on [SEP] the [SEP]",
    ]
    assert inputs["segment_ids"].tolist() == [[0] * 4 + [1] * 4, [0] * 6 + [1] * 2]


def test_texts_without_labels(words):
    texts = [LabelledText("the cat", None), LabelledText("a mat", None)]
    assert len(labelled_sequences(texts, words, 6).batch(np.arange(2))) == 1
    with pytest.raises(ValueError, match="have a label, or none, got 1 of 2"):
        labelled_sequences([LabelledText("the", 0), texts[0]], words, 6)


def test_robertas_words_stand_in_running_text(robertas):
    """As in `transformers`, which needs `add_prefix_space` for words."""
    examples = [TaggedWords(("the", "cat", "sat."), (0, 1, 2))]
    sequences = tagged_sequences(examples, robertas, 20)
    text = robertas.encode(" the cat sat.")
    assert sequences.tokens.tolist() == text.tolist()
    assert (sequences.tags >= 0).sum() == 3


def test_texts_refuse(words):
    mixed = [LabelledText("the", 0), LabelledText("cat", 1, "sat")]
    with pytest.raises(ValueError, match="second text, or none, got 1 of 2"):
        labelled_sequences(mixed, words, 9)
    with pytest.raises(ValueError, match="length must be at least 5, got 4"):
        labelled_sequences(mixed[1:], words, 4)
    with pytest.raises(ValueError, match="at least one example, got none"):
        labelled_sequences([], words, 9)


def test_tags_stand_at_the_first_token_of_a_word(words):
    sentences = [
        TaggedWords(("New", "Yorks", "\u0301", "cats"), (3, 4, 0, 2)),
        TaggedWords(("the", "barking", "dogs", "sat"), (1, 2, 3, 4)),
    ]
    sequences = tagged_sequences(sentences, words, 7)
    inputs, tags, weights = sequences.batch(np.arange(2), 7)
    decoded = [[words.id_to_token(i) for i in ids] for ids in inputs["token_ids"]]
    assert decoded[0] == "[CLS] new york ##s [UNK] cat [SEP]".split()
    assert decoded[1] == "[CLS] the bark ##ing dogs sat [SEP]".split()
    assert tags.tolist() == [[0, 3, 4, 0, 0, 2, 0], [0, 1, 2, 0, 3, 4, 0]]
    assert weights.tolist() == [[0, 1, 1, 0, 1, 1, 0], [0, 1, 1, 0, 1, 1, 0]]
    assert (tags.dtype, weights.dtype) == (np.int32, np.float32)
    found = sequences.at_words(np.arange(2), tags)
    assert [f.tolist() for f in found] == [list(s.tags) for s in sentences]
    (vectors,) = sequences.at_words(np.array([1]), np.eye(7)[tags[1:]])
    assert vectors.argmax(axis=-1).tolist() == [1, 2, 3, 4]
    short = tagged_sequences(sentences, words, 5)
    _, tags, _ = short.batch(np.array([1]))
    assert short.at_words(np.array([1]), tags)[0].tolist() == [1, 2]
    with pytest.raises(ValueError, match="length must be at least 3, got 2"):
        tagged_sequences(sentences, words, 2)


@pytest.fixture(scope="module")
def many(words):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 38, 103)
    return labelled_sequences(
        [LabelledText("cat " * int(n), i) for i, n in enumerate(sizes)], words, 30
    )


def test_batches_have_few_lengths_and_little_padding(many):
    batches = TextBatches(many, 8, num_buckets=4, seed=1)
    assert batches.steps_per_epoch == 12
    widths = []
    for inputs, labels in itertools.islice(batches.batches(), 12):
        widths.append(inputs["token_ids"].shape[1])
        longest = many.lengths[labels].max()
        assert widths[-1] - 8 < longest <= widths[-1]
    assert set(widths) == {8, 16, 24, 30}
    assert widths != sorted(widths)
    padded = sum(8 * width for width in widths)
    assert many.lengths.sum() / padded > 0.75
    plain = TextBatches(many, 8, num_buckets=1).batch(0)[0]["token_ids"]
    assert plain.shape == (8, 30)


def test_batches_go_through_all_but_the_rest(many):
    batches = TextBatches(many, 8, seed=1)
    epochs = [
        [batches.batch(12 * epoch + step)[1].tolist() for step in range(12)]
        for epoch in range(2)
    ]
    for epoch in epochs:
        assert len(set(itertools.chain(*epoch))) == 96
    assert epochs[0] != epochs[1]
    again = TextBatches(many, 8, seed=1).batch(17)[1].tolist()
    assert again == epochs[1][5]
    assert TextBatches(many, 8, seed=2).batch(17)[1].tolist() != again


def test_each_once_leaves_none_out(many):
    seen = []
    for rows, (inputs, labels) in each_once(many, 8, num_buckets=4):
        assert inputs["token_ids"].shape[1] in (8, 16, 24, 30)
        np.testing.assert_array_equal(rows, labels)
        seen += rows.tolist()
    assert sorted(seen) == list(range(103))


def test_batches_refuse(many):
    with pytest.raises(ValueError, match="num_buckets must be .* length=30, got 0"):
        TextBatches(many, 8, num_buckets=0)
    with pytest.raises(ValueError, match="batch_size must be from 1 to 103.*got 104"):
        TextBatches(many, 104)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        next(each_once(many, 0))
