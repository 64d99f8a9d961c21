"""Transformer: parity with torch, training, saving; decoding has its own file."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from tests.models.numpy_weights import numpy_weights
from tests.models.translators import CONFIG, RNG, compiled_logits, made
from zoo import Transformer, TransformerConfig
from zoo.presets.registry import count_parameters
from zoo.presets.weights import named_weights

# Two rows are padded, one on each side.
SOURCES = RNG.integers(3, 17, size=(4, 7), dtype="int32")
TARGETS = RNG.integers(3, 17, size=(4, 9), dtype="int32")
TARGETS[:, 0], TARGETS[:, 8] = 1, 2
SOURCES[1, 4:] = 0
TARGETS[2, 5:] = [2, 0, 0, 0]
PAIR = (SOURCES, TARGETS)

# Of `torch.nn.Transformer`, in float64; `test_reference_losses` recomputes them.
RATE, MOMENTUM = 0.1, 0.9
LOSSES = [
    3.4145088749720434,
    2.9915779468968804,
    2.7940916616365463,
    2.5844793625586235,
    2.734688841140231,
    2.615770774155964,
    2.897779606987154,
    2.8889089289378296,
    2.8260003690857185,
    2.626210498400015,
]


def changed(**fields) -> TransformerConfig:
    return dataclasses.replace(CONFIG, **fields)


DEEP = changed(num_layers=2)


def sgd(rate=0.1):
    return keras.optimizers.SGD(rate)


def reference():
    pytest.importorskip("torch")
    from tests.models.torch_transformer import Reference

    return Reference(DEEP, numpy_weights(Transformer(DEEP)))


# === Configuration ===


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 17}, "width=17, num_heads=2. Nearest widths: 16 and 18"),
        ({"num_layers": 0}, "num_layers must be a whole number from 1, got 0"),
        ({"feed_forward_width": -1}, "feed_forward_width must be"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"label_smoothing": -0.1}, "label_smoothing must be in"),
        ({"end_id": 1}, r"three different ids from 0 to 16, got \(0, 1, 1\)"),
        ({"begin_id": 17}, r"three different ids from 0 to 16, got \(0, 17, 2\)"),
    ],
)
def test_bad_configurations_say_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        changed(**fields)


def test_parameters_are_the_paper_s():
    """Table 3, in millions; the paper rounds the vocabulary."""
    for name, millions in (("transformer_base", 65), ("transformer_big", 213)):
        config = zoo.models.language.transformer.PRESETS[name]
        d, f = config.width, config.feed_forward_width
        attention, norm = 4 * (d * d + d), 2 * d
        layer = 3 * attention + 2 * (2 * d * f + f + d) + 5 * norm
        expected = config.vocab_size * d + config.num_layers * layer
        assert count_parameters(name) == expected
        assert expected / 1e6 == pytest.approx(millions, rel=0.03)


def test_variance_is_one_where_embeddings_enter_and_leave():
    model = Transformer(TransformerConfig(512, 8, 1, 2, 128, dropout=0.0))
    table = ops.convert_to_numpy(model.token_embedding.embeddings)
    assert table.std() * 128**0.5 == pytest.approx(1, rel=0.02)
    scores = compiled_logits(model)(RNG.integers(3, 512, size=(2, 2, 8)))
    assert scores.std() == pytest.approx(1, rel=0.1)


# === Calls ===


def test_parity_with_torch():
    """Logits, the smoothed loss, and the gradient of every weight."""
    theirs = reference()
    import torch

    sources, targets = (torch.tensor(x, dtype=torch.int64) for x in PAIR)
    expected = theirs(sources, targets[:, :-1]).detach().numpy()
    model = made(DEEP)
    found = compiled_logits(model)((SOURCES, TARGETS[:, :-1]))
    assert np.abs(found - expected).max() < 1e-4
    before = numpy_weights(model)
    model.compile(sgd(1.0))
    history = model.fit(*PAIR, verbose=0).history
    loss = theirs.loss(sources, targets)
    assert history["loss"][0] == pytest.approx(loss.item(), abs=1e-5)
    loss.backward()
    steps = {
        name: before[name] - ops.convert_to_numpy(weight)
        for name, weight in named_weights(model).items()
    }
    compared = 0
    for parameter, step in theirs.pairs(steps):
        difference = np.abs(parameter.grad.numpy() - step)
        assert difference.max() < 1e-4
        compared += parameter.numel()
    assert compared == model.count_params()


def test_targets_see_the_past_alone_and_sources_no_padding():
    score = compiled_logits(made())
    first = score((SOURCES, TARGETS[:, :-1]))
    assert (first.shape, first.dtype) == ((4, 8, 17), "float32")
    later = TARGETS[:, :-1].copy()
    later[:, 5:] = (later[:, 5:] + 1) % 17
    difference = np.abs(first - score((SOURCES, later)))
    assert difference[:, :5].max() < 1e-5
    assert difference[:, 5:].max() > 1e-2
    wider = score((np.pad(SOURCES, ((0, 0), (0, 2))), TARGETS[:, :-1]))
    assert np.abs(wider - first).max() < 1e-5
    moved = SOURCES[:, ::-1].copy()
    assert np.abs(score((moved, TARGETS[:, :-1])) - first)[0].max() > 1e-3


def test_a_dict_is_the_same():
    model = made()
    inputs = {"source_ids": SOURCES, "target_ids": TARGETS[:, :-1]}
    found = model.predict(inputs, verbose=0)
    expected = model.predict((SOURCES, TARGETS[:, :-1]), verbose=0)
    assert np.array_equal(found, expected)


def test_too_long_a_text():
    with pytest.raises(ValueError, match="13 tokens do not fit into context_length=12"):
        made()((np.ones((1, 13), "int32"), TARGETS[:1]))


# === Training ===


def reversed_batches():
    """Ten batches whose targets are reversed sources, some of them short."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        sources = rng.integers(3, 17, size=(4, 6), dtype="int32")
        targets = np.pad(sources[:, ::-1], ((0, 0), (1, 1)))
        targets[:, 0], targets[:, 7] = 1, 2
        sources[0, 3:], targets[0, 4:] = 0, [2, 0, 0, 0]
        targets[0, 1:4] = sources[0, 2::-1]
        yield sources, targets


