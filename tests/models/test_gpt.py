"""GPT: configurations, calls, training on all forms of data, saving."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.numpy_weights import numpy_weights, with_numpy_weights
from zoo import GPT, GPTConfig
from zoo.engine.current import engine
from zoo.layers import Dropout
from zoo.presets.weights import named_weights

CONFIG = GPTConfig(
    vocab_size=17, context_length=12, num_layers=1, num_heads=2, width=16
)
LLAMA = {
    "norm": "rms",
    "positions": "rotary",
    "activation": "silu",
    "gated": True,
    "use_bias": False,
    "tie_embeddings": False,
    "num_key_value_heads": 1,
    "query_key_norm": True,
}
PALM = LLAMA | {
    "norm": "layer",
    "query_key_norm": False,
    "head_width": 12,
    "sublayers": "parallel_shared_norm",
}
RNG = np.random.default_rng(0)
# JAX compiles each operation anew for a new shape: the tests keep to this one.
WINDOWS = RNG.integers(CONFIG.vocab_size, size=(4, 13), dtype="int32")
INPUTS, TARGETS = WINDOWS[:, :-1], WINDOWS[:, 1:]

# Of `plain_torch_gpt`, in float64; `test_reference_losses` recomputes them.
RATE, MOMENTUM = 0.1, 0.9
LOSSES = [
    3.063553338749797,
    3.1763132160318786,
    2.928778617739525,
    2.9445971417230954,
    2.8991680417602623,
    2.8487713625485647,
    2.8805942852716253,
    2.822505254401363,
    2.853754939394083,
    2.8788604824970094,
]


def made(config=CONFIG, **kwargs) -> GPT:
    return with_numpy_weights(GPT(config, **kwargs))


def logits(model, inputs, **kwargs) -> np.ndarray:
    if keras.config.backend() != "jax":
        return ops.convert_to_numpy(model(inputs, **kwargs))
    # One compilation is quicker than one an operation.
    forward = engine().compile(
        lambda inputs: model(inputs, **kwargs), lambda: model.variables
    )
    return ops.convert_to_numpy(forward(inputs))


def changed(**fields) -> GPTConfig:
    return dataclasses.replace(CONFIG, **fields)


def sgd():
    return keras.optimizers.SGD(0.1)


def nats(scores, targets) -> np.ndarray:
    """Cross-entropy in float64."""
    scores = scores.astype("float64")
    log_sums = np.log(np.exp(scores).sum(-1))
    return log_sums - np.take_along_axis(scores, targets[..., None], -1)[..., 0]


# === Configuration ===


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 17}, "width=17, num_heads=2. Nearest widths: 16 and 18"),
        ({"num_heads": 0}, "num_heads must be a whole number from 1, got 0"),
        ({"vocab_size": 0}, "vocab_size must be a whole number from 1, got 0"),
        ({"num_layers": 1.5}, "num_layers must be a whole number from 1, got 1.5"),
        ({"context_length": "8"}, "context_length must be a whole number"),
        ({"activation": "swish"}, "activation must be one of .*relu.*got 'swish'"),
        ({"norm_position": "mid"}, "norm_position must be one of .*got 'mid'"),
        ({"positions": "none"}, "positions must be one of .*rotary.*got 'none'"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"width": 0}, "width must be a whole number from 1, got 0"),
        ({"feed_forward_width": -1}, "feed_forward_width must be"),
        ({"width": 6, "positions": "rotary"}, "num_heads must be even .*got width=6"),
        ({"window": -1}, "window must be a whole number from 0, got -1"),
    ],
)
def test_bad_configurations_say_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        changed(**fields)


def test_is_made_from_a_configuration():
    with pytest.raises(TypeError, match="GPT must be made from a GPTConfig"):
        GPT({"vocab_size": 17})


def test_initial_weights_have_gpt2_s_spread():
    model = GPT(GPTConfig(512, 8, 2, 2, 128))
    for name, weight in named_weights(model).items():
        found = ops.convert_to_numpy(weight)
        if name.endswith(("output/kernel", "contract/kernel")):
            assert abs(found.std() / (0.02 / 2) - 1) < 0.05, name
        elif name.endswith(("kernel", "embeddings")):
            assert abs(found.std() / 0.02 - 1) < 0.1, name
        else:
            assert np.all(found == name.endswith("gamma")), name


# === Calls ===


def test_logits_are_float32_of_the_right_shape():
    found = logits(made(), INPUTS)
    assert found.shape == (4, 12, 17)
    assert found.dtype == "float32"


@pytest.mark.parametrize(
    "fields",
    [
        LLAMA,
        PALM,
        LLAMA | {"window": 3, "sinks": 2},
        {"norm": "rms", "positions": "transformer_xl", "num_key_value_heads": 1},
    ],
    ids=["llama", "palm", "sinks", "chinchilla"],
)
def test_later_decoders_see_the_past_alone_and_learn(fields, tmp_path):
    model = made(changed(**fields))
    first = logits(model, INPUTS)
    other = INPUTS.copy()
    other[:, 7:] = (other[:, 7:] + 1) % 17
    difference = np.abs(first - logits(model, other))
    assert difference[:, :7].max() < 1e-5
    assert difference[:, 7:].max() > 1e-2
    start = model.get_weights()
    model.compile(sgd())
    losses = model.fit(WINDOWS, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for before, after in zip(start, model.get_weights(), strict=True):
        assert not np.array_equal(before, after)
    model.save_to_preset(tmp_path)
    loaded = GPT.from_preset(tmp_path)
    assert loaded.config == model.config
    assert np.array_equal(logits(loaded, INPUTS), logits(model, INPUTS))


def test_positions_are_rotated_in_full_precision():
    """In 16 bits, positions 2048 and 2049 have the same angle."""
    model = made(changed(**LLAMA), dtype="mixed_float16")
    block = model.blocks[0]
    x = ops.cast(RNG.normal(size=(1, 1, 16)), "float16")
    apart = [
        block.attention._project(
            x, None, positions=model.config.rotary.turns(np.array([place]), 8)
        )[0]
        for place in (2048, 2049)
    ]
    first, second = (ops.convert_to_numpy(ops.cast(q, "float32")) for q in apart)
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize(
    ("positions", "norm_position"),
    [
        ("learned", "pre"),
        ("sinusoidal", "post"),
        ("rotary", "pre"),
        ("t5_bias", "pre"),
        ("transformer_xl", "pre"),
    ],
)
def test_sees_the_past_alone_and_in_order(positions, norm_position):
    model = made(changed(positions=positions, norm_position=norm_position))
    first = logits(model, INPUTS)
    other = INPUTS.copy()
    other[:, 7:] = (other[:, 7:] + 1) % 17
    difference = np.abs(first - logits(model, other))
    assert difference[:, :7].max() < 1e-5
    assert difference[:, 7:].max() > 1e-2
    moved = INPUTS.copy()
    moved[:, [0, 1]] = moved[:, [1, 0]]
    assert np.abs(logits(model, moved) - first)[:, 7].max() > 1e-4


def test_padding_is_not_seen():
    model = made()
    mask = RNG.random(INPUTS.shape) < 0.7
    mask[:2, 0], mask[2:, :3] = True, False  # the last two are padded on the left
    other = np.where(mask, INPUTS, (INPUTS + 1) % 17)
    first, second = (
        logits(model, {"token_ids": ids, "padding_mask": mask})
        for ids in (INPUTS, other)
    )
    assert np.isfinite(first).all()
    assert np.abs(first - second)[mask].max() < 1e-5
    assert np.abs(logits(model, INPUTS) - logits(model, other))[mask].max() > 1e-2
    whole = logits(model, {"token_ids": INPUTS})
    assert np.abs(whole - logits(model, INPUTS)).max() < 1e-6


@pytest.mark.parametrize(
    ("positions", "window"), [("rotary", 0), ("t5_bias", 4), ("transformer_xl", 0)]
)
def test_relative_positions_do_not_know_where_a_text_begins(positions, window):
    model = made(changed(positions=positions, window=window))
    moved = np.roll(INPUTS, 3, axis=1)
    mask = np.arange(12) >= np.zeros((4, 1)) + 3
    padded = logits(model, {"token_ids": moved, "padding_mask": mask})
    assert np.abs(padded[:, 3:] - logits(model, INPUTS)[:, :9]).max() < 1e-5


def test_a_window_is_as_long_as_it_says():
    model = made(changed(positions="rotary", window=4))
    first = logits(model, INPUTS)
    other = INPUTS.copy()
    other[:, 2] = (other[:, 2] + 1) % 17
    difference = np.abs(first - logits(model, other)).max(axis=(0, 2))
    assert np.array_equal(difference > 1e-5, (np.arange(12) >= 2) & (np.arange(12) < 6))


def test_t5_s_blocks_share_one_bias():
    model = made(changed(positions="t5_bias", num_layers=2))
    names = [name for name in named_weights(model) if "relative" in name]
    assert names == ["relative_positions/embeddings"]
    own = made(changed(positions="transformer_xl", num_layers=2))
    names = [name for name in named_weights(own) if "relative" in name]
    assert len(names) == 6 and all(name.startswith("block_") for name in names)


def test_too_long_a_text():
    with pytest.raises(ValueError, match="13 tokens do not fit into context_length=12"):
        made()(WINDOWS)


# === Training ===


def counting_batches():
    """Ten batches of sequences that count in steps, modulo the vocabulary."""
    rng = np.random.default_rng(2)
    start, step = rng.integers(1, 17, size=(2, 10, 4, 1))
    return ((start + step * np.arange(13)) % 17).astype("int32")


def test_ten_losses_are_those_of_every_backend():
    model = made(changed(num_layers=2))
    model.compile(keras.optimizers.SGD(RATE, momentum=MOMENTUM))
    found = [
        model.fit(batch, verbose=0).history["loss"][0] for batch in counting_batches()
    ]
    assert found == pytest.approx(LOSSES, rel=1e-5)


def test_reference_losses():
    pytest.importorskip("torch")
    from tests.models.plain_torch_gpt import losses

    arrays = numpy_weights(GPT(changed(num_layers=2)))
    found = losses(arrays, counting_batches(), 2, CONFIG.num_heads, RATE, MOMENTUM)
    assert found == pytest.approx(LOSSES, rel=1e-9)


def test_every_form_of_data_is_the_same_step():
    ones = np.ones(INPUTS.shape, "float32")
    one_step = {"steps_per_epoch": 1}
    forms = {
        "windows": (WINDOWS, {}),
        "x, y, sample_weight": (INPUTS, {"y": TARGETS, "sample_weight": ones}),
        "a generator of windows": (itertools.repeat(WINDOWS), one_step),
        "a generator of pairs": (itertools.repeat((INPUTS, TARGETS)), one_step),
    }
    model = made()
    start, ends = model.get_weights(), {}
    model.compile(sgd())
    for name, (data, options) in forms.items():
        model.set_weights(start)
        model.fit(data, verbose=0, **options)
        ends[name] = model.get_weights()
    first = ends.pop("windows")
    assert not any(np.array_equal(*pair) for pair in zip(start, first, strict=True))
    for name, end in ends.items():
        for a, b in zip(first, end, strict=True):
            assert np.abs(a - b).max() < 1e-6, name


def test_weights_of_zero_do_not_count():
    weights = (np.arange(12) % 3 > 0).astype("float32") * np.ones((4, 1), "float32")
    weights[0] = 0
    model = made()
    expected = (nats(logits(model, INPUTS), TARGETS) * weights).sum() / weights.sum()
    model.compile(sgd())
    start, ends = model.get_weights(), []
    for targets in (TARGETS, np.where(weights > 0, TARGETS, 0)):
        model.set_weights(start)
        data = (INPUTS, targets.astype("int32"), weights)
        history = model.fit(data, verbose=0).history
        assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
        ends.append(model.get_weights())
    for a, b in zip(*ends, strict=True):
        assert np.abs(a - b).max() < 1e-6


def test_evaluate_is_the_mean_over_all_tokens():
    model = made()
    model.compile(sgd())
    ragged = np.concatenate([WINDOWS, WINDOWS[:1]])  # batches of 4 and of 1
    scores = logits(model, INPUTS)
    each = nats(scores, TARGETS)
    expected = np.concatenate([each, each[:1]]).mean()
    found = model.evaluate(ragged, batch_size=4, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    predicted = model.predict(INPUTS, verbose=0)
    assert np.abs(predicted - scores).max() < 1e-4


@pytest.mark.parametrize("bad", [17, -1])
def test_ids_outside_the_vocabulary(bad):
    model = made()
    model.compile(sgd())
    ids = WINDOWS.copy()
    ids[2, 12] = bad  # among the targets
    pair = (ids[:, :-1], ids[:, 1:])
    match = r"Token ids must be from 0 to 16 \(vocab_size=17\)"
    with pytest.raises(ValueError, match=match):
        model.fit(ids, verbose=0)
    with pytest.raises(ValueError, match=match):
        model.fit(itertools.repeat(ids), steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match=match):
        model.fit(pair, verbose=0)
    with pytest.raises(ValueError, match=match):
        model.fit(*pair, verbose=0)
    with pytest.raises(ValueError, match=match):
        model.fit(itertools.repeat(pair), steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match=match):
        model.evaluate(ids, verbose=0)


def test_remat_changes_nothing_even_with_dropout(monkeypatch):
    # Without a drawn seed, torch's dropout takes its numbers from elsewhere.
    call = Dropout.call
    monkeypatch.setattr(
        Dropout,
        "call",
        lambda self, x, training, seed=None: call(
            self, x, training, seed or self.draw()
        ),
    )
    ends, losses = [], []
    for remat in (False, True):
        keras.utils.set_random_seed(3)
        model = made(changed(dropout=0.1, remat=remat))
        model.compile(sgd())
        history = model.fit(WINDOWS, shuffle=False, verbose=0).history
        losses.append(history["loss"][0])
        ends.append(model.get_weights())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for a, b in zip(*ends, strict=True):
        assert np.abs(a - b).max() < 1e-6


def test_dropout_acts_in_training_alone():
    model = made(changed(dropout=0.5))
    assert np.abs(logits(model, INPUTS) - logits(made(), INPUTS)).max() < 1e-6
    trained = logits(model, INPUTS, training=True)
    assert np.abs(trained - logits(model, INPUTS)).max() > 0.1
    assert np.abs(trained - logits(model, INPUTS, training=True)).max() > 0.1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"positions": "t5_bias", "window": 3},
        pytest.param({"positions": "transformer_xl"}, marks=pytest.mark.slow),
        pytest.param({"positions": "rotary", "window": 3}, marks=pytest.mark.slow),
        LLAMA,
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(dtype, fields):
    model, full = made(changed(**fields), dtype=dtype), made(changed(**fields))
    close = {"mixed_bfloat16": 0.2, "mixed_float16": 0.02}[dtype]  # 8 and 11 bits
    found = logits(model, INPUTS)
    assert found.dtype == "float32"
    exact = logits(full, INPUTS)
    assert np.abs(found - exact).max() < close * exact.std()
    model.compile(sgd())
    losses = model.fit(WINDOWS, epochs=4, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(nats(exact, TARGETS).mean(), rel=close)
    assert losses[-1] < losses[0]
    assert {w.dtype for w in model.weights} == {"float32"}


# === Saving ===


def test_transformer_xl_s_positions_learn_and_are_saved(tmp_path):
    model = made(changed(positions="transformer_xl"))
    start = model.get_weights()
    model.compile(sgd())
    model.fit(WINDOWS, verbose=0)
    for before, after in zip(start, model.get_weights(), strict=True):
        assert not np.array_equal(before, after)
    model.save_to_preset(tmp_path)
    loaded = GPT.from_preset(tmp_path)
    assert loaded.config == model.config
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_bias_that_blocks_share_learns_and_is_saved(tmp_path):
    """Its gradient is the sum over all blocks, rematerialised or not."""
    config = changed(positions="t5_bias", window=5, num_layers=2)
    ends = []
    for remat in (False, True):
        model = made(dataclasses.replace(config, remat=remat))
        start = model.get_weights()
        model.compile(sgd())
        model.fit(WINDOWS, verbose=0)
        ends.append(model.get_weights())
    model.save(tmp_path / "gpt.keras")
    loaded = keras.models.load_model(tmp_path / "gpt.keras").get_weights()
    for before, plain, after, again in zip(start, *ends, loaded, strict=True):
        assert not np.array_equal(before, after)
        assert np.abs(after - plain).max() < 1e-6
        assert np.array_equal(after, again)


def test_saved_whole(tmp_path):
    model = made(changed(dropout=0.1, tie_embeddings=False, positions="rotary"))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    model.fit(WINDOWS, verbose=0)
    model.save(tmp_path / "gpt.keras")
    loaded = keras.models.load_model(tmp_path / "gpt.keras")
    assert isinstance(loaded, GPT)
    assert loaded.config == model.config
    assert np.array_equal(logits(loaded, INPUTS), logits(model, INPUTS))
    for kind in (lambda m: m.variables, lambda m: m.optimizer.variables):
        for a, b in zip(kind(model), kind(loaded), strict=True):
            assert np.array_equal(*map(ops.convert_to_numpy, (a, b))), a.path


def test_weights_saved(tmp_path):
    model, other = made(), GPT(CONFIG)
    model.save_weights(tmp_path / "gpt.weights.h5")
    other.load_weights(tmp_path / "gpt.weights.h5")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_configuration_survives():
    model = GPT(
        changed(norm_position="post", dropout=0.2), name="small", dtype="float16"
    )
    copied = GPT.from_config(model.get_config())
    assert copied.config == model.config
    assert copied.name == "small"
    assert copied.dtype_policy.name == "float16"
    with pytest.raises(ValueError, match="has no fields .'depth'"):
        GPT.from_config({"config": {"depth": 3}, "name": "x", "dtype": "float32"})
