"""BERT against `transformers`: outputs, gradients, and conversion both ways."""

import json
import re

import keras
import numpy as np
import pytest

import zoo
from tests.models.bert_texts import EAGER, SIZES, VOCAB, masked_texts, run, step, texts
from zoo.data import Tokenizer
from zoo.engine.current import engine
from zoo.formats.huggingface.bert import architecture, config_fields, convert
from zoo.presets import count_parameters, export_bert
from zoo.presets.weights import named_weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-4
TEXTS = texts()
MASK = TEXTS["padding_mask"]
LABELS = {
    "BertForSequenceClassification": np.array([0, 2, 1, 2], "int32"),
    "BertForTokenClassification": np.where(
        MASK, np.random.default_rng(3).integers(3, size=MASK.shape), -100
    ).astype("int32"),
    "BertForQuestionAnswering": np.array([[0, 3], [2, 2], [1, 5], [4, 5]], "int32"),
}
LABELS["BertForTokenClassification"][1, :3] = -100  # later pieces of a word
OURS = {
    "BertModel": zoo.BertBackbone,
    "BertForPreTraining": zoo.BertPretrainer,
    "BertForSequenceClassification": zoo.BertClassifier,
    "BertForTokenClassification": zoo.BertTagger,
    "BertForQuestionAnswering": zoo.BertSpanQA,
}


def their_model(name, layers=2, **options):
    """Returns a random model without dropout, with weights far from initial values."""
    cls = getattr(transformers, name)
    kind = cls.config_class.model_type
    fields = {
        "vocab_size": VOCAB,
        "max_position_embeddings": 14,
        "hidden_size": 24,
        "num_hidden_layers": layers,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    if kind == "distilbert":
        fields = {
            "vocab_size": VOCAB,
            "max_position_embeddings": 14,
            "dim": 24,
            "n_layers": layers,
            "n_heads": 3,
            "hidden_dim": 40,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "seq_classif_dropout": 0.0,
        }
    elif kind in ("albert", "electra"):
        fields |= {"embedding_size": 12, "classifier_dropout_prob": 0.0}
    elif kind == "roberta":
        fields |= {"type_vocab_size": 1, "pad_token_id": 0, "layer_norm_eps": 1e-5}
    model = cls(cls.config_class(**fields | options)).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter.detach().mean() > 0.9  # of a norm
            parameter.normal_(std=0.2).add_(float(scale))
    return model


def saved(model, folder):
    model.save_pretrained(folder)
    return folder


def theirs_of(model, inputs=TEXTS):
    """Returns their outputs for our inputs, by our names."""
    names = {"token_ids": "input_ids", "padding_mask": "attention_mask"}
    if "segment_ids" in inputs:
        names["segment_ids"] = "token_type_ids"
    return model(**{n: torch.from_numpy(inputs[k]).long() for k, n in names.items()})


def assert_close(ours, theirs, mask=None):
    far = np.abs(ours - theirs.detach().numpy())
    assert far[... if mask is None else mask].max() < TOLERANCE


# === Heads: outputs, losses, gradients, and back ===


def check_outputs(name, ours, theirs):
    if name == "BertForPreTraining":
        assert_close(ours["mlm_logits"], theirs.prediction_logits, MASK)
        assert_close(ours["nsp_logits"], theirs.seq_relationship_logits)
    elif name == "BertForQuestionAnswering":
        for end in ("start_logits", "end_logits"):
            assert_close(ours[end], theirs[end], MASK)
            assert ours[end][~MASK].max() < -1e8
    elif name == "BertModel":
        assert_close(ours["sequence_output"], theirs.last_hidden_state, MASK)
        assert_close(ours["pooled_output"], theirs.pooler_output)
    else:
        mask = MASK if ours.ndim == 3 else None
        assert_close(ours, theirs.logits, mask)


def their_loss(name, theirs, batch):
    """Returns their loss; answers cannot end in padding."""
    entropy = torch.nn.functional.cross_entropy
    if name == "BertForPreTraining":
        batch = {k: torch.from_numpy(x) for k, x in batch[0].items()}
        places = batch["mask_positions"].long()
        logits = theirs.prediction_logits
        logits = logits[torch.arange(len(places))[:, None], places]
        counts = batch["mask_weights"] > 0
        masked = entropy(logits[counts], batch["mask_ids"][counts].long())
        pairs = theirs.seq_relationship_logits
        return masked + entropy(pairs, batch["next_sentence"].long())
    labels = torch.from_numpy(batch[1])
    if name == "BertForQuestionAnswering":
        hidden = torch.from_numpy(~MASK)
        return sum(
            entropy(theirs[end].masked_fill(hidden, -1e9), labels[:, index].long()) / 2
            for index, end in enumerate(("start_logits", "end_logits"))
        )
    return entropy(theirs.logits.flatten(0, -2), labels.flatten().long())


def as_bert(name):
    """Returns BERT's model for the same task."""
    return re.sub("^.*(?=Model|For)", "Bert", name)


def texts_for(theirs):
    """Returns the texts as inputs of one of their models."""
    inputs = dict(TEXTS)
    if theirs.config.model_type == "distilbert":
        del inputs["segment_ids"]
    if theirs.config.model_type == "roberta":
        inputs["segment_ids"] = np.zeros_like(inputs["segment_ids"])
        # They skip a padding token inside a text; we do not.
        pad = theirs.config.pad_token_id
        ids = np.where(inputs["token_ids"] == pad, 2, inputs["token_ids"])
        inputs["token_ids"] = np.where(MASK, ids, pad).astype("int32")
    return inputs


def check_written(ours, name, inputs, outputs, folder):
    """Checks that their model and ours, loaded from our files, give equal outputs."""
    export_bert(ours, folder)
    back, report = getattr(transformers, name).from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report.values())
    assert back.config.architectures == [name]
    for key, value in theirs_of(back.eval(), inputs).items():
        assert torch.equal(value, outputs[key]), key
    assert type(ours).from_preset(folder).config == ours.config


