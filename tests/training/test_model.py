"""The model as Keras's users meet it: fit, evaluate, predict, and clear errors."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.optimizers import Adam

from tests.training.toys import (
    GAN,
    Regression,
    RegressionConfig,
    gan_batches,
    regression_batches,
    step,
    with_weights,
)
from zoo.training import Model, Phase

# Twenty examples: two batches of eight and a ragged one of four.
X, Y, W = (
    np.concatenate(part)[:20] for part in zip(*regression_batches(3), strict=True)
)


def squares(model, x, y):
    return np.square(ops.convert_to_numpy(model(ops.convert_to_tensor(x))) - y)


# === Logs ===


def test_fit_logs_the_means_of_an_epoch(restart_regression):
    model = restart_regression()
    parts = [slice(0, 8), slice(8, 16), slice(16, 20)]
    expected = [step(model, (X[part], Y[part]))["loss"] for part in parts]
    model = restart_regression()
    history = model.fit(X, Y, batch_size=8, shuffle=False, verbose=0).history
    assert set(history) == {"loss"}
    mean = np.average(expected, weights=[8, 8, 4])
    assert history["loss"] == pytest.approx([mean], rel=1e-5)


def test_evaluate_is_exact_with_a_ragged_last_batch(regression):
    expected = squares(regression, X, Y).mean()
    for size in (8, 20):
        loss = regression.evaluate(X, Y, batch_size=size, verbose=0)
        assert loss == pytest.approx(expected, rel=1e-6)


def test_evaluate_is_exact_with_uneven_weights(restart_weighted):
    model = restart_weighted(1)
    y = ops.convert_to_numpy(model(ops.convert_to_tensor(X)))
    expected = {
        "squares": (np.square(y - Y) * W).sum() / W.sum(),
        "size": np.square(y).mean(),
        "error": (np.abs(y - Y) * W).sum() / W.sum(),
    }
    expected["loss"] = expected["squares"] + 0.1 * expected["size"]
    logs = model.evaluate(
        X, Y, batch_size=8, sample_weight=W, verbose=0, return_dict=True
    )
    assert logs == pytest.approx(expected, rel=1e-6)


def test_evaluate_moves_nothing_and_uses_moving_statistics(gan):
    before = [np.array(ops.convert_to_numpy(v)) for v in gan.variables]
    gan.generator.get_layer("norm").moving_mean.assign(np.full(6, 0.3))
    (batch,) = gan_batches(1)
    logs = gan.evaluate(batch, batch_size=8, verbose=0, return_dict=True)
    logits = gan.discriminator(gan(ops.convert_to_tensor(batch["noise"])))
    expected = np.logaddexp(0, -ops.convert_to_numpy(logits)).mean()
    assert logs["generator/loss"] == pytest.approx(expected, rel=1e-6)
    gan.generator.get_layer("norm").moving_mean.assign(np.zeros(6))
    for variable, value in zip(gan.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_validation_is_logged_beside_training(restart_regression):
    model = restart_regression()
    history = model.fit(
        X, Y, batch_size=20, epochs=2, validation_data=(X[:7], Y[:7]), verbose=0
    ).history
    assert set(history) == {"loss", "val_loss"}
    expected = squares(model, X[:7], Y[:7]).mean()
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-6)


def test_predict_is_the_call_on_every_row(regression):
    expected = ops.convert_to_numpy(regression(ops.convert_to_tensor(X)))
    predicted = regression.predict(X, batch_size=8, verbose=0)
    np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-6)


def test_one_batch_at_a_time(gan):
    (batch,) = gan_batches(1)
    names = {f"discriminator/{term}" for term in ("loss", "real", "fake")}
    tested = gan.test_on_batch(batch, return_dict=True)
    assert set(tested) == names | {"generator/loss"}
    trained = gan.train_on_batch(batch, return_dict=True)
    assert set(trained) == set(tested)
    assert gan.train_on_batch(batch) != list(trained.values())


# === Ways to run ===


@pytest.mark.parametrize(
    "options", [{"run_eagerly": True}, {"jit_compile": False}], ids=str
)
def test_every_way_to_run_gives_the_same_numbers(regression, options):
    other = with_weights(Regression())
    other.compile(Adam(0.01), **options)
    for x, y, _ in regression_batches(3):
        expected = step(regression, (x, y))
        assert step(other, (x, y)) == pytest.approx(expected, rel=1e-6)


def test_several_steps_per_execution_train_alike(restart_regression):
    several = with_weights(Regression())
    several.compile(Adam(0.01), steps_per_execution=2)
    if keras.config.backend() == "torch":
        with pytest.raises(ValueError, match="steps_per_execution"):
            several.fit(X, Y, batch_size=8, verbose=0)
        return
    one = restart_regression()
    losses = [
        m.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
        for m in (several, one)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert int(several.optimizer.iterations) == 6


def test_targets_and_weights_reach_the_losses_as_keras_gives_them():
    model = Regression()
    x, y, w = "xyw"
    assert model.unpack((x,)) == x
    assert model.unpack((x, None, None)) == x
    assert model.unpack((x, y, None)) == (x, y)
    assert model.unpack((x, y, w)) == (x, y, w)
    assert model.unpack(x) == x


# === Bad input ===


@pytest.mark.parametrize("argument", [{"loss": "mse"}, {"metrics": ["mae"]}], ids=str)
def test_losses_and_metrics_belong_to_the_phases(argument):
    with pytest.raises(ValueError, match=f"{list(argument)}.*phases"):
        Regression().compile("adam", **argument)


@pytest.mark.parametrize("accumulate", [0, -1, 2.5])
def test_accumulate_is_a_whole_number(accumulate):
    with pytest.raises(ValueError, match=f"accumulate .*got {accumulate}"):
        Regression().compile(accumulate=accumulate)


class Lazy(Model):
    """What a subclass may get wrong."""

    def __init__(self, build=True, phases=1):
        super().__init__()
        self.network = layers.Dense(1, name="network")
        self.frozen = layers.Dense(1, name="frozen", trainable=False)
        if build:
            self.network.build((None, 3))
            self.frozen.build((None, 3))
        self.made = phases

    def phases(self):
        return (Phase("fit", lambda batch: {}, [self.network]),) * self.made


def test_layers_must_be_built():
    with pytest.raises(ValueError, match=r"\['network', 'frozen'\].*Build them"):
        Lazy(build=False).compile()


def test_phases_must_be_stated():
    class Phaseless(Lazy):
        phases = Model.phases

    with pytest.raises(NotImplementedError, match="Phaseless must define phases"):
        Phaseless().compile()


def test_there_must_be_a_phase():
    with pytest.raises(ValueError, match="at least one phase"):
        Lazy(phases=0).compile()


def test_phases_of_one_name_must_train_the_same():
    class Apart(Lazy):
        def phases(self):
            other = Phase("fit", lambda batch: {}, [self.frozen])
            return (*super().phases(), other)

    with pytest.raises(ValueError, match="Two phases are named 'fit'"):
        Apart().compile()


def test_a_phase_must_train_something():
    class Idle(Lazy):
        def phases(self):
            return (Phase("fit", lambda batch: {}, [self.frozen]),)

    with pytest.raises(ValueError, match="'fit' has nothing to train"):
        Idle().compile()


def test_a_phase_trains_layers_of_the_model():
    stray = layers.Dense(1)
    stray.build((None, 3))

    class Astray(Lazy):
        def phases(self):
            return (Phase("fit", lambda batch: {}, [stray]),)

    with pytest.raises(
        ValueError, match="'fit' trains layers that are not the model's"
    ):
        Astray().compile()


def test_one_phase_trains_what_is_shared():
    class Twice(GAN):
        def phases(self):
            generator = super().phases()[1]
            return (generator, dataclasses.replace(generator, name="again"))

    with pytest.raises(ValueError, match=r"through_shared.*\['generator', 'again'\]"):
        Twice().compile()


def test_a_model_is_made_from_its_config():
    with pytest.raises(TypeError, match=r"Regression\(RegressionConfig\(\.\.\.\)\)"):
        Regression({"weighted": True})


def test_a_config_from_another_version_says_so():
    config = Regression(RegressionConfig()).get_config()
    config["config"]["colour"] = "red"
    with pytest.raises(ValueError, match=r"no fields \['colour'\].*weighted"):
        Regression.from_config(config)


def test_arrays_of_a_batch_need_one_row_an_example():
    class Tabular(Regression):
        def prepare(self, batch):
            return super().prepare(batch) | {"table": ops.ones((3,))}

    model = Tabular()
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match=r"one row per example.*\[3, 20\]"):
        step(model, (X, Y))


def test_too_many_terms_say_how_many():
    class Talkative(Lazy):
        def phases(self):
            return (Phase("fit", self.terms, [self.network]),)

        def terms(self, x):
            loss = ops.mean(self.network(x))
            return {"loss": loss, **{f"term{i}": loss for i in range(60)}}

    model = Talkative()
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="at most 48 terms, got 61"):
        step(model, X)
