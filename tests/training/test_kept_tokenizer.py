"""Tokenizers go along in `.keras` files."""

import copy
import pickle
import zipfile

import keras
import numpy as np
import pytest

import zoo
from tests.training.toys import with_weights

TEXTS = ["a bad cab", "dad"]


def gpt(tokenizer=None):
    vocab_size = tokenizer.vocab_size if tokenizer else 7
    model = with_weights(zoo.GPT(zoo.GPTConfig(vocab_size, 8, 1, 2, 8)), stddev=0.5)
    model.tokenizer = tokenizer
    return model


TOKENIZERS = {
    "characters": lambda: zoo.Tokenizer.characters("abcd "),
    "bpe": lambda: zoo.Tokenizer.train_bpe(TEXTS, 260),
    "wordpiece": lambda: zoo.Tokenizer.train_wordpiece(TEXTS, 20),
}


@pytest.mark.parametrize("make", TOKENIZERS.values(), ids=TOKENIZERS)
def test_a_loaded_model_writes_the_same_text(make, tmp_path):
    model = gpt(make())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.tokenizer == model.tokenizer
    expected = model.generate("a b", 5, seed=1)
    assert loaded.generate("a b", 5, seed=1) == expected
    # As Keras's other ways to write and read it do.
    keras.saving.save_model(model, tmp_path / "folder", zipped=False)
    for again in (
        keras.saving.load_model(tmp_path / "folder"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ):
        assert again.generate("a b", 5, seed=1) == expected


def test_models_in_a_model_keep_theirs(tmp_path):
    tokenizer = zoo.Tokenizer.train_wordpiece(TEXTS, 20)
    config = zoo.BertConfig(tokenizer.vocab_size, 6, 1, 2, 8)
    teacher = zoo.BertPretrainer(config)
    teacher.tokenizer = tokenizer
    model = zoo.Distiller(teacher, zoo.BertPretrainer(config))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.teacher.tokenizer == tokenizer
    assert loaded.student.tokenizer is None


def test_a_model_without_one_loads_without_one(tmp_path):
    gpt().save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").tokenizer is None
    names = zipfile.ZipFile(tmp_path / "model.keras").namelist()
    assert not any(name.startswith("assets") for name in names)


def test_another_tokenizer_is_said_to_be_left_out(tmp_path):
    model = gpt()
    model.tokenizer = object()
    with pytest.warns(UserWarning, match="no tokenizer: GPT.tokenizer is <object"):
        model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_damaged_tokenizer_is_an_error_in_words(tmp_path):
    gpt(zoo.Tokenizer.characters("abcd ")).save(tmp_path / "model.keras")
    with (
        zipfile.ZipFile(tmp_path / "model.keras") as whole,
        zipfile.ZipFile(tmp_path / "damaged.keras", "w") as damaged,
    ):
        for name in whole.namelist():
            text = whole.read(name)
            damaged.writestr(name, text[:50] if name.startswith("assets") else text)
    with pytest.raises(ValueError, match="tokenizer"):
        keras.saving.load_model(tmp_path / "damaged.keras")
