import keras
import numpy as np
import pytest
from keras import ops

from zoo.layers import ImageHistory

SIZE, SHAPE = 3, (2, 2, 1)


def numpy(x):
    return np.array(ops.convert_to_numpy(x))


def images(*values):
    """Each image of one value."""
    return np.float32(values)[:, None, None, None] * np.ones((1, *SHAPE), "float32")


def value(x):
    """The values of images that have one each."""
    return numpy(x)[:, 0, 0, 0].tolist()


@pytest.fixture
def history():
    layer = ImageHistory(SIZE, SHAPE)
    layer.build()
    return layer


class Pool:
    """The authors' rule, one image at a time, told where it would draw."""

    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, image, place, earlier):
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        if not earlier:
            return image
        found, self.images[place] = self.images[place], image
        return found


def test_one_at_a_time_is_the_authors_rule(history):
    pool, seed = Pool(SIZE), keras.random.SeedGenerator(0)
    swaps = 0
    for number in range(40):
        drawn = history.draw(1, seed)
        place, shown = (int(numpy(drawn[k])[0]) for k in ("place", "shown"))
        found = history(images(number), **drawn)
        assert value(found) == [pool.query(number, place, earlier=shown >= 0)]
        kept = numpy(history.images)[: len(pool.images), 0, 0, 0]
        assert kept.tolist() == pool.images
        swaps += shown >= 0
    assert 10 < swaps < 28


def test_a_batch_fills_what_is_free(history):
    seed = keras.random.SeedGenerator(0)
    drawn = history.draw(2, seed)
    assert value(history(images(1, 2), **drawn)) == [1, 2]
    # One place is left for two images.
    drawn = history.draw(2, seed)
    assert value(history(images(3, 4), **drawn)) == [3, 4]
    assert value(history.images) == [1, 2, 3]
    assert numpy(history.filled).tolist() == [1, 1, 1]


def test_images_of_a_batch_meet_the_history_before_it(history):
    history(images(1, 2, 3), place=np.int32([0, 1, 2]), shown=np.int32([-1] * 3))
    found = history(
        images(4, 5, 6), place=np.int32([-1, 0, 2]), shown=np.int32([0, 0, 2])
    )
    assert value(found) == [1, 1, 3]
    assert value(history.images) == [5, 2, 6]


def test_draws_are_even_and_give_each_place_once():
    history = ImageHistory(20, SHAPE)
    history.build()
    history.filled.assign(np.ones(20))
    seed, shown = keras.random.SeedGenerator(1), []
    for _ in range(20):
        drawn = {k: numpy(v) for k, v in history.draw(100, seed).items()}
        taken = drawn["place"][drawn["place"] >= 0]
        assert len(set(taken)) == len(taken)
        # The last of those that draw a place has it.
        for place in taken:
            rows = np.flatnonzero(drawn["shown"] == place)
            assert drawn["place"][rows[-1]] == place
        shown.extend(drawn["shown"])
    shown = np.array(shown)
    # Within five standard deviations.
    assert np.mean(shown >= 0) == pytest.approx(0.5, abs=0.056)
    counts = np.bincount(shown[shown >= 0], minlength=20)
    assert counts.sum() == len(shown[shown >= 0])
    assert np.abs(counts - 50).max() < 5 * np.sqrt(50)


def test_what_is_not_finite_stays_where_it_is(history):
    history(images(np.nan, 2), place=np.int32([-1, 1]), shown=np.int32([-1, -1]))
    assert value(history.images) == [0, 2, 0]
