"""A family registers itself, ours and a user's: no list elsewhere has to name it."""

import ast
import dataclasses
import importlib
import json
import math
import pkgutil
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from zoo import catalog
from zoo.cli import main
from zoo.presets.inference import BATCH, Array, Served
from zoo.presets.preset import FromPreset
from zoo.presets.registration import all_registrations, registration
from zoo.training import Model, Phase, WeightedMean

# === A toy family: each pixel has a mean ===


@dataclasses.dataclass(frozen=True)
class ToyPixelsConfig:
    """The size of the pictures."""

    image_shape: tuple[int, int, int] = (8, 8, 1)


def measured(model, request):
    """The mean of its pictures."""
    return {"val_mean": float(model.sample(1, seed=request.seed).mean())}


def served(model):
    """Pictures of latents, which are added to the means."""
    shape = (BATCH, *model.config.image_shape)
    return Served(
        model.means,
        lambda inputs: [model.means(inputs["noise"])],
        [Array("noise", shape, "normal")],
        ["images"],
    )


@zoo.register(
    presets={"toy_pixels_8": ToyPixelsConfig()}, measured=measured, served=served
)
@keras.saving.register_keras_serializable("toys")
class ToyPixels(FromPreset, Model):
    """Pictures (B, H, W, C) as independent pixels."""

    Config = ToyPixelsConfig

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.means = keras.Sequential(
            [
                keras.Input(config.image_shape),
                keras.layers.Flatten(),
                keras.layers.Dense(math.prod(config.image_shape), name="pixels"),
                keras.layers.Reshape(config.image_shape),
            ],
            name="means",
        )

    def phases(self):
        """Squared error."""
        return (Phase("fit", self.squares, trains=[self.means]),)

    def squares(self, batch):
        """Of zeros turned into pictures."""
        error = ops.square(batch - self.means(ops.zeros_like(batch)))
        return {"loss": WeightedMean.of(ops.mean(error, axis=(1, 2, 3)))}

    def call(self, images):
        """The means."""
        return self.means(ops.zeros_like(images))

    def sample(self, count, *, seed=None):
        """Pictures (count, H, W, C) in [0, 1]."""
        rng = np.random.default_rng(seed)
        noise = rng.normal(0, 0.1, (count, *self.config.image_shape))
        drawn = ops.convert_to_numpy(self.means(noise.astype("float32")))
        return np.clip(drawn, 0, 1)


# === Its tests ===


@pytest.fixture
def trained():
    model = ToyPixels(ToyPixelsConfig())
    model.compile(keras.optimizers.Adam(0.1))
    pictures = np.full((32, 8, 8, 1), 0.5, "float32")
    history = model.fit(pictures, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.02 < history[0]
    return model


def test_a_family_from_outside_is_a_family(trained, tmp_path, capsys):
    folder = str(tmp_path / "toy")
    trained.save_to_preset(folder)
    again = zoo.from_preset(folder)
    assert type(again) is ToyPixels
    x = np.zeros((2, 8, 8, 1), "float32")
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), trained.predict(x, verbose=0)
    )
    main(["sample", folder, "--count", "4", "--out", str(tmp_path / "toy.png")])
    assert (tmp_path / "toy.png").stat().st_size > 100
    out = tmp_path / "figures"
    main(["evaluate", folder, "--dataset", "none", "--out", str(out)])
    figures = json.loads((out / "summary.json").read_text())
    assert figures["val_mean"] == pytest.approx(0.5, abs=0.1)
    main(["info", folder])
    assert "ToyPixels" in capsys.readouterr().out
    assert "toy_pixels_8" in zoo.list_presets()
    assert zoo.presets.count_parameters("toy_pixels_8") == 64 * 65
    fresh = zoo.from_preset("toy_pixels_8", load_weights=False)
    assert type(fresh) is ToyPixels


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX writes no ONNX")
def test_it_is_exported(trained, tmp_path):
    file = tmp_path / "toy.onnx"
    found = zoo.presets.export_inference(trained, file)
    assert [array.name for array in found.arrays] == ["noise"]
    assert file.is_file()


def test_a_subclass_registers_and_loads_again(tmp_path):
    @zoo.register
    class MyToyPixels(ToyPixels):
        """Inherits how it is measured."""

    folder = tmp_path / "mine"
    MyToyPixels(ToyPixelsConfig()).save_to_preset(folder)
    assert type(zoo.from_preset(folder)) is MyToyPixels
    found = registration("MyToyPixels")
    assert found.measured is measured and found.served is served and not found.presets
    del catalog.MODELS["MyToyPixels"]


def test_a_preset_of_a_class_that_nobody_registered(tmp_path):
    class Unknown(ToyPixels):
        """Its calls are in no file."""

    Unknown(ToyPixelsConfig()).save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="no architecture 'Unknown'.*zoo.register"):
        zoo.from_preset(tmp_path)
    assert type(Unknown.from_preset(tmp_path)) is Unknown


def test_layers_without_names_are_said_to_be_the_reason(tmp_path):
    class Numbered(ToyPixels):
        """Keras numbers its layer anew in each model."""

        def __init__(self, config, **kwargs):
            super().__init__(config, **kwargs)
            self.more = keras.layers.Dense(2)
            self.more.build((None, 1))

    Numbered(ToyPixelsConfig()).save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="Keras numbers.*give each layer a name"):
        Numbered.from_preset(tmp_path)


def test_names_are_given_once():
    class VAE(ToyPixels):
        """Not ours."""

    with pytest.raises(ValueError, match="a model 'VAE' already, in zoo.models"):
        zoo.register(VAE)


# === The table of names ===


OURS = [name for name, x in catalog.MODELS.items() if x.module.startswith("zoo.")]


@pytest.mark.parametrize("name", OURS)
def test_the_catalog_says_what_is_registered(name):
    entry = catalog.MODELS[name]
    module = importlib.import_module(entry.module)
    assert getattr(module, name).__module__ == entry.module
    if "preset" not in entry.forms:
        return
    found = registration(name)
    assert found.cls is getattr(zoo, name)
    assert tuple(found.presets) == entry.presets
    for offered in filter(None, (entry.config, *entry.helpers)):
        assert getattr(zoo, offered) is getattr(module, offered)
    for form in found.formats.values():
        writer = importlib.import_module(form)
        assert callable(writer.write) and callable(writer.their_names)


def test_every_registered_model_is_in_the_catalog():
    for module in pkgutil.walk_packages(
        importlib.import_module("zoo.models").__path__, "zoo.models."
    ):
        importlib.import_module(module.name)
    ours = {
        name
        for name, x in all_registrations().items()
        if x.cls.__module__[:4] == "zoo."
    }
    assert ours == {n for n in OURS if "preset" in catalog.MODELS[n].forms}


def test_type_checkers_know_the_names_that_zoo_offers():
    tree = ast.parse(Path(zoo.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {alias.name for node in block.body for alias in node.names}
    assert told == {*zoo.__all__} - {"__version__"}
