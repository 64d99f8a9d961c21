"""Every head of another library's models is loaded, or refused by name."""

import json
import logging

import numpy as np
import pytest

import zoo
from tests.models.bert_texts import run
from tests.presets.test_convert_bert import (
    MASK,
    TEXTS,
    assert_close,
    edited,
    saved,
    texts_for,
    their_model,
    theirs_of,
)
from zoo.presets.weights import arrays_of

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

KINDS = ("Bert", "Roberta", "Albert", "Electra", "DistilBert")
# Models loaded with their head, by the end of the class name.
LOADED = {
    "Model": zoo.BertBackbone,
    "ForMaskedLM": zoo.BertPretrainer,
    "ForPreTraining": zoo.BertPretrainer,
    "ForNextSentencePrediction": zoo.BertPretrainer,
    "ForSequenceClassification": zoo.BertClassifier,
    "ForTokenClassification": zoo.BertTagger,
    "ForQuestionAnswering": zoo.BertSpanQA,
}


def ends(kind: str) -> list[str]:
    """Returns all transformers models of a kind, by the ends of their names."""
    ends = (name.removeprefix(kind) for name in dir(transformers) if kind in name)
    return [x for x in ends if x.startswith("For") or x in ("Model", "LMHeadModel")]


ALL = [(kind, end) for kind in KINDS for end in ends(kind)]


@pytest.mark.parametrize(("kind", "end"), ALL, ids=[a + b for a, b in ALL])
def test_every_model_is_loaded_whole_or_refused(kind, end, tmp_path):
    theirs = their_model(f"{kind}{end}", layers=1)
    folder = saved(theirs, tmp_path)
    expected = zoo.Electra if f"{kind}{end}" == "ElectraForPreTraining" else None
    expected = expected or LOADED.get(end)
    if expected is None:
        with pytest.raises(ValueError, match=f"is a {kind}{end}, whose head none of"):
            zoo.from_preset(folder)
        with pytest.raises(ValueError, match="BertBackbone.from_preset.*strict=False"):
            zoo.BertBackbone.from_preset(folder)
        backbone = zoo.BertBackbone.from_preset(folder, strict=False)
        inputs = texts_for(theirs)
        found = run(backbone, inputs)["sequence_output"]
        assert_close(found, theirs_of(theirs.base_model, inputs)[0], MASK)
        return
    ours = zoo.from_preset(folder)
    assert type(ours) is expected
    there = {name.rpartition(".")[0] for name in theirs.state_dict()}
    heads = {name for name in there if not name.startswith(theirs.base_model_prefix)}
    new = {name.split("/")[0] for name in ours.new_weights}
    # All of their weights are taken: new ones are those that they lack.
    assert heads or not new
    if end == "ForNextSentencePrediction":
        assert new == {"masked_lm"}
        found = run(ours, TEXTS)["nsp_logits"]
        assert_close(found, theirs_of(theirs).logits)
    elif expected is zoo.Electra:
        assert new == {"generator"}
        inputs = texts_for(theirs)
        assert_close(run(ours, inputs), theirs_of(theirs, inputs).logits, MASK)
    else:
        assert not new


@pytest.mark.parametrize(
    "name", ["ForQuestionAnswering", "ForSequenceClassification", "DoubleHeadsModel"]
)
def test_heads_of_gpt2(name, tmp_path):
    cls = getattr(transformers, f"GPT2{name}")
    sizes = {"vocab_size": 31, "n_positions": 40, "n_embd": 24, "n_layer": 1}
    options = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    config = transformers.GPT2Config(**sizes, n_head=3, num_labels=1, **options)
    theirs = cls(config).eval()
    folder = saved(theirs, tmp_path)
    for load in (zoo.from_preset, zoo.GPT.from_preset):
        with pytest.raises(ValueError, match=f"is a GPT2{name}, whose head none of"):
            load(folder)
    gpt = zoo.from_preset(folder, strict=False)
    table = theirs.transformer.wte.weight.detach().numpy()
    np.testing.assert_array_equal(arrays_of(gpt)["token_embedding/embeddings"], table)
    assert not gpt.new_weights


