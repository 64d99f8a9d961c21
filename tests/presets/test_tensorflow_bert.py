"""BERT's original checkpoints, written by TensorFlow, against `transformers`."""

import json

import numpy as np
import pytest

import zoo
from tests.models.bert_texts import TOKENS, run, texts
from tests.presets.test_convert_bert import assert_close, saved, their_model, theirs_of
from zoo.files.tensorflow_files import entries

tensorflow = pytest.importorskip("tensorflow")

TEXTS = texts()
MASK = TEXTS["padding_mask"]

# From google-research/bert's modeling.py and run_*.py by hand: names of one layer.
HEADS = {
    "cls.predictions.bias": "cls/predictions/output_bias",
    "cls.predictions.transform.dense.weight": "cls/predictions/transform/dense/kernel",
    "cls.predictions.transform.dense.bias": "cls/predictions/transform/dense/bias",
    "cls.predictions.transform.LayerNorm.weight": (
        "cls/predictions/transform/LayerNorm/gamma"
    ),
    "cls.predictions.transform.LayerNorm.bias": (
        "cls/predictions/transform/LayerNorm/beta"
    ),
    "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
    "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    "classifier.weight": "output_weights",
    "classifier.bias": "output_bias",
    "qa_outputs.weight": "cls/squad/output_weights",
    "qa_outputs.bias": "cls/squad/output_bias",
    "bert.embeddings.word_embeddings.weight": "bert/embeddings/word_embeddings",
    "bert.embeddings.position_embeddings.weight": "bert/embeddings/position_embeddings",
    "bert.embeddings.token_type_embeddings.weight": (
        "bert/embeddings/token_type_embeddings"
    ),
}


def original_name(name):
    if name in HEADS:
        return HEADS[name]
    name = name.replace("encoder.layer.", "encoder.layer_")
    ends = ("gamma", "beta") if "LayerNorm" in name else ("kernel", "bias")
    end = ends[0] if name.endswith(".weight") else ends[1]
    return f"{name.rpartition('.')[0]}.{end}".replace(".", "/")


def variables(model):
    """Returns a model's weights under TensorFlow's graph names, with Adam's moments."""
    arrays = {}
    for name, parameter in model.named_parameters():
        ours, x = original_name(name), parameter.detach().numpy()
        arrays[ours] = x.T if ours.endswith("kernel") else x
    moments = {f"{name}/adam_{kind}": x for name, x in arrays.items() for kind in "mv"}
    return arrays | moments | {"global_step": np.array(7)}


def written(model, folder, edit=lambda arrays: None, prefix="bert_model.ckpt"):
    """Writes a folder as BERT's authors publish it."""
    arrays = variables(model)
    edit(arrays)
    tensorflow.raw_ops.SaveV2(
        prefix=str(folder / prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )
    config = {
        "attention_probs_dropout_prob": 0.0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 40,
        "max_position_embeddings": 14,
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "type_vocab_size": 2,
        "vocab_size": 37,
    }
    (folder / "bert_config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return folder


def test_reads_what_tensorflow_reads(tmp_path):
    written(their_model("BertModel"), tmp_path)
    prefix = str(tmp_path / "bert_model.ckpt")
    reader = tensorflow.train.load_checkpoint(prefix)
    found = entries(prefix)
    assert {n: list(e.shape) for n, e in found.items()} == (
        reader.get_variable_to_shape_map()
    )
    for name, entry in found.items():
        expected = reader.get_tensor(name)
        assert entry.array().dtype == expected.dtype
        assert np.array_equal(entry.array(), expected), name


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("BertForPreTraining", zoo.BertPretrainer),
        ("BertForSequenceClassification", zoo.BertClassifier),
        ("BertForQuestionAnswering", zoo.BertSpanQA),
    ],
)
def test_outputs(theirs, ours, tmp_path, caplog):
    options = {"num_labels": 3} if ours is zoo.BertClassifier else {}
    network = their_model(theirs, **options)

    def edit(arrays):  # run_squad.py writes the pooler too
        if ours is zoo.BertSpanQA:
            arrays["bert/pooler/dense/kernel"] = np.ones((24, 24), "float32")
            arrays["bert/pooler/dense/bias"] = np.ones(24, "float32")

    caplog.clear()
    model = ours.from_preset(written(network, tmp_path, edit))
    assert not caplog.messages
    found, expected = run(model, TEXTS), theirs_of(network)
    if ours is zoo.BertPretrainer:
        assert_close(found["mlm_logits"], expected.prediction_logits, MASK)
        assert_close(found["nsp_logits"], expected.seq_relationship_logits)
    elif ours is zoo.BertClassifier:
        assert_close(found, expected.logits)
    else:
        assert_close(found["start_logits"], expected.start_logits, MASK)
        assert_close(found["end_logits"], expected.end_logits, MASK)


def test_is_the_same_as_from_hugging_face(tmp_path):
    """It also has its tokenizer, cased like the vocabulary."""
    network = their_model("BertForPreTraining")
    (tmp_path / "theirs").mkdir()
    expected = zoo.BertClassifier.from_preset(saved(network, tmp_path / "theirs"))
    (tmp_path / "original").mkdir()
    folder = written(network, tmp_path / "original")
    found = zoo.BertClassifier.from_preset(folder)
    assert found.config == expected.config
    for a, b in zip(found.bert.get_weights(), expected.bert.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert found.tokenizer.encode("A b").tolist() == [5, 6]
    (folder / "vocab.txt").write_text("\n".join([*TOKENS, "A"]))
    tokenizer = zoo.Tokenizer.from_preset(folder)
    assert tokenizer.encode("A b").tolist() == [37, 6]


def test_leftover_and_missing_names(tmp_path):
    def edit(arrays):
        del arrays["bert/encoder/layer_1/attention/self/key/bias"]
        arrays["bert/encoder/layer_1/scores"] = np.ones(3, "float32")

    folder = written(their_model("BertForPreTraining"), tmp_path, edit)
    with pytest.raises(
        ValueError,
        match="Missing: encoder.layer.1.attention.self.key.bias. "
        "Unexpected: bert/encoder/layer_1/scores.",
    ):
        zoo.BertPretrainer.from_preset(folder)


def test_damaged_files(tmp_path):
    folder = written(their_model("BertModel"), tmp_path)
    data = folder / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:5000])
    with pytest.raises(ValueError, match="data-00000-of-00001 is damaged"):
        zoo.BertBackbone.from_preset(folder)
    index = folder / "bert_model.ckpt.index"
    whole = index.read_bytes()
    for damage in (whole[:-1], whole[:100] + whole[-48:], b""):
        index.write_bytes(damage)
        with pytest.raises(ValueError, match="index is damaged: expected an index"):
            zoo.BertBackbone.from_preset(folder)
    written(their_model("BertModel"), folder, prefix="model.ckpt-7")
    with pytest.raises(FileNotFoundError, match="bert_model.ckpt, model.ckpt-7"):
        zoo.BertBackbone.from_preset(folder)


def test_parts_and_texts_are_no_weights(tmp_path):
    prefix = str(tmp_path / "text")
    tensorflow.raw_ops.SaveV2(
        prefix=prefix, tensor_names=["a"], shape_and_slices=[""], tensors=["b"]
    )
    with pytest.raises(ValueError, match="it is in parts or has TensorFlow's type 7"):
        entries(prefix)
