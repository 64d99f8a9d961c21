"""Several optimizers as one: their arithmetic, their state, their learning rates."""

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from keras.optimizers import SGD, Adam, AdamW, Lion, LossScaleOptimizer, Muon

from tests.training.conftest import adam_pair
from tests.training.toys import (
    GAN,
    Regression,
    gan_batches,
    regression_batches,
    step,
    with_weights,
)
from zoo.training import WarmupCosine
from zoo.training.optimizers.averages import unbias
from zoo.training.optimizers.schedules import Scaled


def arrays(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def assert_equal(ours, theirs):
    for a, b in zip(arrays(ours), arrays(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


# === The arithmetic is Keras's ===

OPTIMIZERS = {
    "Adam, clipnorm": lambda: Adam(0.05, clipnorm=0.1),
    "Adam, amsgrad": lambda: Adam(0.05, amsgrad=True),
    "AdamW, global_clipnorm": lambda: AdamW(
        0.05, weight_decay=0.2, global_clipnorm=0.1
    ),
    "SGD, clipvalue": lambda: SGD(0.1, momentum=0.9, weight_decay=0.2, clipvalue=0.1),
    "Muon": lambda: Muon(0.05, weight_decay=0.2),
    "Lion": lambda: Lion(0.01, weight_decay=0.2),
    "SGD, EMA": lambda: SGD(
        0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    ),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_one_phase_moves_as_an_ordinary_keras_model_does(make):
    ours, model = make(), with_weights(Regression())
    model.compile(ours)
    theirs, plain = make(), with_weights(Regression()).network
    theirs.exclude_from_weight_decay(
        var_list=[v for v in plain.trainable_variables if len(v.shape) < 2]
    )
    plain.compile(theirs, loss="mse")
    if theirs.use_ema:
        unbias(theirs)  # Keras's own average starts from the first weights.
    for x, y, _ in regression_batches(4):
        assert step(model, (x, y))["loss"] == pytest.approx(
            plain.train_on_batch(x, y, return_dict=True)["loss"], rel=1e-5
        )
    for a, b in zip(arrays(model.variables), arrays(plain.variables), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(arrays(ours.variables), arrays(theirs.variables), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_averaged_weights_are_the_moving_average_within_the_block():
    model = with_weights(Regression())
    model.compile(SGD(0.1, use_ema=True, ema_momentum=0.5))
    seen = []
    for x, y, _ in regression_batches(3):
        step(model, (x, y))
        seen.append(last := arrays(model.trainable_variables))
    average = [
        np.average(np.stack(values), axis=0, weights=[0.25, 0.5, 1.0])
        for values in zip(*seen, strict=True)
    ]
    with model.averaged_weights() as averaged:
        assert averaged is model
        for a, b in zip(arrays(model.trainable_variables), average, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    assert_equal(model.trainable_variables, last)


def test_fit_ends_with_averaged_weights_and_can_go_on():
    """As in Keras. The same memory must not serve as weight and average on JAX."""
    model, steps = with_weights(Regression()), with_weights(Regression())
    for m in (model, steps):
        m.compile(SGD(0.1, use_ema=True, ema_momentum=0.5))
    x, y, _ = regression_batches(1)[0]
    for _ in range(2):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        for part in (slice(0, 4), slice(4, 8)):
            step(steps, (x[part], y[part]))
        with steps.averaged_weights():
            average = arrays(steps.trainable_variables)
        assert_equal(model.trainable_variables, average)
        for variable, value in zip(steps.trainable_variables, average, strict=True):
            variable.assign(value)


def test_averaged_weights_need_an_optimizer_that_averages(regression):
    with pytest.raises(ValueError, match="use_ema=True"):
        with regression.averaged_weights():
            pass


def test_decay_spares_biases_and_norms_unless_the_user_says_otherwise():
    model = GAN()
    own = AdamW(0.1)
    own.exclude_from_weight_decay(var_names=["kernel"])
    model.compile({"discriminator": own, "generator": AdamW(0.1)})
    assert decayed(model, "generator") == ["kernel", "kernel"]
    assert decayed(model, "discriminator") == ["bias", "bias"]


def decayed(model, phase):
    member = model.optimizer.members[phase]
    variables = getattr(model, phase).trainable_variables
    return [v.name for v in variables if member._use_weight_decay(v)]


# === State ===


def rich_optimizers():
    """Everything that has state, or that Keras's own serialisation would lose."""
    schedule = WarmupCosine(0.02, total_steps=8, warmup_steps=2)
    discriminator = AdamW(schedule, weight_decay=0.1, global_clipnorm=1.0)
    discriminator.exclude_from_weight_decay(var_names=["output"])
    return {
        "discriminator": discriminator,
        "generator": AdamW(0.01, weight_decay=0.1, use_ema=True, ema_momentum=0.5),
    }


@pytest.fixture(scope="module")
def rich():
    """A GAN two updates into its training, with its learning rates halved."""
    model = with_weights(GAN())
    model.compile(rich_optimizers())
    for batch in gan_batches(2):
        step(model, batch)
    rate = ops.convert_to_numpy(model.optimizer.learning_rate)
    model.optimizer.learning_rate = rate / 2
    return model


def test_training_goes_on_bit_for_bit_after_loading(rich, tmp_path):
    rich.save(tmp_path / "model.keras")
    rich.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == rich.config
    assert_equal(loaded.variables, rich.variables)
    assert_equal(loaded.optimizer.variables, rich.optimizer.variables)
    for phase in ("discriminator", "generator"):
        assert decayed(loaded, phase) == decayed(rich, phase)
    member = loaded.optimizer.members["discriminator"]
    assert member.global_clipnorm == 1.0
    assert isinstance(member._learning_rate.schedule, WarmupCosine)

    others = gan_batches(4)[2:]
    expected = [step(rich, batch) for batch in others]
    assert [step(loaded, batch) for batch in others] == expected
    assert_equal(loaded.variables, rich.variables)
    assert_equal(loaded.optimizer.variables, rich.optimizer.variables)
    # Into a model that has gone on training, from weights alone.
    loaded.load_weights(tmp_path / "model.weights.h5")
    assert [step(loaded, batch) for batch in others] == expected


def test_state_is_saved_once(rich, tmp_path):
    rich.save_weights(tmp_path / "model.weights.h5")
    datasets = []
    with h5py.File(tmp_path / "model.weights.h5") as file:
        file.visititems(
            lambda path, item: (
                datasets.append(path) if isinstance(item, h5py.Dataset) else None
            )
        )
    own = [path for path in datasets if path.startswith("optimizer/")]
    assert len(own) == len(rich.optimizer.variables)
    assert len(datasets) - len(own) == len(rich.variables)


def test_loss_scales_are_saved(tmp_path):
    model = GAN(dtype="mixed_float16")
    model.compile(adam_pair())
    model.optimizer.loss_scales["generator"].scale.assign(64.0)
    model.optimizer.loss_scales["generator"].good_updates.assign(3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.dtype_policy.name == "mixed_float16"
    assert_equal(loaded.optimizer.variables, model.optimizer.variables)


def test_compile_options_are_saved(tmp_path):
    model = Regression()
    model.compile("sgd", accumulate=2, steps_per_execution=3, jit_compile=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.plan.accumulate == 2
    assert loaded.steps_per_execution == 3
    assert loaded.jit_compile is False
    uncompiled = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert not uncompiled.compiled


def test_jit_compile_is_saved_as_asked_since_another_backend_may_load_it():
    model = Regression()
    model.compile("sgd")
    assert model.get_compile_config()["jit_compile"] == "auto"


@pytest.mark.parametrize(
    "optimizers",
    [
        {"discriminator": SGD, "generator": Adam},
        {"discriminator": Adam, "generator": lambda: Adam(use_ema=True)},
    ],
    ids=["another optimizer", "another option"],
)
def test_state_of_other_optimizers_raises(optimizers, gan, tmp_path):
    gan.save_weights(tmp_path / "model.weights.h5")
    other = GAN()
    other.compile({name: make() for name, make in optimizers.items()})
    with pytest.raises(ValueError, match="does not fit this model's optimizers"):
        other.load_weights(tmp_path / "model.weights.h5")


def test_state_of_another_size_raises():
    """Positions name an optimizer's state: none may be taken for another's."""
    model = Regression()
    model.compile(SGD(0.1, momentum=0.9))
    model.optimizer.save_own_variables(store := {})
    names = [name for name in store if store[name].shape == (6,)]
    store[names[0]] = np.zeros((7,), "float32")
    with pytest.raises(ValueError, match="shape"):
        model.optimizer.load_own_variables(store)


# === Learning rates ===


def rates(model):
    members = model.optimizer.members
    return {
        name: float(ops.convert_to_numpy(m.learning_rate))
        for name, m in members.items()
    }


def test_setting_the_learning_rate_scales_every_members(gan):
    assert float(ops.convert_to_numpy(gan.optimizer.learning_rate)) == pytest.approx(
        0.02
    )
    gan.optimizer.learning_rate = 0.005
    assert rates(gan) == pytest.approx({"discriminator": 0.005, "generator": 0.0025})
    gan.optimizer.learning_rate = 0.02
    assert rates(gan) == pytest.approx({"discriminator": 0.02, "generator": 0.01})


def test_a_learning_rate_may_pass_through_zero(gan):
    """As in a warm-up by Keras's LearningRateScheduler."""
    gan.optimizer.learning_rate = 0.0
    before = arrays(gan.trainable_variables)
    step(gan, gan_batches(1)[0])
    assert_equal(gan.trainable_variables, before)
    gan.optimizer.learning_rate = 0.04
    assert rates(gan) == pytest.approx({"discriminator": 0.04, "generator": 0.02})


def test_a_schedule_is_scaled_and_keeps_its_shape():
    model = Regression()
    schedule = WarmupCosine(0.1, total_steps=10)
    model.compile(SGD(schedule))
    model.optimizer.learning_rate = 0.05
    assert rates(model) == pytest.approx({"fit": 0.05})
    model.optimizer.members["fit"].iterations.assign(5)
    assert rates(model) == pytest.approx({"fit": float(schedule(5)) / 2})


# === Bad input ===


@pytest.mark.parametrize(
    "optimizer, message",
    [
        (lambda: {"discriminator": "adam", "generater": "adam"}, "'generater'"),
        (lambda: {"discriminator": "adam"}, r"\['discriminator', 'generator'\]"),
        (lambda: "adam", "2 phases.*'discriminator': ..., 'generator': ..."),
        (lambda: dict.fromkeys(adam_pair(), Adam()), "optimizer of its own"),
        (
            lambda: adam_pair() | {"generator": Adam(gradient_accumulation_steps=4)},
            r"'generator'.*compile\(accumulate=4\)",
        ),
        (
            lambda: adam_pair() | {"generator": LossScaleOptimizer(Adam())},
            "'generator' is a LossScaleOptimizer.*inner optimizer",
        ),
        (
            lambda: adam_pair() | {"generator": Adam(loss_scale_factor=8.0)},
            "'generator' has loss_scale_factor=8.0.*Leave it out",
        ),
        (
            lambda: adam_pair() | {"generator": Adam(lambda: 0.1)},
            "'generator' is a function.*Use a schedule",
        ),
    ],
    ids=[
        "wrong key",
        "missing key",
        "one for two phases",
        "one object twice",
        "gradient_accumulation_steps",
        "LossScaleOptimizer",
        "loss_scale_factor",
        "a function as learning rate",
    ],
)
def test_optimizers_that_do_not_fit_the_phases_raise(optimizer, message):
    with pytest.raises(ValueError, match=message):
        GAN().compile(optimizer())


def test_an_optimizer_of_another_model_raises(regression):
    with pytest.raises(ValueError, match="'fit' was built on other variables"):
        Regression().compile(regression.optimizer.members["fit"])


def test_compiling_again_with_the_same_optimizer_keeps_its_state():
    model = with_weights(Regression())
    adam = Adam(WarmupCosine(0.1, total_steps=10))
    for _ in range(2):
        model.compile(adam, run_eagerly=True)
        step(model, regression_batches(1)[0][:2])
    assert int(adam.iterations) == 2
    assert isinstance(adam._learning_rate, Scaled)
