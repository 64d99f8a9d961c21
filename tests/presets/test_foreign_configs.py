"""Wrong types in Hugging Face's config.json: each error names field and file."""

import json

import pytest

import zoo
from zoo.formats.huggingface.bert_options import FIELDS, RENAMED
from zoo.presets import registry

pytestmark = pytest.mark.host

GPT2 = ("vocab_size", "n_positions", "n_layer", "n_head", "n_embd", "n_inner")
GPT2 += ("resid_pdrop", "attn_pdrop", "activation_function", "layer_norm_epsilon")
GPT2 += ("tie_word_embeddings", "initializer_range")
KINDS = ("bert", "roberta", "albert", "electra", "distilbert")
OTHERS = ("x", [1], {"a": 1}, True, 1e400, -7.0, 2**40)


def config_of(kind):
    if kind == "gpt2":
        return {"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2}
    sizes = {"num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_width": 16}
    config = {"model_type": kind, "architectures": [f"{kind}Model"]}
    names = {field: name for field, name, _ in FIELDS} | RENAMED.get(kind, {})
    return config | {names[field]: value for field, value in sizes.items()}


def named(kind):
    if kind == "gpt2":
        return GPT2
    names = {field: name for field, name, _ in FIELDS} | RENAMED.get(kind, {})
    more = {"roberta": ("pad_token_id",), "albert": ("embedding_size",)}
    return (*filter(None, names.values()), *more.get(kind, ()))


CASES = [(kind, name) for kind in ("gpt2", *KINDS) for name in named(kind)]


def find(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    return registry.find(folder)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_null_stands_for_the_default(kind, name, tmp_path):
    config = config_of(kind)
    config.pop(name, None)
    try:
        expected = find(tmp_path, config).fields
    except ValueError as error:  # such as a width that the heads do not divide
        expected = str(error)
    try:
        found = find(tmp_path, config | {name: None}).fields
    except ValueError as error:
        found = str(error)
    assert found == expected


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_value_of_another_kind_is_refused(kind, name, tmp_path):
    right = find(tmp_path, config_of(kind)).fields
    for other in OTHERS:
        try:
            fields = find(tmp_path, config_of(kind) | {name: other}).fields
        except ValueError as error:
            assert str(tmp_path / "config.json") in str(error)
            assert name in str(error) or "dropout must be in [0, 1)" in str(error)
        else:
            # Accepted: a number that is merely larger, and a value that means the same.
            assert other == 2**40 or (name, other) == ("tie_word_embeddings", True)
            assert other == 2**40 or fields == right


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": ["bert"]},
        {"architectures": [3]},
        {"architectures": "BertModel"},
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": -1},
        {"architectures": ["BertForSequenceClassification"], "id2label": ["a"]},
        {"architectures": ["BertForSequenceClassification"], "num_labels": "x"},
        {"is_decoder": "yes"},
    ],
    ids=str,
)
def test_what_else_may_be_wrong(changes, tmp_path):
    with pytest.raises(ValueError, match=r"config.json"):
        find(tmp_path, config_of("bert") | changes)


@pytest.mark.parametrize("dtype", [None, 3, {"class_name": "DTypePolicy"}, "int8", ""])
def test_a_preset_s_precision_is_a_name(dtype, tmp_path):
    zoo.GPT(zoo.GPTConfig(17, 12, 1, 2, 8)).save_to_preset(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dtype": dtype}))
    with pytest.raises(
        ValueError, match=r"config.json is damaged: .*dtype must be one"
    ):
        zoo.from_preset(tmp_path)
