import keras
import numpy as np
import pytest
from keras import ops

from zoo.training.batched import Batched


@pytest.fixture(scope="module")
def product():
    weight = keras.Variable(np.arange(6, dtype="float32").reshape(3, 2))

    def function(x, y):
        return {"product": ops.matmul(x, weight), "sum": (x + y, ops.sum(y, axis=1))}

    return weight, Batched(function, lambda: [weight], batch_size=4)


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_any_number_of_rows(product, rows):
    weight, batched = product
    rng = np.random.default_rng(rows)
    x, y = rng.normal(size=(2, rows, 3)).astype("float32")
    found = batched(x, y)
    np.testing.assert_allclose(
        found["product"], x @ ops.convert_to_numpy(weight), rtol=0, atol=1e-5
    )
    np.testing.assert_array_equal(found["sum"][0], x + y)
    np.testing.assert_allclose(found["sum"][1], y.sum(axis=1), rtol=0, atol=1e-6)


def test_weights_are_read_anew(product):
    weight, batched = product
    x = np.ones((2, 3), "float32")
    weight.assign(2 * np.ones((3, 2)))
    np.testing.assert_array_equal(batched(x, x)["product"], np.full((2, 2), 6))


def test_unequal_or_no_rows_raise(product):
    _, batched = product
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        batched(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="at least one"):
        batched(np.ones((0, 3)), np.ones((0, 3)))
