"""Sequences: special tokens, segments and padding in their places."""

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing

from zoo.data import Sequences

pytestmark = pytest.mark.host

TOKENS = np.arange(10, 30)


def test_pairs_are_packed(words):
    starts, stops = np.array([[0, 5], [2, 2]]), np.array([[3, 7], [4, 6]])
    sequences = Sequences(TOKENS, starts, stops, 9, words, np.array([1, 0]))
    assert sequences.lengths.tolist() == [8, 9]
    inputs, labels = sequences.batch(np.array([1, 0]))
    assert labels.tolist() == [0, 1]
    assert inputs["token_ids"].tolist() == [
        [2, 12, 13, 3, 12, 13, 14, 15, 3],
        [2, 10, 11, 12, 3, 15, 16, 3, 0],
    ]
    assert inputs["segment_ids"].tolist() == [
        [0, 0, 0, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 1, 1, 1, 0],
    ]
    assert inputs["padding_mask"].tolist() == [[True] * 9, [True] * 8 + [False]]
    dtypes = {name: value.dtype for name, value in inputs.items()}
    assert dtypes == {
        "token_ids": "int32",
        "segment_ids": "int32",
        "padding_mask": bool,
    }


def test_single_segments_are_packed(words):
    starts, stops = np.array([[0], [4]]), np.array([[3], [4]])
    sequences = Sequences(TOKENS, starts, stops, 6, words)
    (inputs,) = sequences.batch(np.arange(2))
    assert inputs["token_ids"].tolist() == [[2, 10, 11, 12, 3, 0], [2, 3, 0, 0, 0, 0]]
    assert not inputs["segment_ids"].any()
    assert sequences.pack(np.arange(2), 5)["token_ids"].shape == (2, 5)
    sources = sequences.sources(np.arange(2), 5)
    assert sources.tolist() == [[-1, 0, 1, 2, -1], [-1] * 5]


def test_models_without_kinds_of_segments_get_none(words):
    pairs = np.array([[0, 5]]), np.array([[3, 7]])
    for kinds in (0, 1):
        sequences = Sequences(TOKENS, *pairs, 9, words, num_segments=kinds)
        assert not sequences.pack(np.arange(1))["segment_ids"].any()


def test_robertas_pairs(robertas):
    """Two separators, as `tokenizers`' own template puts them."""
    a, b = "the cat", "a mat, sat"
    ids = [robertas.encode(text) for text in (a, b)]
    stops = np.cumsum([[len(x) for x in ids]], axis=1)
    starts = stops - [[len(x) for x in ids]]
    sequences = Sequences(np.concatenate(ids), starts, stops, 40, robertas)
    size = sequences.lengths[0]
    packed = sequences.pack(np.arange(1), 40)
    special = [("<s>", robertas.cls_id), ("</s>", robertas.sep_id)]
    template = TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", special)
    expected = template.process(*(robertas.backend.encode(x) for x in (a, b))).ids
    assert packed["token_ids"][0, :size].tolist() == expected
    assert packed["padding_mask"].sum() == size == len(expected)
    assert set(packed["token_ids"][0, size:]) == {robertas.pad_id}
    sources = sequences.sources(np.arange(1))[0]
    assert sources[sources >= 0].tolist() == [*range(stops[0, 1])]


def test_what_is_too_long_is_refused(words):
    with pytest.raises(ValueError, match="at most length=4 tokens.*got 5"):
        Sequences(TOKENS, np.array([[0]]), np.array([[3]]), 4, words)
