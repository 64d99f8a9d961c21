"""A process that has imported Keras and zoo, but none of our classes, reads files."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from tests.training.toys import with_weights
from zoo import layers, saved
from zoo.layers.initializers import Normal
from zoo.presets.registry import RENAMED
from zoo.training import WarmupCosine

ROOT = Path(__file__).parents[1]
ENGINES = [f"zoo.engine.{backend}." for backend in ("jax", "tensorflow", "torch")]
# Continues a run from the model that it saved halfway.
CHILD = """
{imports}
import sys
import numpy as np
ours = ("zoo.models", "zoo.layers", "zoo.training")
assert not [name for name in sys.modules if name.startswith(ours)]
for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    batch = dict(np.load(path + ".npz"))
    given = [batch] if "real" in batch else batch.values()
    model.fit(*given, batch_size=4, epochs=2, shuffle=False, verbose=0)
    np.savez(path + ".after.npz", *model.get_weights())
    if getattr(model, "tokenizer", None) is not None:
        text = model.generate("ab", 6, seed=1)
        open(path + ".txt", "w").write(text)
"""


def functional():
    """Returns a user's functional model built from our layers, with our schedule."""
    given = keras.Input((6,), dtype="int32")
    x = layers.TokenEmbedding(11, 8, Normal(1.0))(given)
    x = layers.TransformerBlock(2, 8, 12, activation="gelu_tanh", dropout=0.0)(x)
    x, _ = layers.GRU(4)(x)
    x = layers.SpectralNorm(layers.Dense(4, use_bias=False))(x)
    model = keras.Model(given, layers.Dense(11)(layers.LayerNorm()(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = WarmupCosine(0.1, 10, 3)
    model.compile(keras.optimizers.AdamW(rate), loss)
    ids = np.random.default_rng(0).integers(11, size=(8, 6))
    return model, (ids, ids)


def gpt():
    """Returns a model with one optimizer and a tokenizer."""
    tokenizer = zoo.Tokenizer.characters("abcd")
    config = zoo.GPTConfig(tokenizer.vocab_size, 8, 1, 2, 8)
    model = with_weights(zoo.GPT(config), stddev=0.5)
    model.tokenizer = tokenizer
    optimizer = keras.optimizers.AdamW(WarmupCosine(0.1, 10, 3), use_ema=True)
    model.compile(optimizer, accumulate=2)
    vocabulary = tokenizer.vocab_size
    return model, (np.random.default_rng(0).integers(vocabulary, size=(8, 9)),)


def classifier():
    """Returns a model with one learning rate per layer."""
    config = zoo.BertClassifierConfig(11, 6, 2, 2, 8, dropout=0.0, num_classes=3)
    model = with_weights(zoo.BertClassifier(config), stddev=0.5)
    model.compile(keras.optimizers.Adam(0.01), layer_decay=0.5)
    rng = np.random.default_rng(0)
    return model, (rng.integers(11, size=(8, 6)), rng.integers(3, size=8))


def dcgan():
    """Returns a model with two optimizers."""
    config = zoo.DCGANConfig(image_shape=(8, 8, 1), latent_dim=4, width=4)
    model = with_weights(zoo.DCGAN(config), stddev=0.1)
    model.compile(
        {"discriminator": keras.optimizers.Adam(0.01), "generator": "rmsprop"}
    )
    # The batch brings its noise: Keras files do not keep a seed generator's state.
    rng = np.random.default_rng(0)
    return model, {"real": rng.random((8, 8, 8, 1)), "noise": rng.random((8, 1, 4))}


@pytest.mark.parametrize(
    ("imports", "makes"),
    [
        ("import keras, zoo", (functional, gpt, classifier, dcgan)),
        ("import zoo, keras", (functional,)),
    ],
)
def test_a_fresh_process_goes_on_where_this_one_was(imports, makes, tmp_path):
    expected = {}
    for make in makes:
        model, batch = make()
        path = tmp_path / f"{make.__name__}.keras"
        fit = {"batch_size": 4, "shuffle": False, "verbose": 0}
        named = isinstance(batch, dict)
        given = [batch] if named else batch
        model.fit(*given, **fit)
        model.save(path)
        np.savez(f"{path}.npz", **batch) if named else np.savez(f"{path}.npz", *batch)
        model.fit(*given, epochs=2, **fit)
        expected[path] = model
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(imports=imports), *map(str, expected)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for path, model in expected.items():
        after = np.load(f"{path}.after.npz")
        for ours, theirs in zip(model.get_weights(), after.values(), strict=True):
            assert np.abs(ours.astype("float64") - theirs).max() < 1e-6, path.name
        if getattr(model, "tokenizer", None) is not None:
            text = Path(f"{path}.txt").read_text()
            assert text == model.generate("ab", 6, seed=1)


@pytest.mark.host
def test_every_registered_class_is_found_where_it_is():
    for module in pkgutil.walk_packages(zoo.__path__, "zoo."):
        # These import a backend, which need not be installed.
        if not module.name.startswith(("zoo.distribution.", *ENGINES)):
            importlib.import_module(module.name)
    registered = keras.saving.get_custom_objects()
    found = {
        (cls.__module__, name)
        for name, cls in registered.items()
        if name.startswith("zoo>")
    }
    expected = [
        (home, f"zoo>{x}") for home, names in saved.HOMES.items() for x in names
    ]
    assert sorted(found) == sorted(expected)
    for _, name in found:
        old = name.removeprefix("zoo>")
        written = f"zoo>{RENAMED.get(old, old)}"
        assert keras.saving.get_registered_name(registered[name]) == written


@pytest.mark.host
def test_a_stand_in_is_what_it_stands_for():
    stand_in = saved.StandIn("zoo.training.optimizers.schedules", "zoo>WarmupCosine")
    rate = stand_in(peak=1.0, total_steps=4)
    assert type(rate) is WarmupCosine
    assert type(stand_in.from_config(rate.get_config())) is WarmupCosine
    assert float(ops.convert_to_numpy(rate(0))) == 1.0
