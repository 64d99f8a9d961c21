"""RecurrentLM: training with and without carried state, generation, saving."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.numpy_weights import numpy_weights, with_numpy_weights
from zoo import RecurrentLM, RecurrentLMConfig
from zoo.data import Streams
from zoo.engine.current import engine
from zoo.presets.registry import count_parameters
from zoo.presets.weights import named_weights
from zoo.training.runs.checkpoint import Resume, save_checkpoint

V, T, B = 17, 5, 4
CONFIG = RecurrentLMConfig(V, T, num_layers=1, width=8)
CARRYING = dataclasses.replace(CONFIG, num_layers=2, carried_rows=B)
RNG = np.random.default_rng(0)
WINDOWS = RNG.integers(V, size=(B, T + 1), dtype="int32")
INPUTS = WINDOWS[:, :-1]
# Four batches a pass: ten updates cross two ends of the text.
STREAMS = Streams(RNG.integers(V, size=B * T * 4 + 3), T, B)
RATE, MOMENTUM = 0.5, 0.9

# Of `plain_torch_recurrent`, in float64; `test_reference_losses` recomputes them.
LOSSES = [
    2.8371186273078433,
    2.8232177089797905,
    2.8289860925543975,
    2.8495883723248783,
    2.7968817157637518,
    2.835538925750253,
    2.7576547147367814,
    2.830896364186079,
    2.750632162419336,
    2.846918211096179,
]


def made(config=CONFIG, **kwargs) -> RecurrentLM:
    return with_numpy_weights(RecurrentLM(config, **kwargs))


def changed(**fields) -> RecurrentLMConfig:
    return dataclasses.replace(CONFIG, **fields)


def logits(model, inputs) -> np.ndarray:
    forward = engine().compile(lambda inputs: model(inputs), lambda: model.variables)
    return ops.convert_to_numpy(forward(inputs))


def sgd():
    return keras.optimizers.SGD(RATE, momentum=MOMENTUM)


def state(model) -> np.ndarray:
    return ops.convert_to_numpy(model.carried.state)


class Losses(keras.callbacks.Callback):
    """The loss of each batch by itself."""

    def __init__(self):
        super().__init__()
        self.means = []

    def on_train_batch_end(self, batch, logs):
        self.means.append(float(logs["loss"]))

    @property
    def each(self):
        sums = np.cumsum(np.ones(len(self.means))) * self.means
        return np.diff(sums, prepend=0)


def train(model, updates, start=0, **options):
    losses = Losses()
    model.fit(
        STREAMS.batches(start),
        steps_per_epoch=updates,
        verbose=0,
        callbacks=[losses],
        **options,
    )
    return losses.each


@pytest.fixture(scope="module")
def carrying():
    """A model that carries state, compiled once; call it to reset."""
    model = made(CARRYING)
    model.compile(sgd())
    start = model.get_weights()

    def anew():
        model.set_weights(start)
        for variable in (model.carried.state, *model.optimizer.variables):
            if "float" in variable.dtype and "learning_rate" not in variable.path:
                variable.assign(np.zeros(variable.shape))
        return model

    return anew


# === Configuration ===


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell": "rnn"}, "cell must be one of .*elman.*got 'rnn'"),
        ({"width": 0}, "width must be a whole number from 1, got 0"),
        ({"carried_rows": -1}, "carried_rows must be a whole number from 0"),
        ({"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_bad_configurations_say_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        changed(**fields)


@pytest.mark.parametrize(
    ("name", "published"), [("lstm_ptb_medium", 20e6), ("lstm_ptb_large", 66e6)]
)
def test_parameters_are_as_many_as_published(name, published):
    assert count_parameters(name) == pytest.approx(published, rel=0.02)


# === Calls ===


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_sees_the_past_alone_and_in_order(cell):
    model = made(changed(cell=cell))
    forward = engine().compile(lambda x: model(x), lambda: model.variables)
    first = ops.convert_to_numpy(forward(INPUTS))
    assert first.shape == (B, T, V) and first.dtype == "float32"
    other, moved = INPUTS.copy(), INPUTS.copy()
    other[:, 3:] = (other[:, 3:] + 1) % V
    difference = np.abs(first - ops.convert_to_numpy(forward(other)))
    assert difference[:, :3].max() < 1e-6
    assert difference[:, 3:].max() > 1e-2
    moved[:, [0, 1]] = moved[:, [1, 0]]
    assert np.abs(ops.convert_to_numpy(forward(moved)) - first)[:, 2].max() > 1e-4


def test_padding_is_not_seen():
    model = made()
    mask = RNG.random(INPUTS.shape) < 0.7
    mask[0] = [False, False, True, False, True]
    found = logits(model, {"token_ids": INPUTS, "padding_mask": mask})
    ids = np.where(mask, INPUTS, (INPUTS + 1) % V)
    other = logits(model, {"token_ids": ids, "padding_mask": mask})
    assert np.abs(found - other)[mask].max() < 1e-6
    # As if there were none of it.
    row = np.concatenate([INPUTS[0, mask[0]], INPUTS[0, ~mask[0]]])
    alone = logits(model, np.tile(row, (B, 1)))[0, : mask[0].sum()]
    assert np.abs(found[0, mask[0]] - alone).max() < 1e-6


# === Training ===


def test_ten_losses_are_those_of_every_backend(carrying):
    """Two layers, with state carried over two passes."""
    assert train(carrying(), 10) == pytest.approx(LOSSES, rel=1e-5)


def test_reference_losses():
    pytest.importorskip("torch")
    import torch
    from torch.nn import functional

    from tests.models.plain_torch_recurrent import descend, language_model

    held = []

    def loss(update):
        batch = STREAMS.batch(update)
        ids = torch.tensor(batch["windows"], dtype=torch.int64)

        def of(weights):
            if not batch["continues"].any():
                held.clear()
            scores, states = language_model(weights, ids[:, :-1], 2, held or None)
            held[:] = states
            return functional.cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten())

        return of

    arrays = numpy_weights(RecurrentLM(CARRYING))
    found = descend(arrays, map(loss, range(10)), RATE, MOMENTUM)
    assert found == pytest.approx(LOSSES, rel=1e-9)


def test_micro_batches_carry_the_same_state(carrying):
    whole = carrying()
    expected = train(whole, 5)
    model = made(CARRYING)
    model.compile(sgd(), accumulate=2)
    assert train(model, 5) == pytest.approx(expected, rel=1e-5)
    assert np.abs(state(model)).max() > 0.1
    assert np.abs(state(model) - state(whole)).max() < 1e-5


def test_evaluation_leaves_the_state_alone(carrying):
    model = carrying()
    train(model, 2)
    before = state(model)
    ragged = np.concatenate([WINDOWS, WINDOWS[:1]])
    found = model.evaluate(ragged, batch_size=B, verbose=0)
    assert np.array_equal(state(model), before)
    assert np.abs(before).max() > 0.1
    # Where there is none to carry, the same.
    plain = RecurrentLM(changed(num_layers=2))
    plain.set_weights(model.get_weights())
    each = [-plain.score(row) for row in ragged]
    assert np.ravel(found)[0] == pytest.approx(np.mean(each), rel=1e-5)


def test_resumes_exactly(carrying, tmp_path):
    model = carrying()
    train(model, 2)
    save_checkpoint(tmp_path / "checkpoint.safetensors", model)
    expected, ends = train(model, 3, start=2), state(model)
    resume = Resume(tmp_path / "checkpoint.safetensors", carrying())
    losses = Losses()
    model.fit(
        STREAMS.batches(2), steps_per_epoch=3, verbose=0, callbacks=[resume, losses]
    )
    assert losses.each.tolist() == expected.tolist()
    assert np.array_equal(state(model), ends)


def test_without_carried_state_windows_come_in_any_form():
    model = made()
    model.compile(sgd())
    start = model.get_weights()
    expected = model.evaluate(WINDOWS, verbose=0)
    ones = np.ones(INPUTS.shape, "float32")
    forms = [
        ((WINDOWS,), {}),
        ((INPUTS, WINDOWS[:, 1:]), {"sample_weight": ones}),
    ]
    for data, options in forms:
        model.set_weights(start)
        losses = model.fit(*data, verbose=0, **options).history["loss"]
        assert losses[0] == pytest.approx(np.ravel(expected)[0], rel=1e-5)


def test_what_can_not_be_carried_is_refused(carrying):
    model = carrying()
    before = model.get_weights()
    with pytest.raises(ValueError, match="must come in order .*Give an iterator such"):
        model.fit(WINDOWS, verbose=0)
    few = map(lambda batch: {k: x[:3] for k, x in batch.items()}, STREAMS.batches())
    with pytest.raises(ValueError, match=r"must have carried_rows=4 rows, got \[3\]"):
        model.fit(few, steps_per_epoch=1, verbose=0)
    bad = {"windows": WINDOWS + V, "continues": np.ones(B, bool)}
    with pytest.raises(ValueError, match="Token ids must be from 0 to 16"):
        model.fit(itertools.repeat(bad), steps_per_epoch=1, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


# === Texts ===


def test_a_long_text_in_windows_is_the_text_at_once():
    model = made(changed(num_layers=2))
    ids = RNG.integers(V, size=2 * T + 6, dtype="int32")
    found = model.log_probs(ids)
    whole = RecurrentLM(changed(num_layers=2, context_length=64))
    whole.set_weights(model.get_weights())
    assert found.shape == (2 * T + 5,)
    assert np.abs(found - whole.score(ids)).max() < 1e-5
    with pytest.raises(ValueError, match="at least two tokens"):
        model.log_probs(ids[:1])


# === Saving ===


def test_saved_whole(carrying, tmp_path):
    model = carrying()
    model.carried.state.assign(RNG.normal(size=model.carried.state.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.config == CARRYING
    assert np.array_equal(state(loaded), state(model))
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_a_preset_holds_what_was_learned(carrying, tmp_path):
    model = carrying()
    model.save_to_preset(tmp_path)
    assert not [name for name in named_weights(model) if "carried" in name]
    for rows in (B, 0, 7):
        loaded = RecurrentLM.from_preset(tmp_path, carried_rows=rows)
        for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
            assert np.array_equal(a, b)
    assert RecurrentLM.from_preset(tmp_path).config == CARRYING


def test_mixed_precision():
    model, full = made(CARRYING, dtype="mixed_bfloat16"), made(CARRYING)
    found, exact = logits(model, INPUTS), logits(full, INPUTS)
    assert found.dtype == "float32"
    assert 0 < np.abs(found - exact).max() < 0.1 * exact.std()
    assert model.carried.state.dtype == "float32"
    assert model.empty_caches(1, 1)[0].dtype == full.empty_caches(1, 1)[0].dtype
