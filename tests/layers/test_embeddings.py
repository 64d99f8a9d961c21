"""Embeddings and positions against their formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.layers import LearnedPositions, SinusoidalPositions, TokenEmbedding, rotate
from zoo.layers.initializers import Normal

TOLERANCE = 1e-5


def zeros(*shape):
    return ops.zeros(shape)


def test_tied_head_is_the_product_with_the_embedding():
    layer = TokenEmbedding(7, 4, Normal(1.0))
    layer.build()
    table = ops.convert_to_numpy(layer.embeddings)
    ids = np.array([[3, 0], [6, 3]])
    vectors = layer(ids)
    assert np.array_equal(ops.convert_to_numpy(vectors), table[ids])
    logits = ops.convert_to_numpy(layer.logits(vectors))
    assert np.abs(logits - table[ids] @ table.T).max() < TOLERANCE


def test_logits_are_float32_in_half_precision():
    layer = TokenEmbedding(7, 4, Normal(1.0), dtype="mixed_bfloat16")
    layer.build()
    vectors = layer(np.array([[1]]))
    assert keras.backend.standardize_dtype(vectors.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(layer.logits(vectors).dtype) == "float32"


def test_learned_positions_count_from_zero_or_as_told():
    layer = LearnedPositions(6, 4, Normal(1.0))
    layer.build()
    table = ops.convert_to_numpy(layer.embeddings)
    assert np.array_equal(ops.convert_to_numpy(layer(zeros(2, 3, 4)))[1], table[:3])
    told = np.array([[2, 3, 4], [0, 0, 5]])
    assert np.array_equal(
        ops.convert_to_numpy(layer(zeros(2, 3, 4), told)), table[told]
    )


def test_sinusoidal_positions_are_the_paper_s():
    length, width = 50, 6
    got = ops.convert_to_numpy(SinusoidalPositions(length, width)(zeros(1, 50, 6)))[0]
    for position in range(length):
        for i in range(width // 2):
            angle = position / 10000 ** (2 * i / width)
            assert abs(got[position, 2 * i] - np.sin(angle)) < TOLERANCE
            assert abs(got[position, 2 * i + 1] - np.cos(angle)) < TOLERANCE
    told = ops.convert_to_numpy(
        SinusoidalPositions(length, width)(zeros(1, 2, 6), np.array([[7, 49]]))
    )
    assert np.array_equal(told[0], got[[7, 49]])
    with pytest.raises(ValueError, match="width must be even, got 5"):
        SinusoidalPositions(8, 5)


def test_rotary_is_the_formula():
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 8)).astype("float32")
    positions = np.array([[0, 1, 2], [5, 9, 300]])
    got = ops.convert_to_numpy(rotate(x, positions))
    for i in range(4):
        angle = (positions / 10000 ** (2 * i / 8))[:, :, None]
        a, b = x[..., i], x[..., i + 4]
        turned = a * np.cos(angle) - b * np.sin(angle)
        assert np.abs(got[..., i] - turned).max() < 5e-5  # cos of 300 in float32
        turned = a * np.sin(angle) + b * np.cos(angle)
        assert np.abs(got[..., i + 4] - turned).max() < 5e-5


def test_rotary_scores_depend_on_distance_alone():
    rng = np.random.default_rng(0)
    q, k = (rng.normal(size=(1, 1, 1, 8)).astype("float32") for _ in range(2))

    def score(at_q, at_k):
        turned = rotate(q, np.array([at_q])), rotate(k, np.array([at_k]))
        a, b = (ops.convert_to_numpy(x).ravel() for x in turned)
        return float(a @ b)

    for distance in (0, 1, 7):
        scores = [score(at + distance, at) for at in (0, 1, 5, 23, 60)]
        assert np.ptp(scores) < TOLERANCE
    assert abs(score(3, 0) - score(0, 3)) > 1e-2
    assert score(0, 0) == pytest.approx(float((q * k).sum()), abs=TOLERANCE)
