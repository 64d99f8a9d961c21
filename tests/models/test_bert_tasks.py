"""BERT's tasks: what counts in their losses, what they predict, what they refuse.

Outputs and gradients are compared with those of `transformers` in
tests/presets/test_convert_bert.py.
"""

import dataclasses

import keras
import numpy as np
import pytest

import zoo
from tests.models.bert_texts import EAGER, LENGTH, SIZES, VOCAB, run, step, texts
from tests.models.test_bert import nats
from tests.training.toys import with_weights
from zoo.data.tasks.questions import best_spans
from zoo.engine.current import engine

RNG = np.random.default_rng(5)
TEXTS = texts()
MASK = TEXTS["padding_mask"]


def classifier(num_classes=3, **fields):
    config = zoo.BertClassifierConfig(**SIZES, num_classes=num_classes, **fields)
    return with_weights(zoo.BertClassifier(config), stddev=0.4)


def tagger():
    config = zoo.BertTaggerConfig(**SIZES, num_classes=3)
    return with_weights(zoo.BertTagger(config), stddev=0.4)


def reader():
    return with_weights(zoo.BertSpanQA(zoo.BertConfig(**SIZES)), stddev=0.4)


def evaluated(model, *batch):
    model.compile(**EAGER)
    return model.test_on_batch(*batch, return_dict=True)


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (zoo.BertClassifierConfig, {"num_classes": 0}, "number from 1, got 0"),
        (zoo.BertTaggerConfig, {"num_classes": 1}, "number from 2, got 1"),
        (zoo.BertClassifierConfig, {"head_dropout": 1}, "head_dropout must be in"),
        (zoo.BertTaggerConfig, {"width": 25}, "Nearest widths"),
        (zoo.BertClassifierConfig, {"head": "gpt"}, "head must be one of .*'electra'"),
    ],
)
def test_bad_configurations_say_what_is_wrong(config, fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config(**SIZES), **fields)


def test_configurations_are_of_the_task():
    with pytest.raises(TypeError, match="made from a BertClassifierConfig"):
        zoo.BertClassifier(zoo.BertConfig(**SIZES))
    # Nor with one of more fields, which its own would not be when it is read again.
    with pytest.raises(TypeError, match="BertSpanQA must be made from a BertConfig"):
        zoo.BertSpanQA(zoo.BertClassifierConfig(**SIZES))


# === Classes ===


def test_classes_with_weights():
    model, classes = classifier(), np.array([0, 2, 1, 1], "int32")
    weights = np.array([1, 0, 2, 0.5], "float32")
    probabilities = model.predict_probabilities(TEXTS)
    assert probabilities.shape == (4, 3)
    assert np.abs(probabilities.sum(1) - 1).max() < 1e-6
    right = probabilities.argmax(-1) == classes
    each = -np.log(probabilities[np.arange(4), classes])
    assert evaluated(model, TEXTS, classes, weights) == pytest.approx(
        {"loss": (each * weights).sum() / weights.sum(), "accuracy": right.mean()},
        rel=1e-5,
    )


def test_regression():
    model = classifier(num_classes=1)
    numbers = np.array([0.1, -2, 1, 3], "float32")
    scores = run(model, TEXTS)
    assert scores.shape == (4, 1)
    found = evaluated(model, TEXTS, numbers)
    squares = np.square(scores[:, 0] - numbers)
    assert found == pytest.approx({"loss": squares.mean()}, rel=1e-5)
    with pytest.raises(ValueError, match="A regression has no classes"):
        model.predict_probabilities(TEXTS)


def test_the_head_has_a_dropout_of_its_own():
    for fields, rate in (({}, 0.1), ({"head_dropout": 0.4}, 0.4)):
        model = classifier(**fields)
        assert (model.dropout.rate, model.bert.dropout.rate) == (rate, 0.1)


@pytest.mark.parametrize(
    ("head", "dropped"), [("bert", 0.5), ("roberta", 0.75), ("electra", 0.75)]
)
def test_heads_that_drop_what_they_read(head, dropped):
    """The fraction of zeros where both dense layers are identities."""
    width = SIZES["width"]
    config = zoo.BertClassifierConfig(
        **SIZES, num_classes=width, dropout=0.0, head_dropout=0.5, head=head
    )
    model = zoo.BertClassifier(config)
    for layer in (model.transform or model.pooler, model.classifier):
        layer.kernel.assign(np.eye(width))
    scores = engine().numpy(model(texts(64)["token_ids"], training=True))
    assert abs(np.mean(scores == 0) - dropped) < 0.05


# === Tags ===


