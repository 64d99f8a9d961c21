"""Keras Hub presets: folders in its layout, ours, and those that it writes itself."""

import json
import re
import struct

import h5py
import keras
import numpy as np
import pytest
from keras import ops

import zoo
from tests.models.bert_texts import TOKENS, run, texts
from tests.presets.test_convert_bert import assert_close, their_model, theirs_of
from zoo.formats.keras_hub import tokenizers as keras_hub_tokenizers

transformers = pytest.importorskip("transformers")

TEXTS = texts()
MASK = TEXTS["padding_mask"]
CONFIG = {
    "name": "bert_backbone",
    "trainable": True,
    "vocabulary_size": 37,
    "num_layers": 2,
    "num_heads": 3,
    "hidden_dim": 24,
    "intermediate_dim": 40,
    "dropout": 0.0,
    "max_sequence_length": 14,
    "num_segments": 2,
}
# Layer paths of one block: theirs, and Hugging Face's.
ATTENTION = "_self_attention_layer"
BLOCK = {
    f"{ATTENTION}/query_dense": "attention.self.query",
    f"{ATTENTION}/key_dense": "attention.self.key",
    f"{ATTENTION}/value_dense": "attention.self.value",
    f"{ATTENTION}/output_dense": "attention.output.dense",
    "_self_attention_layer_norm": "attention.output.LayerNorm",
    "_feedforward_intermediate_dense": "intermediate.dense",
    "_feedforward_output_dense": "output.dense",
    "_feedforward_layer_norm": "output.LayerNorm",
}
BODY = {
    "reversible_embedding": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "embedding": "embeddings.token_type_embeddings",
    "layer_normalization": "embeddings.LayerNorm",
    "dense": "pooler.dense",
}


def serialized(name, config, package="keras_hub"):
    return json.dumps(
        {
            "module": f"{package}.src.models.bert",
            "class_name": name,
            "config": config,
            "registered_name": f"{package}>{name}",
        }
    )


def datasets(model):
    """Yields the path and array of each weight of a BertModel."""
    weights = {k: x.detach().numpy() for k, x in model.named_parameters()}
    layers = dict(BODY)
    for block, group in enumerate(("transformer_encoder", "transformer_encoder_1")):
        for path, name in BLOCK.items():
            layers[f"{group}/{path}"] = f"encoder.layer.{block}.{name}"
    arrays = {}
    for path, name in layers.items():
        x = weights[f"{name}.weight"]
        if "dense" in path:
            x = x.T
            if path.endswith(("query_dense", "key_dense", "value_dense")):
                x = x.reshape(24, 3, 8)
            elif path.endswith(f"{ATTENTION}/output_dense"):
                x = x.reshape(3, 8, 24)
        arrays[f"layers/{path}/vars/0"] = x
        if "embedding" not in path:
            x = weights[f"{name}.bias"]
            by_head = path.endswith(("query_dense", "key_dense", "value_dense"))
            arrays[f"layers/{path}/vars/1"] = x.reshape(3, 8) if by_head else x
    return arrays


def write_h5(file, arrays):
    with h5py.File(file, "w") as opened:
        opened.create_group("layers/input_layer/vars").attrs["name"] = "token_ids"
        for path, array in arrays.items():
            opened[path] = array


def written(model, folder, edit=lambda arrays: None):
    arrays = datasets(model)
    edit(arrays)
    write_h5(folder / "model.weights.h5", arrays)
    (folder / "config.json").write_text(serialized("BertBackbone", CONFIG))
    (folder / "assets/tokenizer").mkdir(parents=True)
    (folder / "assets/tokenizer/vocabulary.txt").write_text("\n".join(TOKENS) + "\n")
    rules = {"lowercase": True, "strip_accents": False, "vocabulary": None}
    (folder / "tokenizer.json").write_text(serialized("BertTokenizer", rules))
    return folder


def with_head(model, folder, activation="linear", name="BertTextClassifier"):
    """Writes a task's files beside a backbone's."""
    head = {
        "layers/dense/vars/0": model.classifier.weight.detach().numpy().T,
        "layers/dense/vars/1": model.classifier.bias.detach().numpy(),
        "optimizer/vars/0": np.array(0),
    }
    write_h5(folder / "task.weights.h5", head)
    task = {"num_classes": 3, "activation": activation, "dropout": 0.2}
    (folder / "task.json").write_text(serialized(name, task))
    return folder


@pytest.fixture(scope="module")
def backbone():
    return their_model("BertModel", hidden_act="gelu_new")


