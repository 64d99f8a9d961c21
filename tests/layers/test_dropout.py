"""Dropout whose randomness is saved and can be drawn beforehand."""

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from zoo.layers import Dropout

ONES = np.ones((64, 64), "float32")


def dropped(layer, **kwargs):
    return ops.convert_to_numpy(layer(ONES, training=True, **kwargs))


def test_drops_the_rate_and_scales_the_rest():
    found = dropped(Dropout(0.25, seed=1))
    assert set(np.unique(found)) == {0, np.float32(1 / 0.75)}
    assert abs((found == 0).mean() - 0.25) < 0.03


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_without_a_seed_drops_the_rate_everywhere(dtype):
    keras.utils.set_random_seed(0)
    x = ops.cast(np.ones((401, 203)), dtype)
    found = Dropout(0.1, dtype=dtype)(x, training=True)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    assert np.abs(np.unique(found) - [0, 1 / 0.9]).max() < 2**-7  # bfloat16's steps
    # Bits of one word are in four neighbours: each has its own.
    gone = np.ravel(found == 0)[:81400].reshape(-1, 4)
    assert np.abs(gone.mean(axis=0) - 0.1).max() < 0.01
    correlations = np.corrcoef(gone.T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 0.03


def test_each_step_of_a_fit_drops_others():
    """Also where a step is recorded once and replayed."""
    keras.utils.set_random_seed(0)
    gpt = zoo.GPT(zoo.GPTConfig(11, 8, 1, 2, 8, dropout=0.5))
    gpt.compile(keras.optimizers.SGD(0.0))
    tokens = np.arange(36).reshape(4, 9).astype("int32") % 11
    batch = (tokens[:, :-1], tokens[:, 1:])
    losses = [gpt.fit(*batch, verbose=0).history["loss"][0] for _ in range(4)]
    assert len(set(losses)) == 4


def test_does_nothing_outside_of_training_or_at_rate_zero():
    layer = Dropout(0.5, seed=1)
    assert np.array_equal(ops.convert_to_numpy(layer(ONES)), ONES)
    assert np.array_equal(dropped(Dropout(0.0)), ONES)
    assert Dropout(0.0).draw() is None


def test_each_call_drops_others():
    layer = Dropout(0.5, seed=1)
    assert not np.array_equal(dropped(layer), dropped(layer))


def test_a_drawn_seed_drops_what_the_call_would_have():
    first, second = Dropout(0.5, seed=1), Dropout(0.5, seed=1)
    seed = first.draw()
    expected = dropped(second)
    assert np.array_equal(dropped(first, seed=seed), expected)
    assert np.array_equal(dropped(first, seed=seed), expected)
    assert np.array_equal(dropped(first), dropped(second))


def test_saved_with_the_weights(tmp_path):
    def model(seed):
        x = keras.Input((64,))
        return keras.Model(x, Dropout(0.5, seed=seed, name="dropout")(x))

    first, second = model(1), model(2)
    first(ONES, training=True)
    first.save_weights(tmp_path / "m.weights.h5")
    second.load_weights(tmp_path / "m.weights.h5")
    after = [ops.convert_to_numpy(m(ONES, training=True)) for m in (first, second)]
    assert np.array_equal(*after)


def test_bad_rate():
    with pytest.raises(ValueError, match=r"in \[0, 1\), got 1.0"):
        Dropout(1.0)