TASKS = ("SequenceClassification", "TokenClassification", "QuestionAnswering")
VARIANTS = ("Roberta", "Albert", "Electra", "DistilBert")


@pytest.mark.parametrize(
    "name",
    [
        *OURS,
        "regression",
        *(f"{kind}For{TASKS[0]}" for kind in VARIANTS),
        # These heads are BERT's own.
        *(
            pytest.param(f"{kind}For{task}", marks=pytest.mark.slow)
            for kind in VARIANTS
            for task in TASKS[1:]
        ),
    ],
)
def test_outputs_and_gradients(name, tmp_path):
    regression = name == "regression"
    name = "BertForSequenceClassification" if regression else name
    options = {"num_labels": 1 if regression else 3} if "Class" in name else {}
    theirs = their_model(name, layers=2 if "Albert" in name else 1, **options)
    ours = OURS[as_bert(name)].from_preset(saved(theirs, tmp_path / "theirs"))
    inputs = texts_for(theirs)
    outputs = theirs_of(theirs, inputs)
    check_outputs(as_bert(name), run(ours, inputs), outputs)
    assert ours.count_params() == sum(p.numel() for p in theirs.parameters())
    check_written(ours, name, inputs, outputs, tmp_path / "ours")
    if name == "BertModel" or regression:  # tests/models checks its loss
        return
    if not (name.startswith("Bert") or name.endswith("SequenceClassification")):
        return  # Bodies are checked there, and these heads with BERT's.
    batch = (inputs, LABELS.get(as_bert(name)))
    if name == "BertForPreTraining":
        batch = (masked_texts(),)
    loss = their_loss(as_bert(name), outputs, batch)
    loss.backward()
    gradients = convert(
        {name: p.grad.numpy() for name, p in theirs.named_parameters()},
        ours.config,
        type(ours).__name__,
    )
    assert_gradients(ours, batch, loss.item(), gradients)