def test_ten_losses_are_those_of_every_backend():
    model = made(DEEP)
    model.compile(keras.optimizers.SGD(RATE, momentum=MOMENTUM))
    found = [
        model.fit(*batch, verbose=0).history["loss"][0] for batch in reversed_batches()
    ]
    assert found == pytest.approx(LOSSES, rel=1e-5)


def test_reference_losses():
    theirs = reference()
    from tests.models.torch_transformer import losses

    found = losses(theirs, reversed_batches(), RATE, MOMENTUM)
    assert found == pytest.approx(LOSSES, rel=1e-9)


@pytest.mark.slow
def test_weights_micro_batches_and_remat_leave_the_step_as_it_is():
    """Rows differ in length; weights given to padding are ignored."""
    ones = np.ones(TARGETS.shape, "float32")
    ways = {
        "plain": (CONFIG, 1, PAIR),
        "a pair, weights": (CONFIG, 1, (PAIR, ones)),
        "micro-batches": (CONFIG, 2, PAIR),
        "remat": (changed(remat=True), 1, PAIR),
    }
    ends = {}
    for way, (config, accumulate, data) in ways.items():
        model = made(config)
        start = model.get_weights()
        model.compile(sgd(), accumulate=accumulate)
        model.fit(*data, shuffle=False, verbose=0)
        ends[way] = model.get_weights()
    plain = ends.pop("plain")
    assert not any(np.array_equal(*pair) for pair in zip(start, plain, strict=True))
    for way, end in ends.items():
        for a, b in zip(plain, end, strict=True):
            assert np.abs(a - b).max() < 1e-6, way


