"""Embeddings and positions against their formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.layers import (
    LearnedPositions,
    Rotary,
    SinusoidalPositions,
    TokenEmbedding,
    rotate,
)
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


def test_neighbouring_pairs_are_the_same_features_in_another_order():
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 8)).astype("float32")
    positions = np.array([0, 3, 40])
    order = np.arange(8).reshape(2, 4).T.reshape(-1)  # 0 4 1 5 2 6 3 7
    expected = ops.convert_to_numpy(rotate(x, positions))[..., order]
    got = rotate(x[..., order], positions, Rotary(pairs="neighbours"))
    assert np.abs(ops.convert_to_numpy(got) - expected).max() < TOLERANCE


def test_a_share_of_each_head_is_rotated():
    x = np.random.default_rng(0).normal(size=(1, 3, 2, 8)).astype("float32")
    got = ops.convert_to_numpy(rotate(x, np.arange(3), Rotary(share=0.5)))
    assert np.array_equal(got[..., 4:], x[..., 4:])
    expected = ops.convert_to_numpy(rotate(x[..., :4], np.arange(3)))
    assert np.abs(got[..., :4] - expected).max() < TOLERANCE


def test_ntk_leaves_the_fastest_and_divides_the_slowest_frequency():
    plain, scaled = Rotary(), Rotary(scaling="ntk", factor=4.0)
    ratio = plain.frequencies(16) / scaled.frequencies(16)
    assert ratio[0] == pytest.approx(1)
    assert ratio[-1] == pytest.approx(4)
    assert np.all(np.diff(ratio) > 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"theta": 1.0}, "theta must be more than 1, got 1.0"),
        ({"share": 0.0}, r"share must be in \(0, 1\], got 0.0"),
        ({"pairs": "odd"}, "pairs must be one of .*got 'odd'"),
        ({"factor": 0.5}, "factor must be at least 1, got 0.5"),
        ({"factor": 2.0}, "factor=2.0 needs a scaling"),
        ({"scaling": "yarn", "factor": 2.0}, "needs original_length"),
        ({"slow": 40.0}, "slow must be above 0 and less than fast"),
    ],
)
def test_bad_rotary_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        Rotary(**fields)


def test_an_odd_number_of_rotated_features():
    with pytest.raises(ValueError, match="even width, got 3 of 6"):
        Rotary(share=0.5).width(6)


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