def test_tags_that_do_not_count():
    model, tags = tagger(), RNG.integers(3, size=MASK.shape)
    tags[0, 2:5] = -100
    weights = RNG.integers(3, size=MASK.shape).astype("float32")
    there = MASK * (tags >= 0)
    counted = weights * there
    scores = run(model, TEXTS)
    assert scores.shape == (4, LENGTH, 3)
    right = scores.argmax(-1) == tags
    found = evaluated(model, TEXTS, tags, weights)
    assert found == pytest.approx(
        {
            "loss": (nats(scores, np.maximum(tags, 0)) * counted).sum() / counted.sum(),
            "accuracy": (right * there).sum() / there.sum(),
        },
        rel=1e-5,
    )
    same = np.where(MASK, tags, 1)  # whatever the tag of padding
    assert evaluated(model, TEXTS, same, weights) == pytest.approx(found, rel=1e-6)
    predicted = model.predict_tags(TEXTS)
    assert predicted.dtype == "int32"
    assert np.array_equal(predicted, np.where(MASK, scores.argmax(-1), -100))
    shares = model.predict_probabilities(TEXTS)
    expected = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert np.abs(shares - expected)[MASK].max() < 1e-5


# === Spans ===


def test_spans():
    model = reader()
    spans = np.array([[0, 3], [2, 2], [1, 5], [4, 5]])
    weights = np.array([1, 0, 2, 1], "float32")
    logits = run(model, TEXTS)
    start, end = logits["start_logits"], logits["end_logits"]
    assert start.shape == (4, LENGTH)
    assert np.exp(start)[~MASK].max() == np.exp(end)[~MASK].max() == 0
    each = (nats(start, spans[:, 0]) + nats(end, spans[:, 1])) / 2
    right = (start.argmax(1) == spans[:, 0]) & (end.argmax(1) == spans[:, 1])
    found = evaluated(model, TEXTS, spans, weights)
    assert found == pytest.approx(
        {
            "loss": (each * weights).sum() / weights.sum(),
            "accuracy": right.mean(),
        },
        rel=1e-5,
    )
    predicted, scores = model.predict_spans(TEXTS, max_length=3)
    rows = np.arange(4)
    assert np.take_along_axis(MASK, predicted, axis=1).all()
    sums = start[rows, predicted[:, 0]] + end[rows, predicted[:, 1]]
    assert np.abs(scores - sums).max() < 1e-4


@pytest.mark.parametrize("max_length", [1, 3, 20])
def test_the_best_spans_are_the_best_of_all(max_length):
    start, end = RNG.normal(size=(2, 6, 8)).astype("float32")
    spans, scores = best_spans(start, end, max_length)
    for row in range(6):
        found = {
            (i, j): start[row, i] + end[row, j]
            for i in range(8)
            for j in range(i, min(i + max_length, 8))
        }
        best = max(found, key=found.get)
        assert tuple(spans[row]) == best
        assert scores[row] == found[best]


# === What does not fit ===


@pytest.mark.parametrize(
    ("make", "targets", "message"),
    [
        (classifier, np.array([0, 1, 2, 3]), "classes must be from 0 to 2"),
        (
            classifier,
            np.array([0, 1, 0.5, 2]),
            "classes must be whole numbers, got 0.5",
        ),
        (
            classifier,
            np.zeros(5, int),
            r"needs targets of shape \(4,\), got shape \(5,\)",
        ),
        (classifier, np.zeros((4, 1), int), r"of shape \(4,\), got shape \(4, 1\)"),
        (lambda: classifier(1), np.full(4, np.nan), "numbers must be finite"),
        (tagger, np.full(MASK.shape, 3), "tags must be from 0 to 2"),
        (
            tagger,
            np.full(MASK.shape, -1),
            "tags must be from 0 to 2, or -100, got .* -1",
        ),
        (tagger, np.zeros(4, int), r"of shape \(4, 10\), got shape \(4,\)"),
        (reader, np.zeros(4, int), r"targets of shape \(4, 2\), got shape \(4,\)"),
        (reader, np.full((4, 2), LENGTH), "spans must be from 0 to 9"),
        (reader, np.array([[0, 1]] * 3 + [[2, 1]]), r"got \[2, 1\] in row 3"),
        (reader, np.array([[0, 9]] * 4), r"both in the text, got \[0, 9\] in row 1"),
    ],
)
def test_targets_that_do_not_fit(make, targets, message):
    with pytest.raises(ValueError, match=message):
        make().check((TEXTS, targets))


@pytest.mark.parametrize(
    ("make", "targets", "weights", "message"),
    [
        (
            tagger,
            np.zeros(MASK.shape, int),
            np.ones(5),
            r"of shape \(4,\) or \(4, 10\), got shape \(5,\)",
        ),
        (classifier, np.zeros(4, int), np.ones((4, 1)), r"of shape \(4,\), got"),
        (reader, np.zeros((4, 2), int), np.full(4, np.nan), "all finite"),
        (reader, np.zeros((4, 2), int), np.full(4, -1.0), "from 0 up"),
    ],
)
def test_weights_that_do_not_fit(make, targets, weights, message):
    with pytest.raises(ValueError, match=message):
        make().check((TEXTS, targets, weights))


