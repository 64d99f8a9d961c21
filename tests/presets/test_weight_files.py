"""Weights as found in practice: sharded, pickled, under other names, and changed."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import zoo
from zoo.presets import weights
from zoo.presets.weights import arrays_of

CONFIG = zoo.GPTConfig(17, 12, 1, 2, 8)


@pytest.fixture
def model():
    return zoo.GPT(CONFIG)


@pytest.fixture
def folder(model, tmp_path):
    """Writes a folder in Hugging Face's form."""
    zoo.presets.export_gpt2(model, tmp_path / "gpt")
    return tmp_path / "gpt"


def same(a, b):
    a, b = arrays_of(a), arrays_of(b)
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def in_parts(folder, form, prefix=""):
    """Splits the weights into two files and an index, as save_pretrained does."""
    arrays = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem, end = form.split(".")
    places = {}
    for index, names in enumerate(np.array_split(sorted(arrays), 2), start=1):
        part = {prefix + name: arrays[name] for name in names}
        file = folder / f"{stem}-{index:05d}-of-00002.{end}"
        if end == "bin":
            torch.save({k: torch.tensor(x) for k, x in part.items()}, file)
        else:
            save_file(part, file, {"format": "pt"})
        places |= dict.fromkeys(part, file.name)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / f"{form}.index.json").write_text(json.dumps(index))
    return folder / f"{form}.index.json", places


FORMS = ("model.safetensors", "pytorch_model.bin")


@pytest.mark.parametrize("form", FORMS)
def test_weights_in_parts(form, model, folder):
    in_parts(folder, form)
    assert same(zoo.from_preset(folder), model)


@pytest.mark.parametrize("form", FORMS)
def test_parts_do_not_fit_their_index(form, folder):
    index, places = in_parts(folder, form)
    name, file = next(iter(places.items()))
    for changed, message in (
        (places | {name: "../model.bin"}, "index.json is damaged: .*'../model.bin'"),
        (places | {name: None}, "index.json is damaged"),
        (places | {"more": file}, "Missing: more"),
        ({k: x for k, x in places.items() if k != name}, f"Unexpected: {name}"),
    ):
        index.write_text(json.dumps({"weight_map": changed}))
        with pytest.raises(ValueError, match=message):
            zoo.from_preset(folder)
    index.write_text(json.dumps({"weight_map": places}))
    (folder / file).unlink()
    with pytest.raises(FileNotFoundError, match=file):
        zoo.from_preset(folder)


def test_one_pickle(model, folder):
    arrays = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(
        {name: torch.tensor(x) for name, x in arrays.items()},
        folder / "pytorch_model.bin",
    )
    assert same(zoo.from_preset(folder), model)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin", "parts"])
def test_names_that_wrappers_made(prefix, form, model, folder):
    arrays = load_file(folder / "model.safetensors")
    renamed = {prefix + name: x for name, x in arrays.items()}
    if form == "parts":
        in_parts(folder, "model.safetensors", prefix)
    elif form == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
        state = {name: torch.tensor(x) for name, x in renamed.items()}
        torch.save(state, folder / form)
    else:
        save_file(renamed, folder / form)
    assert same(zoo.from_preset(folder), model)


def test_a_part_that_was_compiled(model, folder):
    arrays = load_file(folder / "model.safetensors")
    renamed = {
        name.replace("transformer.h.0.", "transformer.h.0._orig_mod."): x
        for name, x in arrays.items()
    }
    save_file(renamed, folder / "model.safetensors")
    assert same(zoo.from_preset(folder), model)


def test_two_weights_of_one_name(folder):
    arrays = load_file(folder / "model.safetensors")
    (name, x), *_ = arrays.items()
    save_file(arrays | {f"_orig_mod.{name}": x}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="model.safetensors has weights of one name"):
        zoo.from_preset(folder)


def test_only_all_names_have_a_wrapper():
    names = ["module.a", "module.b", "other"]
    stored = weights.LazyArrays(dict.fromkeys(names), dict.fromkeys(names))
    assert list(weights.unwrapped(stored, "w")) == names


# === Changed under a loaded model ===


@pytest.mark.parametrize("change", ["rewritten", "cut", "removed"])
def test_a_model_keeps_its_weights(change, model, tmp_path):
    model.save_to_preset(tmp_path)
    file = tmp_path / "model.safetensors"
    loaded = zoo.from_preset(tmp_path)
    if change == "rewritten":
        with open(file, "r+b") as opened:
            opened.seek(file.stat().st_size // 2)
            opened.write(bytes(file.stat().st_size // 2))
    elif change == "cut":
        os.truncate(file, 100)
    else:
        file.unlink()
    assert same(loaded, model)
    loaded.predict(np.zeros((1, 4), "int32"), verbose=0)


def test_arrays_that_wait_are_of_the_file_that_was_opened(model, folder):
    """If another file takes its name, the old one is read; truncation is an error."""
    other = shutil.copy(folder / "model.safetensors", folder / "other")
    expected = load_file(other)
    found = weights.read(folder)
    name, *_ = found
    os.replace(other, folder / "model.safetensors")
    np.testing.assert_array_equal(found[name], expected[name])
    found = weights.read(folder)
    os.truncate(folder / "model.safetensors", 100)
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        found[name]


def test_no_more_than_one_array_is_read_at_once(tmp_path):
    import tracemalloc

    arrays = {f"a{i}": np.ones(250_000, "float32") for i in range(8)}
    save_file(arrays, tmp_path / "model.safetensors")
    tracemalloc.start()
    total = sum(x.sum() for x in weights.read(tmp_path).values())
    assert total == 2_000_000
    assert tracemalloc.get_traced_memory()[1] < 2.5e6
    tracemalloc.stop()