def test_backbone(backbone, tmp_path, caplog):
    caplog.clear()
    model = zoo.BertBackbone.from_preset(written(backbone, tmp_path))
    assert not caplog.messages
    found, expected = run(model, TEXTS), theirs_of(backbone)
    assert_close(found["sequence_output"], expected.last_hidden_state, MASK)
    assert_close(found["pooled_output"], expected.pooler_output)
    assert model.tokenizer.encode("A b é").tolist() == [5, 6, 1]
    assert zoo.Tokenizer.from_preset(tmp_path) == model.tokenizer
    zoo.BertTagger.from_preset(tmp_path)
    assert "tagger/kernel" in caplog.text


def test_classifier(tmp_path, caplog):
    theirs = their_model(
        "BertForSequenceClassification", hidden_act="gelu_new", num_labels=3
    )
    caplog.clear()
    folder = with_head(theirs, written(theirs.bert, tmp_path))
    model = zoo.BertClassifier.from_preset(folder)
    assert not caplog.messages
    assert model.config.head_dropout == 0.2
    assert_close(run(model, TEXTS), theirs_of(theirs).logits)
    with pytest.raises(ValueError, match="linear or softmax .* got 'relu'"):
        zoo.BertClassifier.from_preset(with_head(theirs, folder, "relu"))


def test_a_masked_language_model_gives_its_encoder(backbone, tmp_path, caplog):
    folder = written(backbone, tmp_path)
    (folder / "task.json").write_text(serialized("BertMaskedLM", {}))
    caplog.clear()
    zoo.BertPretrainer.from_preset(folder)
    assert "no weights for masked_lm/bias" in caplog.text


def test_older_names(backbone, tmp_path):
    def edit(arrays):
        for path in list(arrays):
            arrays[f"_layer_checkpoint_dependencies{path[6:]}"] = arrays.pop(path)

    folder = written(backbone, tmp_path, edit)
    text = serialized("BertBackbone", CONFIG, package="keras_nlp")
    (folder / "config.json").write_text(text)
    found = run(zoo.BertBackbone.from_preset(folder), TEXTS)
    assert_close(found["pooled_output"], theirs_of(backbone).pooler_output)


def test_other_models(backbone, tmp_path):
    folder = written(backbone, tmp_path)
    (folder / "config.json").write_text(serialized("GemmaBackbone", {}))
    with pytest.raises(ValueError, match="preset of Keras Hub's 'GemmaBackbone'"):
        zoo.BertBackbone.from_preset(folder)
    (folder / "config.json").write_text(serialized("BertBackbone", {}))
    with pytest.raises(ValueError, match="config.json must have the fields dropout, h"):
        zoo.BertBackbone.from_preset(folder)


# === Files that do not fit ===


def test_leftover_and_missing_names(backbone, tmp_path):
    def edit(arrays):
        del arrays["layers/transformer_encoder_1/_feedforward_output_dense/vars/1"]
        arrays["layers/dense/vars/2"] = np.ones(3, "float32")

    with pytest.raises(
        ValueError,
        match="Missing: layers/transformer_encoder_1/_feedforward_output_dense/vars/1. "
        "Unexpected: layers/dense/vars/2.",
    ):
        zoo.BertBackbone.from_preset(written(backbone, tmp_path, edit))


def test_another_number_of_heads(backbone, tmp_path):
    folder = written(backbone, tmp_path)
    settings = CONFIG | {"num_heads": 4}
    (folder / "config.json").write_text(serialized("BertBackbone", settings))
    with pytest.raises(ValueError, match=r"must be of 4 heads, got shape \(24, 3, 8\)"):
        zoo.BertBackbone.from_preset(folder)


@pytest.mark.parametrize("kind", ["external", "sparse", "compressed", "integers"])
def test_weights_must_lie_in_the_file(kind, backbone, tmp_path):
    folder = written(backbone, tmp_path)
    path = "layers/dense/vars/1"
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(96))
    options = {
        "external": {"external": [(str(secret), 0, 96)], "dtype": "float32"},
        "sparse": {"dtype": "float32"},
        "compressed": {"data": np.zeros(24, "float32"), "compression": "gzip"},
        "integers": {"data": np.zeros(24, "int32")},
    }[kind]
    with h5py.File(folder / "model.weights.h5", "a") as file:
        del file[path]
        file.create_dataset(path, shape=(24,), **options)
    with pytest.raises(
        ValueError, match=f"{path} must be an array of floats that lies"
    ):
        zoo.BertBackbone.from_preset(folder)


