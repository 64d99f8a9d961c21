"""Runs README.md's snippets in order, each with the names that earlier ones defined.

Everything is small: `fit` stops after one update, data sets are cut, and presets that
README's commands would have trained are made here.
"""

import contextlib
import dataclasses
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.formats.authors import cyclegan as convert_cyclegan
from zoo.training import Model

ROOT = Path(__file__).parents[1]
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def first(rows):
    return keras.tree.map_structure(lambda array: array[:4], rows)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Keeps the snippets small."""
    monkeypatch.chdir(tmp_path)
    fit, compiled, load = Model.fit, Model.compile, zoo.data.load

    def fit_one_update(self, x, y=None, **options):
        options |= {"epochs": 1, "verbose": 0}
        if "steps_per_epoch" in options:
            options["steps_per_epoch"] = 1
        elif y is None:
            x = first(x)
        return fit(self, x, y, **options)

    def load_few(name):
        if name == "docs":
            docs = load(name)
            train, validation = docs.train[:30_000], docs.validation[:900]
            return dataclasses.replace(docs, train=train, validation=validation)
        images = np.random.default_rng(0).integers(0, 256, (100, 28, 28, 1), "uint8")
        labels = np.arange(100) % 10
        return dataclasses.replace(
            load("digits"),
            train_images=images,
            train_labels=labels,
            test_images=images,
            test_labels=labels,
        )

    def compiled_to_nothing(self, *args, **options):
        compiled(self, *args, run_eagerly=True, **options)

    monkeypatch.setattr(Model, "fit", fit_one_update)
    monkeypatch.setattr(Model, "compile", compiled_to_nothing)
    monkeypatch.setattr(zoo.data, "load", load_few)
    monkeypatch.setattr(
        zoo.distribution, "use", lambda **mesh: contextlib.nullcontext(mesh)
    )
    bounds = zoo.evaluation.bidirectional_bounds
    monkeypatch.setattr(
        zoo.evaluation,
        "bidirectional_bounds",
        lambda *args, **options: bounds(
            *args, **(options | {"num_examples": 2, "num_temperatures": 2})
        ),
    )
    # It has tests of its own, with a file that needs torch.
    monkeypatch.setattr(convert_cyclegan, "load_translator", lambda path: path)


def make_presets():
    """Makes what README's commands would leave, or the network would bring."""
    words = zoo.Tokenizer.train_wordpiece(["the dog sleeps. A man."] * 9, 60)
    letters = zoo.Tokenizer.characters("Once upon a time.")
    pairs = zoo.data.train_joint_bpe([("A man rides a horse.", "Ein Mann.")] * 9, 300)
    sizes = zoo.TransformerConfig(
        pairs.vocab_size,
        32,
        1,
        1,
        8,
        8,
        pad_id=pairs.pad_id,
        begin_id=pairs.cls_id,
        end_id=pairs.sep_id,
    )
    for name, model, tokenizer in (
        ("mine", zoo.GPT(zoo.GPTConfig(letters.vocab_size, 128, 1, 1, 8)), letters),
        ("elmo", zoo.ELMo(zoo.ELMoConfig(words.vocab_size, 1, 8)), words),
        ("translation", zoo.Transformer(sizes), pairs),
    ):
        model.tokenizer = tokenizer
        model.save_to_preset(f"runs/{name}/preset")
    gan = zoo.CycleGAN(
        zoo.CycleGANConfig((32, 32), width=4, residual_blocks=1, discriminator_layers=1)
    )
    gan.save_to_preset("runs/cyclegan/preset")
    shutil.copytree(ROOT / "pretrained" / "bert_tiny.docs", "all-MiniLM-L6-v2")
    Image.new("RGB", (48, 40), "red").save("photo.jpg")


@pytest.mark.host
@pytest.mark.timeout(600)
def test_snippets(small, tmp_path):
    text = (ROOT / "README.md").read_text("utf-8")
    make_presets()
    names = {}
    snippets = list(SNIPPET.finditer(text))
    assert len(snippets) > 10
    for snippet in snippets:
        line = text[: snippet.start(1)].count("\n")
        code = compile("\n" * line + snippet[1], "README.md", "exec")
        exec(code, names)