@pytest.mark.parametrize(
    "make",
    [
        classifier,
        pytest.param(tagger, marks=pytest.mark.slow),
        pytest.param(reader, marks=pytest.mark.slow),
    ],
)
def test_float16_is_near_float32(make):
    targets = {
        classifier: np.array([0, 2, 1, 1]),
        tagger: RNG.integers(3, size=MASK.shape),
        reader: np.array([[0, 3], [2, 2], [1, 5], [4, 5]]),
    }[make]
    model = make()
    exact = evaluated(model, TEXTS, targets)
    config = dataclasses.replace(model.config, dropout=0.0)
    half = type(model)(config, dtype="mixed_float16")
    half.set_weights(model.get_weights())
    assert evaluated(half, TEXTS, targets)["loss"] == pytest.approx(
        exact["loss"], rel=0.01
    )
    half.compile(keras.optimizers.SGD(0.02), **EAGER)
    losses = [step(half, TEXTS, targets)["loss"] for _ in range(8)]
    # Updates that are skipped until the scale fits count for nothing.
    losses = [loss for loss in losses if loss]
    assert len(losses) > 3 and losses[-1] < losses[0]


def test_inputs_that_do_not_fit():
    model = classifier()
    model.compile(**EAGER)
    with pytest.raises(ValueError, match=r"trained with \(inputs, targets\[, weights"):
        model.fit(TEXTS, verbose=0)
    with pytest.raises(ValueError, match="token_ids must be from 0 to 36"):
        model.fit(TEXTS["token_ids"] + VOCAB, np.zeros(4, int), verbose=0)
    with pytest.raises(ValueError, match="token_ids must be from 0 to 36"):
        model.predict_probabilities(TEXTS["token_ids"] + VOCAB)
    with pytest.raises(ValueError, match="max_length must be a whole number from 1"):
        reader().predict_spans(TEXTS, max_length=0)


# === Presets ===


def test_saved_and_loaded(tmp_path):
    model = classifier(num_classes=5, head_dropout=0.2)
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for loaded in (
        zoo.BertClassifier.from_preset(tmp_path / "preset"),
        keras.models.load_model(tmp_path / "model.keras"),
    ):
        assert loaded.config == model.config
        for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
            assert np.array_equal(a, b)


def test_fine_tuning_from_our_own_folders(tmp_path, caplog):
    pretrainer = with_weights(zoo.BertPretrainer(zoo.BertConfig(**SIZES)))
    pretrainer.save_to_preset(tmp_path / "pretrainer")
    ours = zoo.BertClassifier.from_preset(
        tmp_path / "pretrainer", num_classes=4, dropout=0.0
    )
    assert ours.config == zoo.BertClassifierConfig(**SIZES, num_classes=4, dropout=0.0)
    assert (
        "classifier/bias, classifier/kernel of BertClassifier: they are" in caplog.text
    )
    for part in ("bert", "pooler"):
        pairs = (getattr(m, part).get_weights() for m in (ours, pretrainer))
        assert all(np.array_equal(*pair) for pair in zip(*pairs, strict=True))
    caplog.clear()
    ours.save_to_preset(tmp_path / "classifier")
    backbone = zoo.BertBackbone.from_preset(tmp_path / "classifier")
    assert not caplog.messages and backbone.pooler is not None
    backbone.save_to_preset(tmp_path / "backbone")
    tagger = zoo.BertTagger.from_preset(tmp_path / "backbone", num_classes=7)
    assert "tagger/bias, tagger/kernel of BertTagger" in caplog.text
    assert tagger.config.num_classes == 7
    with pytest.raises(ValueError, match="is a BertClassifier, not a GPT"):
        zoo.GPT.from_preset(tmp_path / "classifier")
    with pytest.raises(ValueError, match="is a GPT, not a BertTagger"):
        zoo.BertTagger.from_preset("gpt2", load_weights=False)


def test_the_body_must_be_there_whole(tmp_path):
    from safetensors.numpy import load_file, save_file

    zoo.BertBackbone(zoo.BertConfig(**SIZES)).save_to_preset(tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    del arrays["bert/embedding_norm/beta"]
    arrays["bert/block_7/attention_norm/beta"] = np.zeros(24, "float32")
    save_file(arrays, tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError,
        match="Missing: bert/embedding_norm/beta. "
        "Unexpected: bert/block_7/attention_norm/beta.",
    ):
        zoo.BertClassifier.from_preset(tmp_path)


def test_named_configurations_make_tasks():
    model = zoo.BertClassifier.from_preset(
        "bert_tiny", load_weights=False, num_classes=3, **SIZES
    )
    assert model.config == zoo.BertClassifierConfig(**SIZES, num_classes=3)
    assert zoo.presets.count_parameters(model.config) == model.count_params()