def test_links_to_other_files_are_not_followed(backbone, tmp_path):
    folder = written(backbone, tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(24, "float32")
    with h5py.File(folder / "model.weights.h5", "a") as file:
        del file["layers/dense/vars/1"]
        file["layers/dense/vars/1"] = h5py.ExternalLink(tmp_path / "other.h5", "x")
    with pytest.raises(ValueError, match="Missing: layers/dense/vars/1"):
        zoo.BertBackbone.from_preset(folder)


def test_a_damaged_file(backbone, tmp_path):
    folder = written(backbone, tmp_path)
    file = folder / "model.weights.h5"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="model.weights.h5 is damaged"):
        zoo.BertBackbone.from_preset(folder)


def test_a_loop_in_a_heap(backbone, tmp_path):
    """The HDF5 library would follow it until no memory is left."""
    file = written(backbone, tmp_path) / "model.weights.h5"
    data = bytearray(file.read_bytes())
    for match in re.finditer(rb"HEAP\0\0\0\0", data):
        _, free, segment = struct.unpack_from("<QQQ", data, match.end())
        struct.pack_into("<Q", data, segment + free, free)
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"must form a list, got a loop at offset \d+"):
        zoo.BertBackbone.from_preset(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"config": {}}', "\xff"])
def test_a_damaged_configuration(text, backbone, tmp_path):
    folder = written(backbone, tmp_path)
    (folder / "config.json").write_text(text, "latin-1")
    with pytest.raises(ValueError, match=r"config.json (is damaged|must be)"):
        zoo.BertBackbone.from_preset(folder)
    (folder / "config.json").write_text(serialized("BertBackbone", CONFIG))
    (folder / "task.json").write_text(text, "latin-1")
    with pytest.raises(ValueError, match="task.json is damaged"):
        zoo.BertBackbone.from_preset(folder)


# === Written ===

SIZES = (37, 14, 2, 3, 24)


def models():
    wordpiece = zoo.Tokenizer.train_wordpiece(["a b c d ab abc"], vocab_size=16)
    pairs = zoo.Tokenizer.train_bpe(["a b ab abc d"], vocab_size=262)
    bert = {"feed_forward_width": 40, "activation": "gelu_tanh", "dropout": 0.1}
    gpt = zoo.GPT(zoo.GPTConfig(262, *SIZES[1:], dropout=0.1))
    gpt.tokenizer = pairs
    encoder = zoo.BertBackbone(zoo.BertConfig(*SIZES, **bert))
    encoder.tokenizer = wordpiece
    classifier = zoo.BertClassifier(
        zoo.BertClassifierConfig(*SIZES, **bert, num_classes=3, head_dropout=0.2)
    )
    for model in (gpt, encoder, classifier):
        for index, weight in enumerate(model.weights):
            noise = np.random.default_rng(index).normal(0, 0.3, weight.shape)
            weight.assign(weight + noise)
    return {"gpt2": gpt, "bert": encoder, "classifier": classifier}


@pytest.fixture(scope="module")
def ours():
    return models()


