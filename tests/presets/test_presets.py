"""Presets by name and by folder: saving, loading, and mismatches."""

import dataclasses
import json
import pickle

import keras
import numpy as np
import pytest

import zoo
from zoo import GPT, GPTConfig, Tokenizer, catalog
from zoo.files import atomic as atomic_files
from zoo.presets import count_parameters, weights
from zoo.store import manifest

CONFIG = GPTConfig(12, 8, 1, 2, 8, dropout=0.1, tie_embeddings=False)


@pytest.fixture
def model():
    return GPT(CONFIG)


@pytest.fixture
def folder(model, tmp_path):
    model.save_to_preset(tmp_path / "gpt")
    return tmp_path / "gpt"


def same(a, b) -> bool:
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def edit(folder, change) -> None:
    from safetensors.numpy import load_file, save_file

    arrays = load_file(folder / "model.safetensors")
    change(arrays)
    save_file(arrays, folder / "model.safetensors")


# === Names ===


def test_names():
    assert {"gpt1", "gpt2", "gpt2_xl", "gpt3_175b"} <= set(zoo.list_presets())
    assert len(set(zoo.list_presets())) == len(zoo.list_presets())


def test_a_configuration_without_weights(monkeypatch):
    monkeypatch.setitem(zoo.models.language.gpt.PRESETS, "gpt_small", CONFIG)
    entry = catalog.MODELS["GPT"]
    entry = dataclasses.replace(entry, presets=(*entry.presets, "gpt_small"))
    monkeypatch.setitem(catalog.MODELS, "GPT", entry)
    made = GPT.from_preset("gpt_small", load_weights=False, name="mine", dropout=0.5)
    assert made.config == GPTConfig(12, 8, 1, 2, 8, dropout=0.5, tie_embeddings=False)
    assert made.name == "mine"
    assert made.tokenizer is None
    half = GPT.from_preset("gpt_small", load_weights=False, dtype="mixed_bfloat16")
    assert half.dtype_policy.name == "mixed_bfloat16"


def test_weights_that_there_are_none_of():
    with pytest.raises(ValueError) as error:
        GPT.from_preset("gpt2")
    message = str(error.value)
    assert "GPT.from_preset('gpt2', load_weights=False)" in message
    assert "Checkpoints, which have weights: bert_tiny.docs" in message
    assert "Hugging Face folder" in message