def assert_gradients(model, batch, loss, expected):
    # One step of plain gradient descent at rate 1 moves each weight by its gradient.
    before = {k: np.array(engine().numpy(w)) for k, w in named_weights(model).items()}
    # Texts count equally. Positions and tokens do not, so they are tried in two
    # micro-batches.
    parts = 1 if isinstance(model, zoo.BertClassifier) else 2
    model.compile(keras.optimizers.SGD(1.0), accumulate=parts, **EAGER)
    assert step(model, *batch)["loss"] == pytest.approx(loss, abs=1e-5)
    assert set(before) == set(expected)
    for name, weight in named_weights(model).items():
        gradient = before[name] - engine().numpy(weight)
        assert np.abs(gradient - expected[name]).max() < TOLERANCE, name
        # A softmax over positions ignores what all positions have in common.
        blind = isinstance(model, zoo.BertSpanQA) and name in (
            "span/bias",
            "bert/block_0/feed_forward_norm/beta",
        )
        assert blind or np.abs(gradient).max() > 1e-6, name


@pytest.mark.parametrize("name", [*OURS][1:])
def test_ten_steps(name, tmp_path):
    """Every backend follows plain gradient descent in torch."""
    options = {"num_labels": 3} if "Class" in name else {}
    theirs = their_model(name, layers=1, **options)
    ours = OURS[name].from_preset(saved(theirs, tmp_path))
    descent = torch.optim.SGD(theirs.parameters(), 0.05)
    ours.compile(keras.optimizers.SGD(0.05))
    losses = []
    for seed in range(10):
        batch = (TEXTS, LABELS.get(name))
        if name == "BertForPreTraining":
            batch = (masked_texts(seed=seed),)
        loss = their_loss(name, theirs_of(theirs, batch[0]), batch)
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(loss.item())
        assert step(ours, *batch)["loss"] == pytest.approx(losses[-1], abs=1e-5), seed
    assert name == "BertForPreTraining" or losses[-1] < 0.8 * losses[0]


# === Tokenizers ===


@pytest.mark.parametrize("lowercase", [True, False])
def test_wordpiece_goes_along(lowercase, tmp_path):
    """Letters are treated as by transformers' own class for the model."""
    text = "The Cat sat on Café mats [SEP], "
    for config in (
        zoo.BertConfig(**SIZES | {"vocab_size": 60}),
        zoo.BertConfig(**SIZES | {"vocab_size": 60}, num_segments=0, pooler=False),
        zoo.BertConfig(
            **SIZES | {"vocab_size": 60},
            num_segments=1,
            position_offset=1,
            pooler=False,
        ),
    ):
        model = zoo.BertBackbone(config)
        model.tokenizer = Tokenizer.train_wordpiece(text * 9, 60, lowercase)
        export_bert(model, tmp_path)
        loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
        found = loaded("Cat Café", "mats")
        ids = [model.tokenizer.encode(x).tolist() for x in ("Cat Café", "mats")]
        cls, sep = model.tokenizer.cls_id, model.tokenizer.sep_id
        assert found["input_ids"] == [cls, *ids[0], sep, *ids[1], sep]
        assert ("token_type_ids" in found) == (config.num_segments == 2)
        assert (loaded.mask_token, loaded.pad_token) == ("[MASK]", "[PAD]")
        theirs = transformers.AutoModel.from_pretrained(tmp_path).eval()
        theirs(**loaded("Cat", return_tensors="pt"))
    model.tokenizer = None
    export_bert(model, tmp_path)
    assert not [*tmp_path.glob("*tokenizer*")]