@pytest.mark.parametrize("name", ["gpt2", "bert", "classifier"])
def test_there_and_back(name, ours, tmp_path, caplog):
    model = ours[name]
    if name == "classifier":
        model.class_names = ("cat", "dog", "eel")
    zoo.presets.export_keras_hub(model, tmp_path)
    caplog.clear()
    again = zoo.from_preset(tmp_path)
    assert type(again) is type(model) and not caplog.messages
    if name == "classifier":
        assert again.class_names == ("cat", "dog", "eel")
    assert (again.tokenizer is None) == (model.tokenizer is None)
    if model.tokenizer is not None:
        ids = [x.tokenizer.encode("ab Abc d\u00e9 a").tolist() for x in (again, model)]
        assert ids[0] == ids[1]
    inputs = TEXTS["token_ids"] if name == "gpt2" else TEXTS
    for found, expected in zip(
        *(keras.tree.flatten(run(m, inputs)) for m in (again, model)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    # Saving a model of another class removes this one's files.
    zoo.presets.export_keras_hub(ours["bert"], tmp_path)
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")}
    vocabulary = "assets/tokenizer/vocabulary.txt"
    expected = {"config.json", "metadata.json", "model.weights.h5", "tokenizer.json"}
    assert files == expected | {vocabulary}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: zoo.BertTagger(zoo.BertTaggerConfig(*SIZES)), "has no BertTagger"),
        (lambda: zoo.BertBackbone(zoo.BertConfig(*SIZES)), "must be 'gelu_new'"),
        (
            lambda: zoo.GPT(zoo.GPTConfig(*SIZES, norm_epsilon=1e-6)),
            "layer_norm_epsilon must be 1e-05",
        ),
        (lambda: zoo.GPT(zoo.GPTConfig(*SIZES, tie_embeddings=False)), "tie_word_emb"),
        (
            lambda: zoo.BertBackbone(
                zoo.BertConfig(*SIZES, activation="gelu_tanh", pooler=False)
            ),
            "needs a pooler",
        ),
    ],
)
def test_what_keras_hub_does_not_have(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        zoo.presets.export_keras_hub(make(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_tokenizer(ours, tmp_path):
    gpt = zoo.GPT(zoo.GPTConfig(*SIZES))
    gpt.tokenizer = zoo.Tokenizer.characters("abc")
    with pytest.raises(ValueError, match="GPT2Tokenizer needs byte-level pairs"):
        zoo.presets.export_keras_hub(gpt, tmp_path)
    added = zoo.Tokenizer.train_bpe("abc", 260)
    added.backend.add_tokens(["<x>"])
    with pytest.raises(ValueError, match="259 for 260 ids: tokens were added"):
        keras_hub_tokenizers.files(added, "gpt2")


# === Keras Hub itself ===


@pytest.mark.filterwarnings("default")
def test_what_is_written_loads_there(ours, tmp_path):
    hub = pytest.importorskip("keras_hub").models
    for name, model in ours.items():
        zoo.presets.export_keras_hub(model, tmp_path / name)
    inputs = {k: x.astype("int32") for k, x in TEXTS.items()}
    texts = {k: inputs[k] for k in ("token_ids", "padding_mask")}
    theirs = hub.GPT2CausalLM.from_preset(str(tmp_path / "gpt2"))
    far = ops.convert_to_numpy(theirs(texts)) - run(ours["gpt2"], TEXTS["token_ids"])
    assert np.abs(far)[MASK].max() < 1e-4
    text = "ab abc d a"
    tokenizer = ours["gpt2"].tokenizer
    found = ops.convert_to_numpy(theirs.preprocessor.tokenizer(text))
    assert found.tolist() == tokenizer.encode(text).tolist()
    theirs = hub.BertBackbone.from_preset(str(tmp_path / "bert"))
    found, expected = theirs(inputs), run(ours["bert"], TEXTS)
    for name, where in (("sequence_output", MASK), ("pooled_output", slice(None))):
        far = ops.convert_to_numpy(found[name]) - expected[name]
        assert np.abs(far)[where].max() < 1e-4
    theirs = hub.BertTextClassifier.from_preset(str(tmp_path / "classifier"))
    far = ops.convert_to_numpy(theirs(inputs)) - run(ours["classifier"], TEXTS)
    assert np.abs(far).max() < 1e-4
    pytest.importorskip("tensorflow_text")
    theirs = hub.BertTokenizer.from_preset(str(tmp_path / "bert"))
    found = ops.convert_to_numpy(theirs(text))
    assert found.tolist() == ours["bert"].tokenizer.encode(text).tolist()


@pytest.mark.filterwarnings("default")  # its own warnings are not ours to fix
def test_presets_that_keras_hub_writes(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    rng = np.random.default_rng(0)
    settings = {k: x for k, x in CONFIG.items() if k not in ("name", "trainable")}
    theirs = keras_hub.models.BertBackbone(**settings)
    for weight in theirs.weights:
        weight.assign(rng.normal("gamma" in weight.path, 0.2, weight.shape))
    classifier = keras_hub.models.BertTextClassifier(theirs, 3)
    classifier.save_to_preset(tmp_path)
    ours = zoo.BertBackbone.from_preset(tmp_path)
    inputs = {k: x.astype("int32") for k, x in TEXTS.items()}
    expected = theirs(inputs)
    for name, value in run(ours, TEXTS).items():
        where = MASK if value.ndim == 3 else slice(None)
        far = np.abs(value - ops.convert_to_numpy(expected[name]))
        assert far[where].max() < 1e-4, name
    found = run(zoo.BertClassifier.from_preset(tmp_path), TEXTS)
    assert np.abs(found - ops.convert_to_numpy(classifier(inputs))).max() < 1e-4


@pytest.mark.filterwarnings("default")
def test_a_gpt2_that_keras_hub_writes(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    theirs = keras_hub.models.GPT2Backbone(37, 2, 3, 24, 40, 0.1, 14)
    for weight in theirs.weights:
        noise = np.random.default_rng(0).normal(0, 0.2, weight.shape)
        weight.assign(weight + noise)
    theirs.save_to_preset(str(tmp_path))
    ours = zoo.GPT.from_preset(tmp_path)
    inputs = {k: TEXTS[k].astype("int32") for k in ("token_ids", "padding_mask")}
    hidden = theirs(inputs)
    expected = ops.convert_to_numpy(theirs.token_embedding(hidden, reverse=True))
    assert np.abs(expected - run(ours, TEXTS["token_ids"]))[MASK].max() < 1e-4