def test_a_task_takes_the_encoder_of_a_head_that_none_has(tmp_path, caplog):
    """A head that scores each of several texts is not a head for classes."""
    theirs = their_model("BertForMultipleChoice", layers=1)
    ours = zoo.BertClassifier.from_preset(saved(theirs, tmp_path), num_classes=1)
    assert ours.new_weights == ("classifier/bias", "classifier/kernel")
    assert "were ignored: classifier.bias, classifier.weight" in caplog.text
    pooler = arrays_of(ours)["pooler/kernel"]
    np.testing.assert_array_equal(pooler.T, theirs.bert.pooler.dense.weight.detach())


def test_what_the_backbone_asked_for_leaves_is_in_the_log(tmp_path, caplog):
    folder = saved(their_model("BertForSequenceClassification", layers=1), tmp_path)
    caplog.set_level(logging.INFO)
    zoo.BertBackbone.from_preset(folder)
    assert "ignored: classifier/bias, classifier/kernel." in caplog.text


def test_heads_that_config_json_does_not_tell_of(tmp_path):
    pretrained = saved(their_model("BertForPreTraining", layers=1), tmp_path / "a")
    # As in Google's small BERTs, where the weights decide.
    edited(pretrained, lambda arrays: None, architectures=None)
    assert type(zoo.from_preset(pretrained)) is zoo.BertPretrainer
    classifier = saved(
        their_model("BertForSequenceClassification", layers=1), tmp_path / "b"
    )
    edited(classifier, lambda arrays: None, architectures=["BertModel"])
    with pytest.raises(
        ValueError, match="place for: classifier/bias, classifier/kernel. strict=False"
    ):
        zoo.from_preset(classifier)
    assert not zoo.from_preset(classifier, strict=False).new_weights


def test_weights_of_no_layer_are_left_out_if_asked(tmp_path, caplog):
    folder = saved(their_model("BertForMaskedLM", layers=1), tmp_path)

    def edit(arrays):
        arrays["score.weight"] = np.ones((2, 24), "float32")
        del arrays["bert.embeddings.LayerNorm.bias"]

    edited(folder, edit)
    with pytest.raises(ValueError, match="Unexpected: score.weight"):
        zoo.from_preset(folder)
    ours = zoo.from_preset(folder, strict=False)
    assert ours.new_weights == ("bert/embedding_norm/beta",)
    assert "were ignored: score.weight." in caplog.text


def test_generators_are_of_a_size_that_divides(tmp_path):
    theirs = their_model(
        "ElectraForPreTraining", layers=1, hidden_size=18, intermediate_size=27
    )
    ours = zoo.Electra.from_preset(saved(theirs, tmp_path))
    assert ours.config.generator_divisor == 3


@pytest.mark.parametrize(
    ("name", "table", "copy"),
    [
        (
            "RobertaForMaskedLM",
            "roberta.embeddings.word_embeddings.weight",
            "lm_head.decoder.weight",
        ),
        (
            "DistilBertForMaskedLM",
            "distilbert.embeddings.word_embeddings.weight",
            "vocab_projector.weight",
        ),
    ],
)
def test_a_shared_table_under_its_other_name(name, table, copy, tmp_path):
    """safetensors.torch.save_model keeps one of the two names."""
    folder = saved(their_model(name, layers=1), tmp_path)
    expected = zoo.from_preset(folder)

    def edit(arrays):
        arrays[copy] = arrays.pop(table)

    ours = arrays_of(zoo.from_preset(edited(folder, edit)))
    for weight, array in arrays_of(expected).items():
        np.testing.assert_array_equal(ours[weight], array)


def test_a_task_of_keras_hub_that_none_has(tmp_path):
    from tests.presets.test_keras_hub import serialized, written

    backbone = their_model("BertModel", hidden_act="gelu_new")
    folder = written(backbone, tmp_path)
    (folder / "task.json").write_text(serialized("BertMaskedLM", {}))
    with pytest.raises(ValueError, match="is a BertMaskedLM, whose head none of"):
        zoo.from_preset(folder)
    assert zoo.from_preset(folder, strict=False).pooler is not None
    assert json.loads((folder / "task.json").read_text())["class_name"]