# === Variants ===


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RobertaModel", {"pad_token_id": 1}),
        ("RobertaForMaskedLM", {}),
        ("AlbertForPreTraining", {}),
        ("AlbertModel", {"embedding_size": 24, "hidden_act": "relu"}),
        ("ElectraForMaskedLM", {}),
        ("ElectraForPreTraining", {"embedding_size": 24}),
        ("DistilBertForMaskedLM", {}),
        ("DistilBertModel", {}),
        ("ElectraModel", {}),
    ],
)
def test_variants(name, options, tmp_path):
    theirs = their_model(name, **options)
    folder = saved(theirs, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    ours = getattr(zoo, architecture(settings)).from_preset(folder)
    inputs = texts_for(theirs)
    found = run(ours, inputs)
    expected = theirs_of(theirs, inputs)
    if isinstance(found, dict) and "sequence_output" in found:
        assert_close(found["sequence_output"], expected.last_hidden_state, MASK)
        if "pooled_output" in found:
            assert_close(found["pooled_output"], expected.pooler_output)
    elif name == "ElectraForPreTraining":  # a discriminator; its generator is new
        assert_close(found, expected.logits, MASK)
        ours = zoo.BertBackbone.from_preset(folder)
        theirs = theirs.electra
    else:
        theirs_logits = expected.get("prediction_logits", expected.get("logits"))
        assert_close(found["mlm_logits"], theirs_logits, MASK)
        if "nsp_logits" in found:
            assert_close(found["nsp_logits"], expected.sop_logits)
    bodies = sum(p.numel() for p in theirs.parameters())
    assert ours.count_params() == bodies
    if name != "ElectraForPreTraining":
        check_written(ours, name, inputs, expected, tmp_path / "ours")


RELEASED = {
    "bert_tiny": ("BertModel", {}),
    "bert_base": ("BertModel", {}),
    "bert_large": ("BertModel", {}),
    "roberta_base": ("RobertaForMaskedLM", {"type_vocab_size": 1}),
    "albert_base": ("AlbertModel", {"embedding_size": 128}),
    "electra_small": ("ElectraModel", {"embedding_size": 128}),
    "distilbert_base": ("DistilBertModel", {}),
}


@pytest.mark.parametrize("preset", RELEASED)
def test_presets_have_as_many_weights_as_theirs(preset):
    name, options = RELEASED[preset]
    cls = getattr(transformers, name)
    config = zoo.models.bert.backbone.PRESETS[preset]
    theirs = cls.config_class(
        vocab_size=config.vocab_size,
        max_position_embeddings=config.context_length + config.position_offset,
        hidden_size=config.width,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        **({} if "Distil" in name else {"intermediate_size": 4 * config.width}),
        **options,
    )
    with torch.device("meta"):
        count = sum(p.numel() for p in cls(theirs).base_model.parameters())
    assert count_parameters(preset) == count


# === Fine-tuning, and what does not fit ===


def edited(folder, edit, **fields):
    """Returns a copy of the folder with other weights and settings."""
    from safetensors.numpy import load_file, save_file

    arrays = load_file(folder / "model.safetensors")
    edit(arrays)
    save_file(arrays, folder / "model.safetensors")
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


@pytest.fixture
def folder(tmp_path):
    return saved(their_model("BertForPreTraining", layers=1), tmp_path)


def same(model, other, names):
    ours, theirs = named_weights(model), named_weights(other)
    return all(
        np.array_equal(engine().numpy(ours[n]), engine().numpy(theirs[n]))
        for n in names
    )


@pytest.mark.parametrize("name", ["BertModel", "AlbertModel", "DistilBertModel"])
def test_rates_of_dropout_go_there_and_back(name, tmp_path):
    theirs = their_model(name)
    rates = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}
    if theirs.config.model_type == "distilbert":
        rates = {"dropout": 0.3, "attention_dropout": 0.2}
    theirs.config.update(rates)
    ours = zoo.BertBackbone.from_preset(saved(theirs, tmp_path / "theirs"))
    assert (ours.config.dropout, ours.config.attention_dropout) == (0.3, 0.2)
    assert ours.bert.blocks[0].attention.attention_dropout.rate == 0.2
    export_bert(ours, tmp_path / "back")
    back = transformers.AutoConfig.from_pretrained(tmp_path / "back")
    assert {rate: getattr(back, rate) for rate in rates} == rates


def test_a_head_that_is_not_there_is_new(folder, caplog):
    pretrained = zoo.BertPretrainer.from_preset(folder)
    assert not caplog.messages
    ours = zoo.BertClassifier.from_preset(folder, num_classes=5, head_dropout=0.3)
    assert (
        "no weights for classifier/bias, classifier/kernel of BertClassifier: they are "
        "new" in caplog.text
    )
    shared = set(named_weights(ours)) - {"classifier/bias", "classifier/kernel"}
    assert same(ours, pretrained, shared)
    assert engine().numpy(ours.classifier.kernel).shape == (24, 5)
    caplog.clear()
    tagger = zoo.BertTagger.from_preset(folder)
    assert "tagger/kernel" in caplog.text and "pooler" not in caplog.text
    assert tagger.pooler is None
    caplog.clear()
    assert zoo.BertBackbone.from_preset(folder).pooler is not None
    assert not caplog.messages


