"""Initial weights: their spread, and that no two matrices are alike."""

import keras
import numpy as np
from keras import ops

from zoo.layers.initializers import Normal, residual


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


def test_normal_survives_serialisation():
    copied = keras.initializers.deserialize(keras.initializers.serialize(Normal(0.3)))
    assert isinstance(copied, Normal)
    assert copied.stddev == 0.3


def test_residual_shrinks_with_depth():
    assert residual(0.02, 8).stddev == 0.02 / 4
