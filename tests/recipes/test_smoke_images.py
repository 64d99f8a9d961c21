"""A recipe's `--smoke` on many pictures reads few of them, and of all classes."""

import importlib

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.data.images import pictures
from zoo.training.runs.flags import replace


class Loaded(Exception):
    """The data are there; nothing is trained."""


RECIPES = {
    "autoencoder_mnist": "images",
    "classifier_mnist": "images",
    "cyclegan": "unpaired",
    "dcgan_mnist": "images",
    "flow_mnist": "images",
    "image_tokens_mnist": "images",
    "vae_mnist": "images",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """600 pictures in two folders; the shade says which."""
    folder = tmp_path_factory.mktemp("pictures")
    for label, name in enumerate("ab"):
        (folder / name).mkdir()
        pixels = np.full((4, 4, 3), 200 * label, np.uint8)
        Image.fromarray(pixels).save(folder / name / "000.png")
        for i in range(1, 300):
            (folder / name / f"{i:03}.png").hardlink_to(folder / name / "000.png")
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_smoke_reads_few(name, folder, tmp_path, monkeypatch):
    recipe = importlib.import_module(f"recipes.{name}")
    decoded, shown = [], []
    pixels = pictures._pixels

    def counted(picture, *args):
        decoded.append(picture)
        return pixels(picture, *args)

    def batches(*images, **options):
        shown.extend(x for x in images if isinstance(x, np.ndarray))
        raise Loaded

    monkeypatch.setattr(pictures, "_pixels", counted)
    monkeypatch.setattr(zoo.data, "ImageBatches", batches)
    monkeypatch.setattr(zoo.data, "UnpairedBatches", batches)
    config = replace(
        next(iter(recipe.VARIANTS.values())),
        dataset=RECIPES[name],
        data_dir=folder,
        out=tmp_path,
        smoke=True,
    )
    with pytest.raises(Loaded):
        recipe.main(config)
    # The first is decoded twice, for its size.
    assert len(decoded) <= 2 * max(config.batch_size, 100) + 4
    assert len(np.unique(np.concatenate(shown))) == 2


@pytest.mark.parametrize("name", ["classifier_mnist", "image_tokens_mnist"])
def test_pictures_without_classes_are_refused(name, folder, tmp_path):
    recipe = importlib.import_module(f"recipes.{name}")
    config = next(iter(recipe.VARIANTS.values()))
    about = {"dataset": "images", "data_dir": folder / "a", "out": tmp_path}
    with pytest.raises(ValueError, match="'images' have no classes"):
        recipe.main(replace(config, smoke=True, **about))
