"""Image batches: a function of (seed, update), every image once per epoch."""

import itertools
import threading

import numpy as np
import pytest

from zoo.data import ImageBatches, binarized

pytestmark = pytest.mark.host

GREY = np.random.default_rng(0).integers(0, 256, (100, 2, 3, 1), np.uint8)
NUMBERED = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)


def numbers(batch: tuple[np.ndarray, ...]) -> list[int]:
    """Returns which of NUMBERED a batch holds."""
    return np.round(batch[0] * 255).astype(int).ravel().tolist()


def equal(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def test_a_batch_holds_images_and_their_labels():
    batches = ImageBatches(GREY, 8, labels=np.arange(100), seed=1)
    images, labels = batches.batch(0)
    assert images.dtype == np.float32
    assert images.shape == (8, 2, 3, 1)
    assert labels.dtype == np.int32
    np.testing.assert_allclose(images, GREY[labels] / 255, rtol=0, atol=1e-7)
    (alone,) = ImageBatches(GREY, 8, seed=1).batch(0)
    np.testing.assert_array_equal(alone, images)
    assert images.min() >= 0 and images.max() <= 1
    images += 1  # the caller owns the batch
    np.testing.assert_array_equal(batches.batch(0)[0], alone)


def test_the_order_is_what_it_was():
    """Fails if Grain or NumPy draw other numbers, so that older runs can't resume."""
    batches = ImageBatches(NUMBERED, 4, seed=1)
    order = [numbers(batches.batch(update)) for update in (0, 1, 3, 10**12)]
    assert order == [[5, 8, 3, 7], [6, 4, 2, 0], [11, 6, 0, 9], [6, 8, 1, 5]]
    half = np.full((4, 1, 3, 2), 128, np.uint8)
    (drawn,) = ImageBatches(half, 4, binarize="dynamic", seed=1).batch(5)
    assert "".join("01"[int(d)] for d in drawn.ravel()) == "110001110101010010110000"


@pytest.mark.parametrize("batch_size", [1, 3, 4, 12])
def test_every_image_occurs_once_an_epoch(batch_size):
    batches = ImageBatches(NUMBERED, batch_size, seed=2)
    assert batches.steps_per_epoch == 12 // batch_size
    stream = map(numbers, batches.batches())
    epochs = []
    for _ in range(4):
        steps = itertools.islice(stream, batches.steps_per_epoch)
        epochs.append(list(itertools.chain.from_iterable(steps)))
        assert sorted(epochs[-1]) == list(range(12))
    assert len(set(map(tuple, epochs))) == 4


def test_the_rest_of_an_epoch_is_left_out():
    batches = ImageBatches(NUMBERED, 5)
    assert batches.steps_per_epoch == 2
    left_out = set()
    for epoch in range(20):
        seen = numbers(batches.batch(2 * epoch)) + numbers(batches.batch(2 * epoch + 1))
        assert len(set(seen)) == 10
        left_out |= set(range(12)) - set(seen)
    assert len(left_out) == 12


@pytest.mark.parametrize("binarize", ["none", "dynamic", "static"])
def test_a_batch_depends_on_seed_and_update_alone(binarize):
    def make(seed):
        return ImageBatches(
            GREY, 30, labels=np.arange(100), binarize=binarize, seed=seed
        )

    batches = make(3)
    forward = [batches.batch(update) for update in range(8)]
    again = make(3)
    backward = [again.batch(update) for update in reversed(range(8))]
    assert all(map(equal, forward, reversed(backward)))
    assert len({batch[0].tobytes() for batch in forward}) == 8
    others = [make(seed).batch(0) for seed in (0, 4, 2**40)]
    assert len({batch[0].tobytes() for batch in (forward[0], *others)}) == 4


@pytest.mark.parametrize("binarize", ["none", "dynamic", "static"])
@pytest.mark.parametrize("start", [0, 7, 10**12])
def test_batches_begin_at_start(binarize, start):
    batches = ImageBatches(GREY, 30, binarize=binarize)
    stream = itertools.islice(batches.batches(start), 5)
    fresh = ImageBatches(GREY, 30, binarize=binarize)
    for update, batch in enumerate(stream, start):
        assert equal(batch, fresh.batch(update))


def test_threads_draw_the_same():
    batches = ImageBatches(GREY, 30, binarize="dynamic")
    expected = [batches.batch(update)[0] for update in range(60)]
    drawn: dict[int, list[np.ndarray]] = {}

    def draw(thread: int) -> None:
        drawn[thread] = [batches.batch(update)[0] for update in range(60)]

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for images in drawn.values():
        np.testing.assert_array_equal(images, expected)
    assert len(drawn) == 4


def of_image(batches: ImageBatches, image: int, epochs: int) -> np.ndarray:
    """Returns one image as drawn in each epoch."""
    drawn = []
    for images, labels in itertools.islice(
        batches.batches(), epochs * batches.steps_per_epoch
    ):
        drawn += list(images[labels == image])
    return np.stack(drawn)


def test_dynamic_draws_anew_with_the_intensity_as_mean():
    levels = np.array([0, 1, 64, 128, 200, 254, 255], np.uint8)
    images = np.tile(levels[:, None, None, None], (1, 20, 20, 1))
    batches = ImageBatches(images, 7, labels=np.arange(7), binarize="dynamic", seed=5)
    for label, level in enumerate(levels):
        drawn = of_image(batches, label, epochs=50)
        assert set(np.unique(drawn)) <= {0.0, 1.0}
        mean, num_draws = level / 255, drawn.size
        deviation = np.sqrt(mean * (1 - mean) / num_draws)
        assert abs(drawn.mean() - mean) <= 5 * deviation
        if 60 < level < 210:
            assert len({d.tobytes() for d in drawn}) == 50


def test_static_is_drawn_once():
    batches = ImageBatches(GREY, 20, labels=np.arange(100), binarize="static", seed=9)
    expected = binarized(GREY, 9)
    for images, labels in itertools.islice(batches.batches(), 15):
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images, expected[labels])


