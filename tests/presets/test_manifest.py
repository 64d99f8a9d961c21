"""Manifests of checkpoints: reading, verification, damage."""

import shutil

import numpy as np
import pytest

import zoo
from zoo import catalog
from zoo.presets.registry import architecture_of, configs
from zoo.presets.weights import arrays_of
from zoo.store import manifest
from zoo.store.manifest import MANIFEST, Manifest, checkpoints

pytestmark = pytest.mark.host


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(checkpoints()["classifier.mnist"], tmp_path / "copy")


@pytest.mark.parametrize("name", checkpoints())
def test_each_checkpoint_is_whole_and_described(name):
    folder = checkpoints()[name]
    found = Manifest.read(folder)
    found.verify()
    named = {file.name for file in found.files}
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in (".json", ".safetensors")
    }
    assert named == there
    assert found.parameters > 0 and "seed" in found.source
    evaluation = found.evaluation
    assert evaluation.command.startswith(f"zoo evaluate {name} --dataset ")
    assert evaluation.figures and set(evaluation.figures) == set(evaluation.tolerances)


def test_all_of_them_fit_into_a_repository():
    sizes = [
        file.bytes
        for each in checkpoints().values()
        for file in Manifest.read(each).files
    ]
    assert max(sizes) < 5e6 and sum(sizes) < 60e6


def test_names_are_those_of_the_configurations():
    found: dict[str, list[str]] = {}
    for name, config in configs().items():
        found.setdefault(architecture_of(config), []).append(name)
    assert {key: [*names] for key, names in catalog.presets().items()} == found


def test_a_flipped_bit_is_noticed(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.safetensors is not the file.*damaged"):
        zoo.ImageClassifier.from_preset(folder)


def test_a_cut_file_is_noticed(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="it must have 425,248 bytes, got 1,000"):
        zoo.ImageClassifier.from_preset(folder)


def test_a_missing_file_is_noticed(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="Get the checkpoint again"):
        zoo.ImageClassifier.from_preset(folder)


@pytest.mark.parametrize("text", ["= nothing", 'summary = "x"', "files = [1]"])
def test_a_damaged_manifest(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ValueError, match="manifest.toml is damaged"):
        Manifest.read(folder)


@pytest.mark.parametrize("read", [zoo.from_preset, zoo.ImageClassifier.from_preset])
def test_what_was_checked_is_used(read, folder, monkeypatch):
    """Another program rewrites the weights just after their hash was verified."""
    intact = arrays_of(zoo.ImageClassifier.from_preset(folder))
    compare = Manifest._compare

    def then_change(self, file, found):
        compare(self, file, found)
        if file.name == "model.safetensors":
            (folder / file.name).write_bytes(bytes(file.bytes))

    monkeypatch.setattr(Manifest, "_compare", then_change)
    loaded = arrays_of(read(folder))
    assert all(np.array_equal(loaded[name], x) for name, x in intact.items())


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_is_read_must_be_listed(name, folder):
    file = folder / MANIFEST
    head, *files = file.read_text().split("[[files]]")
    files = [part for part in files if f'"{name}"' not in part]
    file.write_text("[[files]]".join([head, *files]))
    with pytest.raises(ValueError, match=f"{name} would be read, but .* does not list"):
        zoo.from_preset(folder)


@pytest.mark.parametrize("read", [zoo.from_preset, zoo.Tokenizer.from_preset])
def test_a_tokenizer_is_checked_too(read, tmp_path):
    folder = shutil.copytree(checkpoints()["gpt.shakespeare_char"], tmp_path / "copy")
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"a"', '"\u00e4"'))
    with pytest.raises(ValueError, match="tokenizer.json is not the file"):
        read(folder)
    (folder / "tokenizer.json").write_text(text)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "z"}')
    with pytest.raises(ValueError, match="tokenizer_config.json would be read, but"):
        read(folder)


def test_parts_of_a_checkpoint_are_checked_by_its_manifest(tmp_path):
    folder = shutil.copytree(checkpoints()["vqvae.mnist"], tmp_path / "copy")
    path = folder / "gpt" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="gpt/model.safetensors is not the file"):
        zoo.from_preset(folder)


def test_hashes_anew(folder):
    text = (folder / MANIFEST).read_text()
    assert manifest.with_hashes(text, folder) == text
    (folder / "config.json").write_text("{}")
    (folder / MANIFEST).write_text(manifest.with_hashes(text, folder))
    Manifest.read(folder).verify()
