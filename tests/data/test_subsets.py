"""A subset represents the whole dataset, and is the same in every run."""

import numpy as np
import pytest

from tests.data.test_images import write_mnist, write_picture
from zoo.data import fixed_subset, load

pytestmark = pytest.mark.host


def test_smaller_subsets_begin_larger_ones():
    rows = fixed_subset(1000, 1000)
    assert sorted(rows) == list(range(1000))
    for count in (1, 10, 999, 2000):
        np.testing.assert_array_equal(fixed_subset(1000, count), rows[:count])
    np.testing.assert_array_equal(fixed_subset(7, None), range(7))
    assert len(fixed_subset(0, 5)) == 0
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"out of 7, .* least 1, got {count}"):
            fixed_subset(7, count)


def test_a_subset_is_always_the_same():
    """Fails if NumPy draws other numbers, so that figures on subsets don't compare."""
    assert fixed_subset(10_000, 6).tolist() == [3577, 8925, 1634, 485, 4753, 726]


@pytest.fixture
def by_class(tmp_path):
    """Makes typical folders, sorted by class; the shade tells the class."""
    for part, count in (("train", 30), ("test", 10)):
        for label, name in enumerate("abc"):
            for i in range(count):
                pixels = np.full((4, 4), 50 * label + i, np.uint8)
                write_picture(tmp_path / part / name / f"{i:02}.png", pixels)
    return tmp_path


def test_most_chooses_before_it_decodes(by_class):
    every = load("images", by_class, channels=1)
    some = load("images", by_class, channels=1, most=8)
    for part in ("train", "test"):
        images, labels = (getattr(every, f"{part}_{x}") for x in ("images", "labels"))
        rows = fixed_subset(len(images), 8)
        np.testing.assert_array_equal(getattr(some, f"{part}_images"), images[rows])
        np.testing.assert_array_equal(getattr(some, f"{part}_labels"), labels[rows])
        assert set(labels[rows]) == {0, 1, 2}
    assert some.class_names == every.class_names
    assert some.sha256 != every.sha256
    # Pictures that are not chosen are not opened.
    rest = set(range(90)) - set(fixed_subset(90, 8).tolist())
    paths = sorted((by_class / "train").rglob("*.png"))
    for row in rest:
        paths[row].write_bytes(b"damaged")
    assert load("images", by_class, channels=1, most=8) == some
    with pytest.raises(ValueError, match="out of 90, must be at least 1, got 0"):
        load("images", by_class, most=0)


def test_every_image_dataset_takes_most(tmp_path):
    write_mnist(tmp_path)
    for name, place in (("digits", None), ("mnist", tmp_path)):
        every, some = load(name, place), load(name, place, most=2)
        rows = fixed_subset(len(every.train_images), 2)
        np.testing.assert_array_equal(some.train_images, every.train_images[rows])
        np.testing.assert_array_equal(some.train_labels, every.train_labels[rows])
        assert len(some.test_images) == 2
    for name, place in (("small_digit_outlines", None), ("digit_outlines", tmp_path)):
        every, some = load(name, place), load(name, place, most=2)
        for part in ("train_a", "train_b", "test_a", "test_b"):
            images = getattr(every, part)
            rows = fixed_subset(len(images), 2)
            np.testing.assert_array_equal(getattr(some, part), images[rows])


def test_most_of_two_domains(by_class):
    for name in ("c", "a"):  # one domain has folders of its own
        (by_class / "train" / name).rename(by_class / name)
    (by_class / "test").rename(by_class / "a" / "more")
    (by_class / "train" / "b").rename(by_class / "a" / "b")
    (by_class / "train").rmdir()
    every = load("unpaired", by_class)
    some = load("unpaired", by_class, most=5)
    assert every.domains == some.domains == ("a", "c")
    for part in ("train_a", "train_b", "test_a", "test_b"):
        images = getattr(every, part)
        rows = fixed_subset(len(images), 5)
        np.testing.assert_array_equal(getattr(some, part), images[rows])


def test_another_kind_is_refused_before_its_options():
    from zoo.data import ImageDataset

    with pytest.raises(ValueError, match="of ImageDataset, got 'docs' of TextData"):
        load("docs", expect=ImageDataset, most=5)