def test_unknown_names_get_a_suggestion(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'gpt2_medium'.*Presets: gpt1, "):
        GPT.from_preset("gpt2-medium")
    with pytest.raises(ValueError, match="neither a preset nor a folder '/no/where'"):
        GPT.from_preset("/no/where")
    with pytest.raises(FileNotFoundError, match="holds no config.json"):
        GPT.from_preset(tmp_path)


def test_fields_that_a_configuration_has_not():
    with pytest.raises(TypeError, match=r"no arguments \['depth'\].*num_layers"):
        GPT.from_preset("gpt2", load_weights=False, depth=3)


def test_checkpoints_are_found_by_name(folder, model, monkeypatch):
    monkeypatch.setattr(manifest, "PRETRAINED", (folder.parent / "x", folder.parent))
    folder.rename(folder.parent / "gpt.tiny_text")
    assert zoo.list_presets()[-1] == "gpt.tiny_text"
    assert same(GPT.from_preset("gpt.tiny_text"), model)
    assert count_parameters("gpt.tiny_text") == model.count_params()
    with pytest.raises(ValueError, match="have weights: gpt.tiny_text. A Hugging"):
        GPT.from_preset("gpt2")


def test_counting():
    assert count_parameters(CONFIG) == GPT(CONFIG).count_params()
    with pytest.raises(TypeError, match="a model's configuration, got"):
        count_parameters(zoo.presets.registry.Preset("GPT", {}))


# === Our folders ===


def test_there_and_back(folder, model):
    loaded = GPT.from_preset(folder)
    assert loaded.config == CONFIG
    assert loaded.tokenizer is None
    assert same(loaded, model)
    assert same(GPT.from_preset(str(folder)), model)
    assert not same(GPT.from_preset(folder, load_weights=False), model)
    assert count_parameters(folder) == model.count_params()
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_what_the_files_hold(folder, model):
    from safetensors.numpy import load_file

    assert json.loads((folder / "config.json").read_text()) == {
        "architecture": "GPT",
        "config": model.get_config()["config"],
        "dtype": "float32",
        "zoo_version": zoo.__version__,
    }
    arrays = load_file(folder / "model.safetensors")
    assert arrays["block_0/attention/query_key_value/kernel"].shape == (8, 24)
    assert {
        "token_embedding/embeddings",
        "positions/embeddings",
        "block_0/feed_forward/contract/bias",
        "final_norm/gamma",
        "head/kernel",
    } < set(arrays)
    assert len(arrays) == len(model.weights)


def test_a_name_of_one_s_own_changes_no_names(folder, tmp_path):
    named = GPT.from_preset(folder, name="another")
    named.save_to_preset(tmp_path / "named")
    files = [path / "model.safetensors" for path in (folder, tmp_path / "named")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_precision_is_kept_and_may_be_changed(model, tmp_path):
    half = GPT(CONFIG, dtype="mixed_float16")
    half.set_weights(model.get_weights())
    half.save_to_preset(tmp_path)
    assert GPT.from_preset(tmp_path).dtype_policy.name == "mixed_float16"
    full = GPT.from_preset(tmp_path, dtype="float32")
    assert full.dtype_policy.name == "float32"
    assert same(full, model)
    narrow = GPT.from_preset(tmp_path, dtype="bfloat16")
    narrow.save_to_preset(tmp_path)
    again = GPT.from_preset(tmp_path)
    assert again.dtype_policy.name == "bfloat16"
    assert same(again, narrow)


def test_a_trained_model_is_saved_as_it_is(folder, tmp_path):
    model = GPT.from_preset(folder)
    model.compile("sgd")
    model.fit(np.arange(9, dtype="int32")[None], verbose=0)
    model.save_to_preset(tmp_path / "trained")
    assert same(GPT.from_preset(tmp_path / "trained"), model)


def test_a_file_and_its_models_do_not_share_changes(folder):
    """This holds even if weights were to share the file's pages until they change."""
    before = (folder / "model.safetensors").read_bytes()
    first, second = GPT.from_preset(folder), GPT.from_preset(folder)
    kept = second.get_weights()
    first.compile(keras.optimizers.SGD(1.0))
    first.fit(np.arange(18).reshape(2, 9) % 12, verbose=0)
    changed = first.get_weights()
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(changed, kept, strict=True))
    assert (folder / "model.safetensors").read_bytes() == before
    first.save_to_preset(folder)  # over the file from which both were read
    for model, expected in ((first, changed), (second, kept)):
        for a, b in zip(model.get_weights(), expected, strict=True):
            assert np.array_equal(a, b)


def test_tokenizers_go_along(model, folder):
    model.tokenizer = Tokenizer.characters("hello world.")
    model.save_to_preset(folder)
    loaded = GPT.from_preset(folder)
    assert loaded.tokenizer == model.tokenizer == Tokenizer.from_preset(folder)
    model.tokenizer = None
    model.save_to_preset(folder)
    assert GPT.from_preset(folder).tokenizer is None


@dataclasses.dataclass(frozen=True)
class OwnConfig(GPTConfig):
    """A configuration with a field that ours lacks."""

    own: int = 3


class Own(GPT):
    """A user's class that is not registered."""

    Config = OwnConfig


class OwnOfOwn(Own):
    """A class derived from the user's class."""


class OwnClassifier(zoo.BertClassifier):
    """A user's class derived from one of a family."""


def test_subclasses(tmp_path, folder, model):
    class Mine(GPT):
        pass

    assert same(Mine.from_preset(folder), model)
    mine = Mine(CONFIG)
    mine.save_to_preset(tmp_path / "mine")
    assert same(Mine.from_preset(tmp_path / "mine"), mine)
    for load in (GPT.from_preset, zoo.from_preset):
        with pytest.raises(
            ValueError, match="no architecture 'Mine' in zoo.*a subclass of GPT.*whose"
        ):
            load(tmp_path / "mine")
    assert same(GPT.from_preset(tmp_path / "mine", strict=False), mine)
    assert count_parameters(tmp_path / "mine") == mine.count_params()


def test_subclasses_with_fields_and_names_of_their_own(tmp_path, folder, model):
    own = Own(OwnConfig(12, 8, 1, 2, 8, own=5))
    own.tokenizer = Tokenizer.characters("abc")
    own.save_to_preset(tmp_path / "own")
    for cls in (Own, OwnOfOwn):
        loaded = cls.from_preset(tmp_path / "own")
        assert same(loaded, own) and loaded.config.own == 5
        assert loaded.tokenizer == own.tokenizer
    OwnOfOwn(own.config).save_to_preset(tmp_path / "own_of_own")
    assert OwnOfOwn.from_preset(tmp_path / "own_of_own").config == own.config
    with pytest.raises(ValueError, match="no architecture 'OwnOfOwn'"):
        Own.from_preset(tmp_path / "own_of_own")
    # From its parent's preset it takes everything there is.
    from_parent = Own.from_preset(folder, own=7)
    assert same(from_parent, model) and from_parent.config.own == 7

    class GPTOfTheirs(GPT):
        pass

    GPTOfTheirs.__name__ = "GPT"
    GPTOfTheirs(CONFIG).save_to_preset(tmp_path / "gpt")
    assert type(GPTOfTheirs.from_preset(tmp_path / "gpt")) is GPTOfTheirs
    with pytest.raises(ValueError, match="saved by a subclass of GPT"):
        zoo.from_preset(tmp_path / "gpt")


def test_subclasses_of_a_family(tmp_path):
    config = zoo.BertClassifierConfig(12, 8, 1, 2, 8, num_classes=3)
    own = OwnClassifier(config)
    own.save_to_preset(tmp_path / "own")
    assert same(OwnClassifier.from_preset(tmp_path / "own"), own)
    tagger = zoo.BertTagger.from_preset(tmp_path / "own")
    assert tagger.new_weights == ("tagger/bias", "tagger/kernel")
    zoo.BertTagger(zoo.BertTaggerConfig(12, 8, 1, 2, 8)).save_to_preset(tmp_path / "t")
    assert "classifier/kernel" in OwnClassifier.from_preset(tmp_path / "t").new_weights


def test_presets_of_subclasses_that_earlier_versions_wrote(tmp_path):
    own = Own(OwnConfig(12, 8, 1, 2, 8))
    own.save_to_preset(tmp_path)
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    assert saved.pop("subclass_of") == "GPT"
    file.write_text(json.dumps(saved))
    assert same(Own.from_preset(tmp_path), own)
    with pytest.raises(ValueError, match="no architecture 'Own'"):
        zoo.from_preset(tmp_path)


# === Names of classes ===

NAMED = {
    zoo.BertClassifier: zoo.BertClassifierConfig(12, 8, 1, 2, 8, num_classes=3),
    zoo.BertTagger: zoo.BertTaggerConfig(12, 8, 1, 2, 8, num_classes=3),
    zoo.ELMoClassifier: zoo.ELMoClassifierConfig(12, 1, 4, num_classes=3),
    zoo.SelfAttentionClassifier: zoo.SelfAttentionClassifierConfig(12, 8, 3, 8),
    zoo.ImageClassifier: zoo.ImageClassifierConfig((8, 8, 1), 3, (2,), 4),
}
NAMES = ("cat", "dog", "été")


@pytest.mark.parametrize("cls", NAMED, ids=lambda cls: cls.__name__)
def test_names_of_classes_are_kept(cls, tmp_path):
    named = cls(dataclasses.replace(NAMED[cls], class_names=NAMES))
    named.save_to_preset(tmp_path)
    loaded = cls.from_preset(tmp_path)
    assert loaded.class_names == loaded.config.class_names == NAMES
    assert zoo.from_preset(tmp_path).class_names == NAMES
    loaded.class_names = ["a", "b", "c"]
    loaded.save_to_preset(tmp_path)
    assert cls.from_preset(tmp_path).class_names == ("a", "b", "c")
    with pytest.raises(ValueError, match="num_classes=3 classes.*got 2: a, b"):
        loaded.class_names = ["a", "b"]
    unnamed = cls(NAMED[cls])
    assert unnamed.class_names == ()
    assert cls.from_config(loaded.get_config()).class_names == ("a", "b", "c")


def test_other_classes_have_other_names(tmp_path):
    config = dataclasses.replace(NAMED[zoo.BertClassifier], class_names=NAMES)
    zoo.BertClassifier(config).save_to_preset(tmp_path)
    other = zoo.BertClassifier.from_preset(
        tmp_path, num_classes=2, ignore_mismatched=True
    )
    assert other.class_names == ()
    tagger = zoo.BertTagger.from_preset(tmp_path)
    assert (tagger.config.num_classes, tagger.class_names) == (3, ())
    named = zoo.BertTagger.from_preset(tmp_path, num_classes=2, class_names=("a", "b"))
    assert named.class_names == ("a", "b")


# === Another number of classes ===


@pytest.mark.parametrize("cls", NAMED, ids=lambda cls: cls.__name__)
def test_another_number_of_classes(cls, tmp_path, caplog):
    old = cls(NAMED[cls])
    old.save_to_preset(tmp_path)
    for options in ({}, {"strict": False}):
        with pytest.raises(
            ValueError, match=r"3\) in the file and .*5\) in.*ignore_mismatched=True"
        ):
            cls.from_preset(tmp_path, num_classes=5, **options)
        new = cls.from_preset(
            tmp_path, num_classes=5, ignore_mismatched=True, **options
        )
        head = "tagger" if cls is zoo.BertTagger else "classifier"
        head = "head" if cls is zoo.ImageClassifier else head
        assert new.new_weights == (f"{head}/bias", f"{head}/kernel")
        assert f"no weights for {head}/bias, {head}/kernel of" in caplog.text
        taken, given = weights.arrays_of(new), weights.arrays_of(old)
        for name in set(given) - set(new.new_weights):
            assert np.array_equal(taken[name], given[name])
        kernel = taken[f"{head}/kernel"]
        assert kernel.shape[-1] == 5 and 0 < np.abs(kernel).max() < 2


@pytest.mark.parametrize("write", ["zoo", "huggingface", "keras_hub"])
def test_a_save_that_is_killed_leaves_one_of_the_two(tmp_path, monkeypatch, write):
    """The kills are those of `tests/data/test_atomic_files.py`, around the commit."""
    words = {"old": "abcdefghi", "new": "mnopqrstu"}
    models = {}
    for version, text in words.items():
        config = GPTConfig(10, 8, 1, 2, 8)
        models[version] = GPT(config)
        if write != "keras_hub":  # which has no character tokenizer
            models[version].tokenizer = Tokenizer.characters(text)
    save = {
        "zoo": GPT.save_to_preset,
        "huggingface": zoo.presets.export_gpt2,
        "keras_hub": zoo.presets.export_keras_hub,
    }[write]
    save(models["old"], tmp_path)

    def die(folder):
        if folder.name.endswith(".tmp") or (folder / ".committed").exists():
            raise KeyboardInterrupt

    for step, expected in (("_settle", "old"), ("_complete", "new")):
        with monkeypatch.context() as patch:
            patch.setattr(atomic_files, step, die)
            with pytest.raises(KeyboardInterrupt):
                save(models["new"], tmp_path)
        loaded = zoo.from_preset(tmp_path)
        assert same(loaded, models[expected])
        assert loaded.tokenizer == models[expected].tokenizer
        assert not [*tmp_path.glob(".*")]


def test_a_manifest_speaks_of_one_checkpoint(folder, model):
    """A preset saved over a checkpoint's copy is not checked against its manifest."""
    (folder / "manifest.toml").write_text("files = []")
    model.save_to_preset(folder)
    assert not (folder / "manifest.toml").exists()


def test_a_save_that_fails_leaves_the_old_files(folder, model, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(OSError, match="No space"):
        GPT(CONFIG).save_to_preset(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# === What does not fit ===


def test_missing_and_unexpected_weights_are_named(folder):
    def change(arrays):
        del arrays["final_norm/beta"]
        arrays["block_7/attention/output/bias"] = np.zeros(8, "float32")

    edit(folder, change)
    with pytest.raises(
        ValueError,
        match="Missing: final_norm/beta. Unexpected: block_7/attention/output/bias.",
    ):
        GPT.from_preset(folder)


def test_shapes_are_named(folder):
    with pytest.raises(
        ValueError, match=r"positions/embeddings is \(8, 8\) in the file and \(9, 8\)"
    ):
        GPT.from_preset(folder, context_length=9)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_cut_off_weights(folder, size):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        GPT.from_preset(folder)


def test_pickles_are_not_read(folder):
    file = folder / "model.safetensors"
    file.write_bytes(pickle.dumps({"final_norm/beta": [0.0]}))
    with pytest.raises(ValueError, match="is damaged"):
        GPT.from_preset(folder)
    file.rename(folder / "pytorch_model.bin")
    with pytest.raises(
        ValueError, match="bin is damaged: expected weights as torch.save"
    ):
        GPT.from_preset(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"architecture": "GPT", "conf', "config.json is damaged"),
        ("[]", "config.json is damaged"),
        ('{"architecture": "GPT"}', r"config.json is damaged: .*KeyError"),
        ("{}", "must be a preset of zoo or"),
        ('{"architecture": "GAN", "config": {}, "dtype": "float32"}', "'GAN'. Known"),
        (
            '{"architecture": "GPT", "config": {"depth": 1}, "dtype": "float32"}',
            r"has no fields \['depth'\]; the file is from another version",
        ),
    ],
)
def test_damaged_settings(folder, text, message):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        GPT.from_preset(folder)


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="does not hold a tokenizer"):
        GPT.from_preset(folder)
