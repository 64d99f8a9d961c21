import numpy as np
import pytest

from zoo.generation.tiles import by_tiles


@pytest.mark.parametrize("size", [(16, 40), (41, 23), (64, 64)])
@pytest.mark.parametrize("overlap", [0, 5, 15])
def test_what_works_pixel_by_pixel_is_the_same_in_tiles(size, overlap):
    images = np.random.default_rng(0).uniform(size=(2, *size, 3)).astype("float32")
    seen = []

    def darker(part):
        seen.append(part.shape[1:3])
        return part[..., :2] / 2

    found = by_tiles(darker, images, 16, overlap)
    np.testing.assert_allclose(found, images[..., :2] / 2, rtol=0, atol=1e-6)
    assert max(max(shape) for shape in seen) <= 16


def test_tiles_fade_into_each_other():
    # Each tile gives its number.
    numbers = iter(range(10))
    found = by_tiles(
        lambda part: np.full_like(part, next(numbers)), np.zeros((1, 16, 28, 1)), 16, 4
    )[0, 0, :, 0]
    assert found[:12].tolist() == [0] * 12
    assert found[16:].tolist() == [1] * 12
    np.testing.assert_allclose(found[12:16], [0.2, 0.4, 0.6, 0.8], atol=1e-6)


def test_tiles_must_move_on():
    with pytest.raises(ValueError, match="overlap must be from 0 to 15.*got 16"):
        by_tiles(lambda part: part, np.zeros((1, 20, 20, 1)), 16, 16)
