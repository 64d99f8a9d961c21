import numpy as np
import pytest
from PIL import Image

from zoo.evaluation.images.pictures import (
    attention_map,
    image_grid,
    loss_curves,
    scatter,
)

pytestmark = pytest.mark.host


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_a_grid_shows_its_images_in_rows(tmp_path):
    images = np.zeros((6, 28, 28, 3), "float32")
    images[1, ..., 0] = 1  # red, in the first row
    images[3, ..., 2] = 1  # blue, in the second
    path = tmp_path / "grid.png"
    image_grid(path, images, columns=3, title="colours", row_names=("a", "b"))
    shown = pixels(path)
    red = np.argwhere((shown == [255, 0, 0]).all(axis=-1))
    blue = np.argwhere((shown == [0, 0, 255]).all(axis=-1))
    # At least two pixels per side for each pixel of the image.
    assert len(red) > 2 * 2 * 28 * 28 * 0.9
    assert red.mean(axis=0)[0] < blue.mean(axis=0)[0]
    assert red.mean(axis=0)[1] > blue.mean(axis=0)[1]


def test_captions_stand_below_their_images(tmp_path):
    images = np.zeros((4, 28, 28, 1), "float32")
    captions = ("3", "the digit one", "x" * 200, "")
    for name, said in (("plain", ()), ("said", captions)):
        path = tmp_path / f"{name}.png"
        image_grid(path, images, columns=2, title="", captions=said)
    plain, said = (pixels(tmp_path / f"{name}.png") for name in ("plain", "said"))
    assert said.shape[0] > plain.shape[0] and said.shape[1] == plain.shape[1]
    # At least two pixels per side for each pixel of the images, with nothing on them.
    assert (said == 0).all(axis=-1).sum() >= 4 * 56 * 56


def test_a_grid_needs_whole_rows_of_grey_or_rgb(tmp_path):
    with pytest.raises(ValueError, match=r"columns=4 .*\(6, 2, 2, 1\)"):
        image_grid(tmp_path / "a.png", np.zeros((6, 2, 2, 1)), columns=4, title="")
    with pytest.raises(ValueError, match=r"\(6, 2, 2, 2\)"):
        image_grid(tmp_path / "a.png", np.zeros((6, 2, 2, 2)), columns=3, title="")
    assert not list(tmp_path.iterdir())


def test_scatter_and_curves_are_drawn(tmp_path):
    points = np.random.default_rng(0).normal(size=(30, 2))
    scatter(
        tmp_path / "scatter.png",
        points,
        np.arange(30) % 3,
        ("zero", "one", "two"),
        title="points",
        axis_names=("x", "y"),
    )
    loss_curves(
        tmp_path / "loss.png", [1, 2, 3], {"a": [3, None, 1], "b": [None] * 3}, title=""
    )
    for name in ("scatter", "loss"):
        shown = pixels(tmp_path / f"{name}.png")
        assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 10


def test_an_attention_map_is_dark_where_something_is_seen(tmp_path):
    path = tmp_path / "map.png"
    shares = np.zeros((3, 4))
    shares[2, 3] = 1
    attention_map(path, shares, "abc", "defg", title="x")
    grey = pixels(path).mean(axis=-1)
    marked = tmp_path / "empty.png"
    attention_map(marked, 0 * shares, "abc", "defg", title="x")
    changed = np.argwhere(np.abs(grey - pixels(marked).mean(axis=-1)) > 200)
    height, width = grey.shape
    assert len(changed) > 400
    # Right of and below the middle of the map, which is left of its colour bar.
    assert changed[:, 0].min() > 0.5 * height
    assert 0.4 * width < changed[:, 1].min()