@pytest.mark.parametrize("name", ["SequenceClassification", "TokenClassification"])
def test_names_of_classes_go_there_and_back(name, tmp_path):
    names = ("O", "B-PER", "I-PER")
    theirs = their_model(f"BertFor{name}", layers=1, id2label=dict(enumerate(names)))
    ours = zoo.from_preset(saved(theirs, tmp_path / "theirs"))
    assert ours.class_names == names
    export_bert(ours, tmp_path / "back")
    back = transformers.AutoConfig.from_pretrained(tmp_path / "back")
    assert back.id2label == dict(enumerate(names))
    assert back.label2id == {name: number for number, name in enumerate(names)}
    ours.class_names = ()
    export_bert(ours, tmp_path / "unnamed")
    unnamed = transformers.AutoConfig.from_pretrained(tmp_path / "unnamed")
    assert unnamed.id2label[2] == "LABEL_2"
    assert zoo.from_preset(tmp_path / "unnamed").class_names == ()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id2label": {"1": "b", "0": "a", "2": "c"}}, ("a", "b", "c")),
        ({"id2label": None, "label2id": {"b": 1, "a": 0}}, ("a", "b")),
        ({"id2label": None, "num_labels": 4}, ()),
        ({"id2label": {"0": "a", "2": "c"}}, None),
        ({"id2label": {"0": "a", "1": 7}}, None),
    ],
)
def test_how_names_of_classes_are_told(fields, expected):
    architectures = ["BertForSequenceClassification"]
    settings = {"model_type": "bert", "architectures": architectures, **fields}
    if expected is None:
        with pytest.raises(ValueError, match="id2label in config.json must give each"):
            config_fields(settings)
    else:
        assert config_fields(settings)["class_names"] == expected


def test_a_pooler_that_is_not_there_is_new(tmp_path, caplog):
    folder = saved(their_model("BertForMaskedLM", layers=1), tmp_path)
    assert zoo.BertPretrainer.from_preset(folder).next_sentence is None
    assert zoo.BertBackbone.from_preset(folder).pooler is None
    assert not caplog.messages
    zoo.BertClassifier.from_preset(folder)
    assert "pooler/bias, pooler/kernel" in caplog.text


def test_released_files_name_norms_and_heads_in_old_ways(folder, caplog):
    """bert-base-uncased does, for example."""
    expected = zoo.BertPretrainer.from_preset(folder)

    def edit(arrays):
        for name in [n for n in arrays if "LayerNorm" in n]:
            old = name.replace(".weight", ".gamma").replace(".bias", ".beta")
            arrays[old] = arrays.pop(name)
        table = arrays["bert.embeddings.word_embeddings.weight"]
        arrays["cls.predictions.decoder.weight"] = table.copy()
        arrays["bert.embeddings.position_ids"] = np.arange(14)[None]

    edited(folder, edit, architectures=["BertForMaskedLM"])
    ours = zoo.BertPretrainer.from_preset(folder)
    assert same(ours, expected, named_weights(expected))
    assert not caplog.messages


def test_old_taggers_come_with_a_pooler(tmp_path, caplog):
    theirs = their_model("BertForTokenClassification", layers=1, num_labels=3)
    folder = saved(theirs, tmp_path)
    expected = zoo.BertTagger.from_preset(folder)

    def edit(arrays):
        arrays["bert.pooler.dense.weight"] = np.ones((24, 24), "float32")
        arrays["bert.pooler.dense.bias"] = np.ones(24, "float32")

    ours = zoo.BertTagger.from_preset(edited(folder, edit))
    assert same(ours, expected, named_weights(expected))
    assert not caplog.messages
    # A token head does not fit texts; the pooler serves both.
    zoo.BertClassifier.from_preset(folder)
    assert "no weights for classifier/bias, classifier/kernel of" in caplog.text


