"""Averages of the weights: unbiased from the first update, the weights before it."""

import keras
import numpy as np
import pytest
from keras import callbacks
from keras.optimizers import SGD

from tests.training.toys import Regression, regression_batches, step, with_weights


def arrays(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def averages(model):
    (member,) = model.optimizer.members.values()
    return arrays(member._model_variables_moving_average)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.999, 1.0])
def test_an_average_is_the_weighted_mean_of_all_updates(momentum):
    model = with_weights(Regression())
    model.compile(SGD(0.1, use_ema=True, ema_momentum=momentum))
    seen = []
    for x, y, _ in regression_batches(7):
        step(model, (x, y))
        seen.append(arrays(model.trainable_variables))
    weights = float(momentum) ** np.arange(len(seen))[::-1]
    for index, average in enumerate(averages(model)):
        values = np.stack([weights_then[index] for weights_then in seen])
        expected = np.average(values.astype("float64"), axis=0, weights=weights)
        np.testing.assert_allclose(average, expected, atol=1e-6)


def test_the_first_weights_share_of_an_average_is_small():
    """84 % of it after 175 updates at momentum 0.999, as Keras starts."""
    model = with_weights(Regression())
    model.compile(SGD(0.0, use_ema=True, ema_momentum=0.999))
    x, y, _ = regression_batches(1)[0]
    step(model, (x, y))
    for variable in model.trainable_variables:
        variable.assign_add(keras.ops.ones(variable.shape))
    after = arrays(model.trainable_variables)
    for _ in range(9):
        step(model, (x, y))
    # The first update's weights were smaller by one: a tenth of ten weights' mean.
    for average, value in zip(averages(model), after, strict=True):
        np.testing.assert_allclose(value - average, 0.1, atol=1e-3)


def test_before_the_first_update_the_average_is_the_weights():
    model = with_weights(Regression())
    model.compile(SGD(0.1, use_ema=True))
    before = arrays(model.trainable_variables)
    with model.averaged_weights():
        for a, b in zip(arrays(model.trainable_variables), before, strict=True):
            np.testing.assert_array_equal(a, b)


def test_swap_ema_weights_evaluates_the_unbiased_average():
    model = with_weights(Regression())
    model.compile(SGD(0.1, use_ema=True, ema_momentum=0.99))
    batches = regression_batches(4)
    for x, y, _ in batches:
        step(model, (x, y))
    x, y, _ = batches[0]
    with model.averaged_weights():
        expected = model.evaluate(x, y, verbose=0)
    swap = callbacks.SwapEMAWeights()
    assert model.evaluate(x, y, verbose=0, callbacks=[swap]) == expected
