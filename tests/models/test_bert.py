"""BERT: configurations, calls, pretraining, saving.

Outputs and gradients are compared with those of `transformers` in
tests/presets/test_convert_bert.py.
"""

import dataclasses
import re

import keras
import numpy as np
import pytest

import zoo
from tests.models.bert_texts import (
    EAGER,
    LENGTH,
    SIZES,
    VOCAB,
    masked_texts,
    run,
    step,
    texts,
)
from tests.training.toys import with_weights
from zoo.engine.current import engine
from zoo.models.bert.backbone import PRESETS
from zoo.presets import count_parameters
from zoo.presets.weights import named_weights
from zoo.training.finetuning.layer_rates import layerwise_factors

CONFIG = zoo.BertConfig(**SIZES, dropout=0.0)
TEXTS = texts()
MASK = TEXTS["padding_mask"]


def changed(**fields) -> zoo.BertConfig:
    return dataclasses.replace(CONFIG, **fields)


def made(cls=zoo.BertBackbone, config=CONFIG, **kwargs):
    return with_weights(cls(config, **kwargs), stddev=0.3)


@pytest.fixture(scope="module")
def backbone():
    return made()


# === Configurations ===


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 25}, "width=25, num_heads=3. Nearest widths: 24 and 27"),
        ({"vocab_size": 0}, "vocab_size must be a whole number from 1, got 0"),
        ({"num_layers": 1.5}, "num_layers must be a whole number from 1, got 1.5"),
        ({"num_segments": -1}, "num_segments must be a whole number from 0, got -1"),
        ({"embedding_width": "8"}, "embedding_width must be a whole number from 0"),
        ({"position_offset": -2}, "position_offset must be a whole number from 0"),
        ({"activation": "swish"}, "activation must be one of .*relu.*got 'swish'"),
        ({"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_bad_configurations_say_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        changed(**fields)


def test_is_made_from_a_configuration():
    for cls in (zoo.BertBackbone, zoo.BertPretrainer):
        with pytest.raises(
            TypeError, match=f"{cls.__name__} must be made from a BertConfig"
        ):
            cls({"vocab_size": 17})


def test_initial_weights_have_bert_s_spread():
    for name, weight in named_weights(zoo.BertPretrainer(CONFIG)).items():
        found = engine().numpy(weight)
        if name.endswith(("kernel", "embeddings")):
            assert np.abs(found).max() < 0.05, name
            # Of a normal of 0.02 without its tails.
            expected = 0.02 * 0.88 * (1 + np.array([-4, 4]) / np.sqrt(2 * found.size))
            assert expected[0] < found.std() < expected[1], name
        else:
            assert np.all(found == name.endswith("gamma")), name


@pytest.mark.parametrize(
    ("preset", "count"), [("bert_base", 109_482_240), ("bert_large", 335_141_888)]
)
def test_released_sizes(preset, count):
    assert count_parameters(preset) == count


@pytest.mark.parametrize("name", [n for n in PRESETS if n.startswith("bert_")])
def test_heads_are_64_wide(name):
    config = PRESETS[name]
    assert config.width == 64 * config.num_heads
    assert (config.vocab_size, config.context_length) == (30522, 512)


def test_options_change_the_count_as_they_should():
    config = zoo.BertConfig(100, 16, 2, 2, 8)
    count = count_parameters(config)
    embeddings = (100 + 16 + 2) * 8 + 16
    block = 12 * 64 + 9 * 8 + 4 * 8
    assert count == embeddings + 2 * block + 72

    def change(**fields):
        return count_parameters(dataclasses.replace(config, **fields)) - count

    assert change(pooler=False) == -72
    assert change(shared_layers=True) == -block
    assert change(num_segments=0) == -16
    assert change(position_offset=2) == 16
    assert change(embedding_width=4) == -embeddings // 2 + 4 * 8 + 8
    assert change(feed_forward_width=8) == -2 * (24 * 8 * 2 + 24)
    assert change(dropout=0.5) == change(remat=True) == 0


# === Calls ===


def test_outputs(backbone):
    found = run(backbone, TEXTS)
    assert {k: x.shape for k, x in found.items()} == {
        "sequence_output": (4, LENGTH, 24),
        "pooled_output": (4, 24),
    }
    alone = run(backbone, TEXTS["token_ids"])
    default = {
        "token_ids": TEXTS["token_ids"],
        "segment_ids": np.zeros_like(TEXTS["segment_ids"]),
        "padding_mask": np.ones_like(MASK),
    }
    for name, expected in run(backbone, default).items():
        assert np.abs(alone[name] - expected).max() < 1e-6
        assert np.abs(alone[name] - found[name]).max() > 1e-2
    assert made(config=changed(pooler=False)).pooler is None


def test_sees_both_ways_and_in_order(backbone):
    ids = TEXTS["token_ids"]
    first = run(backbone, ids)["sequence_output"]
    for place in (0, LENGTH - 1):
        other = ids.copy()
        other[:, place] = (other[:, place] + 1) % VOCAB
        moved = np.abs(run(backbone, other)["sequence_output"] - first)
        assert moved.max(axis=-1).min() > 1e-5
    turned = run(backbone, ids[:, ::-1].copy())["sequence_output"][:, ::-1]
    assert np.abs(turned - first).max() > 1e-2


def test_padding_is_not_seen(backbone):
    expected = run(backbone, TEXTS)
    other = dict(TEXTS, token_ids=np.where(MASK, TEXTS["token_ids"], 5))
    found = run(backbone, other)
    places = {"sequence_output": MASK, "pooled_output": slice(None)}
    for name, where in places.items():
        assert np.abs(found[name] - expected[name])[where].max() < 1e-5
    longer = {name: np.pad(x, ((0, 0), (0, 2))) for name, x in TEXTS.items()}
    found = run(backbone, longer)["sequence_output"][:, :LENGTH]
    assert np.abs(found - expected["sequence_output"])[MASK].max() < 1e-5


def test_rows_do_not_know_of_each_other(backbone):
    expected = run(backbone, TEXTS)
    others = {name: np.concatenate([x[3:], x[:3]]) for name, x in TEXTS.items()}
    others["padding_mask"][1:] = True
    found = run(backbone, others)["pooled_output"][0]
    assert np.abs(found - expected["pooled_output"][3]).max() < 1e-5


def test_inputs_that_do_not_fit(backbone):
    model, ids = backbone, TEXTS["token_ids"]
    with pytest.raises(ValueError, match="15 tokens do not fit into context_length=14"):
        model(np.ones((1, 15), "int32"))
    with pytest.raises(
        ValueError, match=r"got a dict of \['attention_mask', 'token_ids'\]"
    ):
        model({"token_ids": ids, "attention_mask": MASK})
    with pytest.raises(ValueError, match="BertBackbone has no loss.*BertPretrainer"):
        model.compile()


# === Pretraining ===


def nats(scores, classes):
    scores = scores.astype("float64")
    log_sums = np.log(np.exp(scores).sum(-1))
    return log_sums - np.take_along_axis(scores, classes[..., None], -1)[..., 0]


def test_losses_are_of_masked_places_and_of_pairs():
    model = made(zoo.BertPretrainer)
    batch = masked_texts()
    logits = run(model, batch)
    assert logits["mlm_logits"].shape == (4, 3, VOCAB)
    assert {x.dtype.name for x in logits.values()} == {"float32"}
    # Gathered before the head, as from all places after it.
    everywhere = run(model, TEXTS)["mlm_logits"]
    places = batch["mask_positions"][..., None]
    gathered = np.take_along_axis(everywhere, places, axis=1)
    assert np.abs(logits["mlm_logits"] - gathered).max() < 1e-5
    weights, ids = batch["mask_weights"], batch["mask_ids"]
    mlm = (nats(logits["mlm_logits"], ids) * weights).sum() / weights.sum()
    nsp = nats(logits["nsp_logits"], batch["next_sentence"]).mean()
    right = (logits["mlm_logits"].argmax(-1) == ids) * weights
    pairs = logits["nsp_logits"].argmax(-1) == batch["next_sentence"]
    model.compile(**EAGER)
    found = model.evaluate(batch, batch_size=3, verbose=0, return_dict=True)
    assert found == pytest.approx(
        {
            "loss": mlm + nsp,
            "mlm_loss": mlm,
            "nsp_loss": nsp,
            "mlm_accuracy": right.sum() / weights.sum(),
            "nsp_accuracy": pairs.mean(),
        },
        rel=1e-5,
    )


def test_predicts_masked_places():
    """A batch of `fit` is one of `predict` too."""
    model, batch = made(zoo.BertPretrainer), masked_texts()
    expected = run(model, batch)
    model.compile(**EAGER)
    found = model.predict(batch, batch_size=3, verbose=0)
    for name, logits in expected.items():
        assert np.abs(found[name] - logits).max() < 1e-5
    assert model.predict(TEXTS, verbose=0)["mlm_logits"].shape == (4, LENGTH, VOCAB)
    for places, message in (
        (np.full((4, 3), LENGTH), "mask_positions must be from 0 to 9"),
        (np.zeros(4, int), r"shape \(texts, places\), .* 4, got shape \(4,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(TEXTS | {"mask_positions": places}, verbose=0)


def test_micro_batches_and_remat_change_nothing():
    """Masked positions are weighted unevenly; every weight is trained."""
    batch = masked_texts()
    batch["mask_weights"][2] = 0  # a text in which nothing counts
    start, ends, logs = made(zoo.BertPretrainer), [], []
    for parts, remat in ((1, False), (4, True)):
        model = made(zoo.BertPretrainer, changed(remat=remat))
        model.compile(keras.optimizers.SGD(0.3), accumulate=parts, **EAGER)
        logs.append(step(model, batch))
        ends.append(model.get_weights())
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)
    for old, one, four in zip(start.get_weights(), *ends, strict=True):
        assert np.abs(one - four).max() < 1e-6
        assert np.abs(one - old).max() > 1e-5


def test_without_a_sentence_loss():
    model = made(zoo.BertPretrainer, changed(pooler=False))
    assert list(run(model, TEXTS)) == ["mlm_logits"]
    (phase,) = model.phases()
    assert dict(phase.objective) == {"mlm_loss": 1.0}
    model.check(masked_texts())  # its labels of pairs are passed over


@pytest.mark.parametrize(
    ("dtype", "error"), [("mixed_bfloat16", 0.1), ("mixed_float16", 0.01)]
)
def test_mixed_precision(dtype, error):
    """8 and 11 bits of precision; float16's gradients are scaled."""
    batch = masked_texts()
    exact = run(made(zoo.BertPretrainer), batch)["nsp_logits"]
    model = made(zoo.BertPretrainer, dtype=dtype)
    model.compile(keras.optimizers.SGD(0.1), **EAGER)
    losses = [step(model, batch)["nsp_loss"] for _ in range(4)]
    expected = nats(exact, batch["next_sentence"]).mean()
    assert losses[0] == pytest.approx(expected, rel=error)
    assert losses[-1] < losses[0]
    assert {w.dtype for w in model.weights} == {"float32"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("token_ids", np.full((4, LENGTH), VOCAB), "token_ids must be from 0 to 36"),
        ("token_ids", np.ones(4, int), r"shape \(texts, tokens\), got shape \(4,\)"),
        ("segment_ids", np.full((4, LENGTH), 2), "segment_ids must be from 0 to 1"),
        ("padding_mask", np.ones((4, 3)), r"token_ids' shape \(4, 10\), got \(4, 3\)"),
        ("mask_positions", np.full((4, 3), LENGTH), "positions must be from 0 to 9"),
        ("mask_positions", np.zeros((4, 2), int), "must have one shape"),
        ("mask_ids", np.full((4, 3), -1), "mask_ids must be from 0 to 36 .*got .* -1"),
        ("next_sentence", np.full(4, 2), "next_sentence must be from 0 to 1"),
        ("attention_mask", MASK, "got a dict of .*'attention_mask'"),
    ],
)
def test_batches_that_do_not_fit(field, value, message):
    model = zoo.BertPretrainer(CONFIG)
    with pytest.raises(ValueError, match=message):
        model.check(masked_texts() | {field: value})


def test_batches_that_lack_something():
    model = zoo.BertPretrainer(CONFIG)
    model.compile(**EAGER)
    message = "dicts of token_ids, mask_positions.*next_sentence.*segment_ids"
    for batch in (TEXTS, TEXTS["token_ids"]):
        with pytest.raises(ValueError, match=message):
            model.fit(batch, verbose=0)


# === Saving ===


def test_saved_whole(tmp_path):
    model = made(zoo.BertPretrainer, changed(dropout=0.1))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    history = model.fit(masked_texts(), verbose=0).history
    assert {k for k in history if k != "loss"} == {
        f"{head}_{term}" for head in ("mlm", "nsp") for term in ("loss", "accuracy")
    }
    model.save(tmp_path / "bert.keras")
    loaded = keras.models.load_model(tmp_path / "bert.keras")
    assert isinstance(loaded, zoo.BertPretrainer)
    assert loaded.config == model.config
    for kind in (lambda m: m.variables, lambda m: m.optimizer.variables):
        for a, b in zip(kind(model), kind(loaded), strict=True):
            assert np.array_equal(*map(engine().numpy, (a, b))), a.path


def test_weights_and_presets(tmp_path):
    model = made(zoo.BertPretrainer)
    model.save_weights(tmp_path / "bert.weights.h5")
    other = zoo.BertPretrainer(CONFIG)
    other.load_weights(tmp_path / "bert.weights.h5")
    model.save_to_preset(tmp_path)
    again = zoo.BertPretrainer.from_preset(tmp_path)
    assert again.config == CONFIG
    for a, b, c in zip(*(m.get_weights() for m in (model, other, again)), strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)


# === Fine-tuning's view of its layers ===


@pytest.mark.parametrize(
    ("fields", "blocks"),
    [({"num_layers": 3}, 3), ({"shared_layers": True, "embedding_width": 8}, 1)],
)
def test_rates_fall_from_the_head_down(fields, blocks):
    config = zoo.BertClassifierConfig(**SIZES | {"num_layers": 3} | fields)
    model = zoo.BertClassifier(config)
    factors = layerwise_factors(model.stack(), 0.5)
    for name, weight in named_weights(model).items():
        if not name.startswith("bert/"):
            expected = 1
        elif block := re.match(r"bert/block_(\d+)/", name):
            expected = 0.5 ** (blocks - int(block[1]))
        else:
            expected = 0.5 ** (blocks + 1)
        assert factors.get(id(weight), 1) == expected, name


def test_embeddings_learn_slowest():
    """One step of plain SGD moves each weight by its rate times its gradient."""
    moved = []
    for decay in (1.0, 0.5):
        model = made(zoo.BertPretrainer)
        before = {
            k: np.array(engine().numpy(w)) for k, w in named_weights(model).items()
        }
        model.compile(keras.optimizers.SGD(0.1), layer_decay=decay, **EAGER)
        step(model, masked_texts())
        after = named_weights(model)
        moved.append({k: engine().numpy(after[k]) - x for k, x in before.items()})
    for part, factor in (
        ("bert/token_embedding/embeddings", 0.25),
        ("bert/block_0/feed_forward/expand/kernel", 0.5),
        ("masked_lm/transform/kernel", 1),
    ):
        assert np.abs(moved[1][part] - factor * moved[0][part]).max() < 1e-6
        assert np.abs(moved[1][part]).max() > 1e-4