def test_leftover_and_missing_keys_are_named(folder):
    def edit(arrays):
        del arrays["bert.encoder.layer.0.attention.self.key.bias"]
        arrays["score.weight"] = np.ones((2, 24), "float32")

    edited(folder, edit)
    for model in (zoo.BertPretrainer, zoo.BertClassifier):
        with pytest.raises(
            ValueError,
            match="Missing: encoder.layer.0.attention.self.key.bias. "
            "Unexpected: score.weight.",
        ):
            model.from_preset(folder)


def test_half_a_head_raises(folder):
    edited(folder, lambda arrays: arrays.pop("cls.predictions.bias"))
    with pytest.raises(ValueError, match="Missing: cls.predictions.bias."):
        zoo.BertPretrainer.from_preset(folder)


def test_a_tied_decoder_must_be_equal(folder):
    def edit(arrays):
        table = arrays["bert.embeddings.word_embeddings.weight"]
        arrays["cls.predictions.decoder.weight"] = table + 1

    with pytest.raises(ValueError, match="not equal to embeddings.word_embeddings"):
        zoo.BertPretrainer.from_preset(edited(folder, edit))


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("Bert", "is_decoder", True),
        ("Bert", "position_embedding_type", "relative_key"),
        ("Bert", "hidden_act", "tanh"),
        ("Bert", "tie_word_embeddings", False),
        ("Bert", "problem_type", "multi_label_classification"),
        ("Albert", "num_hidden_groups", 2),
    ],
)
def test_unsupported_options_are_named(kind, option, value):
    settings = getattr(transformers, f"{kind}Config")().to_dict()
    config_fields(settings)
    with pytest.raises(ValueError, match=f"{option}=|'{value}'"):
        config_fields(settings | {option: value})


def test_a_head_s_own_activation():
    settings = {
        "model_type": "electra",
        "architectures": ["ElectraForMaskedLM"],
        "hidden_act": "relu",
    }
    with pytest.raises(ValueError, match="only those with gelu are converted"):
        config_fields(settings)


def test_a_variant_is_fine_tuned_with_its_own_head(tmp_path, caplog):
    folder = saved(their_model("ElectraForMaskedLM", layers=1), tmp_path)
    ours = zoo.BertClassifier.from_preset(folder)
    assert ours.config.head == "electra" and ours.pooler is None
    assert "transform/bias, transform/kernel of BertClassifier" in caplog.text
    other = zoo.BertClassifier.from_preset(folder, head="bert")
    assert other.pooler is not None
    assert not hasattr(zoo.BertBackbone.from_preset(folder).config, "head")


@pytest.mark.parametrize(
    ("cls", "fields", "message"),
    [
        (zoo.BertBackbone, {"shared_layers": True}, "AlbertModel has embedding_width"),
        (
            zoo.BertBackbone,
            {"position_offset": 2, "embedding_width": 12},
            "RobertaModel has embedding_width=0",
        ),
        (
            zoo.BertTagger,
            {"num_segments": 0, "norm_epsilon": 1e-5},
            "DistilBertForTokenClassification has norm_epsilon=1e-12",
        ),
        (zoo.BertClassifier, {"position_offset": 2}, "has head='roberta'"),
        (zoo.BertClassifier, {"head": "distilbert"}, "has head='bert'"),
        (zoo.BertBackbone, {"num_segments": 0}, "DistilBert has no pooler here"),
        (zoo.BertPretrainer, {"position_offset": 2}, "Roberta has no pooler here"),
        (
            zoo.BertPretrainer,
            {"embedding_width": 12, "pooler": False, "activation": "relu"},
            "only those with gelu",
        ),
    ],
)
def test_mixtures_of_variants_are_not_written(cls, fields, message, tmp_path):
    model = cls(cls.Config(**SIZES | fields))
    with pytest.raises(ValueError, match=message):
        export_bert(model, tmp_path)
    assert not list(tmp_path.iterdir())