def test_binarized_is_alike_on_every_platform():
    """Also fails if PCG64 draws other numbers, so that figures don't compare."""
    rng = np.random.Generator(np.random.PCG64(4))
    draws = rng.random(GREY.shape, dtype=np.float32)
    ones = binarized(GREY, 4)
    assert ones.dtype == np.float32
    np.testing.assert_array_equal(ones, draws < GREY.astype(np.float32) / 255)
    np.testing.assert_array_equal(ones, binarized(GREY, 4))
    assert (ones != binarized(GREY, 5)).any()
    packed = np.packbits(ones.astype(bool)).tobytes()
    assert packed[:8].hex() == "1179ea60258b707b"
    many = np.repeat(GREY[:, :1, :1], 4000, axis=1)
    means = binarized(many, 0).mean((1, 2, 3))
    assert np.abs(means - GREY[:, 0, 0, 0] / 255).max() < 5 * 0.5 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": GREY / 255}, r"images must .*float64 of shape \(100, 2, 3, 1\)"),
        ({"images": GREY[:, :0]}, r"uint8 of shape \(100, 0, 3, 1\)"),
        ({"images": GREY[..., 0]}, r"uint8 of shape \(100, 2, 3\)"),
        ({"images": GREY[:0]}, "batch_size must be from 1 to 0, .*got 8"),
        ({"batch_size": 0}, "batch_size must be from 1 to 100, .*got 0"),
        ({"batch_size": 101}, "batch_size must be from 1 to 100, .*got 101"),
        ({"binarize": "fixed"}, "binarize must be one of .*'static'.* got 'fixed'"),
        ({"seed": -1}, "seed must be .*got -1"),
        ({"labels": np.arange(99)}, r"labels must be .*int64 of shape \(99,\)"),
        ({"labels": np.zeros(100)}, "labels must be .*float64"),
        ({"labels": np.zeros((100, 1), int)}, r"shape \(100, 1\)"),
    ],
)
def test_batches_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageBatches(**{"images": GREY, "batch_size": 8, **arguments})


def test_updates_are_not_negative():
    batches = ImageBatches(GREY, 8)
    with pytest.raises(ValueError, match="update must be 0 or more, got -1"):
        batches.batch(-1)
    with pytest.raises(ValueError, match="start must be 0 or more, got -1"):
        batches.batches(-1)


def test_binarized_refuses():
    with pytest.raises(ValueError, match="images must be uint8 .*got float32"):
        binarized(GREY.astype("float32"), 0)
    with pytest.raises(ValueError, match="seed must be .*got -1"):
        binarized(GREY, -1)
