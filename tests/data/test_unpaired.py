"""Unpaired domains: how they are found, their batches, and outlines of digits."""

import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import maximum_filter

from tests.data.test_images import random_pixels, write_mnist
from zoo.data import ImageBatches, UnpairedBatches, load
from zoo.data.images.outlines import outlines

pytestmark = pytest.mark.host

COUNTS = {"trainA": 3, "trainB": 2, "testA": 1, "testB": 2}


def write(folder, counts, size=6):
    """Writes PNGs and returns their pixels by subfolder."""
    found = {}
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        found[name] = random_pixels(count, size, size, 3)
        for index, pixels in enumerate(found[name]):
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return found


@pytest.mark.parametrize("form", ["folder", "folder in a folder", "archive"])
def test_the_four_folders(form, tmp_path):
    folder = tmp_path / "data" / ("inner" if form == "folder in a folder" else "")
    pixels = write(folder, COUNTS)
    place = tmp_path / "data"
    if form == "archive":
        place = tmp_path / "data.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for file in folder.rglob("*.png"):
                archive.write(file, f"x/{file.relative_to(folder)}")
            archive.writestr("__MACOSX/trainC/._0.png", b"")
    data = load("unpaired", place)
    arrays = (data.train_a, data.train_b, data.test_a, data.test_b)
    for found, name in zip(arrays, COUNTS, strict=True):
        np.testing.assert_array_equal(found, pixels[name])
    assert data.domains == ("A", "B") and not data.paired_test
    again = load("unpaired", place)
    assert data == again
    assert load("unpaired", place, size=4, channels=1).test_b.shape == (2, 4, 4, 1)


def test_two_folders_of_any_names(tmp_path):
    pixels = write(tmp_path, {"zebras": 20, "horses": 10})
    data = load("unpaired", tmp_path)
    assert data.domains == ("horses", "zebras")
    assert [len(x) for x in (data.train_a, data.test_a)] == [9, 1]
    assert [len(x) for x in (data.train_b, data.test_b)] == [18, 2]
    both = np.concatenate([data.train_b, data.test_b])
    assert {x.tobytes() for x in both} == {x.tobytes() for x in pixels["zebras"]}


def test_what_can_not_be_two_domains(tmp_path):
    with pytest.raises(ValueError, match="Pass data_dir"):
        load("unpaired")
    with pytest.raises(FileNotFoundError, match="no folder or archive .*absent"):
        load("unpaired", tmp_path / "absent")
    write(tmp_path / "three", {"a": 1, "b": 1, "c": 1})
    with pytest.raises(ValueError, match=r"the folders .*, got \['a', 'b', 'c'\]"):
        load("unpaired", tmp_path / "three")
    (tmp_path / "no.zip").write_bytes(b"zip")
    with pytest.raises(ValueError, match=r"no.zip must be a folder or a .zip archive"):
        load("unpaired", tmp_path / "no.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(FileNotFoundError, match="empty.zip holds no picture"):
        load("unpaired", tmp_path / "empty.zip")


# === Batches ===


def test_batches_are_of_both_and_a_function_of_the_update():
    a, b = random_pixels(10, 4, 4, 3), random_pixels(6, 4, 4, 1)
    batches = UnpairedBatches(a, b, 2, seed=3)
    assert batches.steps_per_epoch == 5
    from_three = batches.batches(3)
    for update in (3, 4, 5):
        for x, y in zip(batches.batch(update), next(from_three), strict=True):
            np.testing.assert_array_equal(x, y)
    seen = np.concatenate([batches.batch(i)[0] for i in range(5)])
    assert {x.tobytes() for x in seen} == {x.tobytes() for x in a / np.float32(255)}
    # Domains of the same size are in different orders.
    twins = UnpairedBatches(a, a, 10, seed=3).batch(0)
    assert (twins[0] != twins[1]).any()


def test_crops_and_flips():
    images = random_pixels(8, 6, 5, 2)
    batches = ImageBatches(images, 8, crop=4, flip=True, seed=1)
    wanted = {}
    for index, image in enumerate(images / np.float32(255)):
        for top in range(3):
            for left in range(2):
                part = image[top : top + 4, left : left + 4]
                wanted[part.tobytes()] = (index, top, left, False)
                wanted[part[:, ::-1].tobytes()] = (index, top, left, True)
    drawn = [wanted[x.tobytes()] for i in range(200) for x in batches.batch(i)[0]]
    assert len(set(drawn)) == 8 * 3 * 2 * 2  # all of them
    np.testing.assert_array_equal(batches.batch(7)[0], batches.batch(7)[0])
    with pytest.raises(ValueError, match="crop must be from 1 to 5.*got 6"):
        ImageBatches(images, 8, crop=6)


# === Outlines ===


def test_outlines_are_the_brightest_neighbour_less_the_pixel():
    images = random_pixels(2, 7, 6, 1)
    for image, found in zip(images[..., 0], outlines(images)[..., 0], strict=True):
        expected = maximum_filter(image, 3) - image
        np.testing.assert_array_equal(found, expected)


def test_digits_and_outlines_of_others(tmp_path):
    data = load("digit_outlines", write_mnist(tmp_path))
    assert data.paired_test and data.domains == ("images", "outlines")  # no MNIST
    assert data.train_a.shape == (3, 16, 16, 1)
    np.testing.assert_array_equal(data.test_b, outlines(data.test_a))
    both = {x.tobytes() for x in outlines(data.train_a)}
    assert not both & {x.tobytes() for x in data.train_b}


def test_small_digits_need_no_download():
    data = load("small_digit_outlines")
    assert data.domains == ("digits", "outlines")
    assert data.train_a.shape == (750, 20, 20, 1)
    assert data.test_a.shape == data.test_b.shape == (297, 20, 20, 1)
    assert data.train_a[:, [0, -1]].max() == 0  # room for an outline