def test_evaluate_weighs_by_tokens():
    """The mean over all labels, for batches of 4 and 1, and without smoothing."""
    model = made()
    model.compile(sgd())
    ragged = [np.concatenate([x, x[2:3]]) for x in PAIR]
    logits = compiled_logits(model)((SOURCES, TARGETS[:, :-1])).astype("float64")
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    labels = TARGETS[:, 1:]
    nats = -np.take_along_axis(log_probs, labels[..., None], -1)[..., 0]
    smooth = 0.9 * nats - 0.1 * log_probs.mean(-1)
    counts = (labels > 0) * np.array([[1], [1], [2], [1]])
    found = model.evaluate(*ragged, batch_size=4, verbose=0, return_dict=True)
    assert found["nats"] == pytest.approx((nats * counts).sum() / counts.sum(), 1e-5)
    assert found["loss"] == pytest.approx((smooth * counts).sum() / counts.sum(), 1e-5)


def test_dropout_acts_in_training_alone():
    pair = (SOURCES, TARGETS[:, :-1])
    model, whole = made(changed(dropout=0.5)), compiled_logits(made())(pair)
    assert np.abs(compiled_logits(model)(pair) - whole).max() < 1e-6
    train = compiled_logits(model, training=True)
    first, second = train(pair), train(pair)
    assert min(np.abs(a - b).max() for a, b in ((first, whole), (first, second))) > 0.1


@pytest.mark.slow
def test_half_precision():
    model = made(DEEP, dtype="mixed_bfloat16")
    model.compile(sgd())
    batch = next(reversed_batches())
    losses = model.fit(*batch, epochs=3, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(LOSSES[0], rel=2e-2)  # 8 bits
    assert losses[-1] < losses[0]
    assert {w.dtype for w in model.weights} == {"float32"}


def with_bad(array, row, column, value):
    bad = array.copy()
    bad[row, column] = value
    return bad


EMPTY = with_bad(SOURCES, 3, slice(None), 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((with_bad(SOURCES, 1, 2, 17), TARGETS), r"from 0 to 16 \(vocab_size=17\)"),
        ((SOURCES, with_bad(TARGETS, 1, 2, -1)), "got values from -1 to"),
        ((EMPTY, TARGETS), "sources must .* only padding .* in row 3"),
        ((SOURCES, 0 * TARGETS), "targets must .* only padding .* in row 0"),
        ((np.ones((4, 13), int), TARGETS), "at most 12 tokens .* got 13 and 9"),
        ((SOURCES, np.ones((4, 14), int)), "from begin to end, at most 13"),
        ((SOURCES, TARGETS.astype("float32")), "targets must be integer ids"),
        ((SOURCES,), r"A batch must be \(source_ids, target_ids\).*got 1 arrays"),
        ((PAIR, np.ones((4, 8))), r"of shape \(4, 9\) or \(4,\), got shape \(4, 8\)"),
    ],
)
def test_bad_batches_say_what_is_wrong(data, message):
    model = made()
    model.compile(sgd())
    with pytest.raises(ValueError, match=message):
        model.fit(*data, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.fit(itertools.repeat(data), steps_per_epoch=1, verbose=0)


# === Saving ===


def test_saved_whole(tmp_path):
    model = made(changed(dropout=0.1))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    model.fit(*PAIR, verbose=0)
    model.save(tmp_path / "transformer.keras")
    loaded = keras.models.load_model(tmp_path / "transformer.keras")
    assert loaded.config == model.config
    for kind in (lambda m: m.variables, lambda m: m.optimizer.variables):
        for a, b in zip(kind(model), kind(loaded), strict=True):
            assert np.array_equal(*map(ops.convert_to_numpy, (a, b))), a.path


def test_saved_as_a_preset(tmp_path):
    from zoo.data import train_joint_bpe

    model = Transformer(changed(vocab_size=300))
    model.tokenizer = train_joint_bpe([("one two", "eins zwei")], 300)
    model.save_to_preset(tmp_path)
    loaded = Transformer.from_preset(tmp_path)
    assert loaded.tokenizer == model.tokenizer
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(ValueError, match="comes without weights"):
        Transformer.from_preset("transformer_base")
