"""Initial weights: their spread, and that no two matrices are alike."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.layers.initializers import Normal, TruncatedNormal, residual


def test_normal_draws_anew_with_the_right_spread():
    initializer = Normal(0.02)
    first, second = (ops.convert_to_numpy(initializer((200, 300))) for _ in range(2))
    assert not np.array_equal(first, second)
    for drawn in (first, second):
        assert abs(drawn.std() / 0.02 - 1) < 0.02
        assert abs(drawn.mean()) < 0.0005


def test_normal_follows_the_global_seed():
    def draw():
        keras.utils.set_random_seed(5)
        return ops.convert_to_numpy(Normal(1.0)((4, 4)))

    assert np.array_equal(draw(), draw())


def test_truncated_normal_has_no_tails():
    drawn = ops.convert_to_numpy(TruncatedNormal(0.02)((200, 300)))
    # Of Keras's four tries a number on torch, all four may lie beyond.
    assert (np.abs(drawn) > 0.04 + 1e-6).mean() < 1e-4
    assert abs(drawn.std() / (0.02 * 0.8796) - 1) < 0.02


@pytest.mark.parametrize("kind", [Normal, TruncatedNormal])
def test_survives_serialisation(kind):
    copied = keras.initializers.deserialize(keras.initializers.serialize(kind(0.3)))
    assert type(copied) is kind
    assert copied.stddev == 0.3


def test_residual_shrinks_with_depth():
    assert residual(0.02, 8).stddev == 0.02 / 4
