"""Keras's callbacks on several optimizers, and ours."""

import keras
import numpy as np
import pytest
from keras import callbacks
from keras.optimizers import SGD, Adam

from tests.training.conftest import restarting
from tests.training.test_optimizer_group import arrays, assert_equal, rates
from tests.training.toys import (
    GAN,
    Regression,
    gan_batches,
    regression_batches,
    step,
    with_weights,
)
from zoo.training import StopOnNaN, Throughput, WarmupCosine

X, Y, _ = (np.concatenate(part) for part in zip(*regression_batches(2), strict=True))


def gan_data():
    batches = gan_batches(2)
    return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


def fit(model, x=X, y=Y, **options):
    defaults = {"batch_size": 8, "shuffle": False, "verbose": 0}
    return model.fit(x, y, **(defaults | options)).history


def test_learning_rate_scheduler_sets_every_members_rate(gan):
    seen = []
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    look = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(rates(gan))
    )
    history = fit(gan, gan_data(), None, epochs=2, callbacks=[schedule, look])
    assert seen[0] == pytest.approx({"discriminator": 0.01, "generator": 0.005})
    assert seen[1] == pytest.approx({"discriminator": 0.005, "generator": 0.0025})
    assert history["learning_rate"] == pytest.approx([0.01, 0.005])


def test_reduce_on_plateau_reduces_every_members_rate(gan):
    reduce = callbacks.ReduceLROnPlateau(
        monitor="generator/loss", mode="min", factor=0.1, patience=1, min_delta=100
    )
    fit(gan, gan_data(), None, epochs=2, callbacks=[reduce])
    assert rates(gan) == pytest.approx({"discriminator": 0.002, "generator": 0.001})


def test_model_checkpoint_keeps_the_best_with_its_optimizer(regression, tmp_path):
    path = tmp_path / "best.keras"
    keep = callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True)
    history = fit(regression, validation_data=(X, Y), epochs=3, callbacks=[keep])
    assert np.argmin(history["val_loss"]) == 2
    best = keras.saving.load_model(path)
    assert_equal(best.variables, regression.variables)
    assert_equal(best.optimizer.variables, regression.optimizer.variables)


def test_early_stopping_restores_the_best_weights(regression):
    stop = callbacks.EarlyStopping(
        monitor="loss", min_delta=100, patience=1, restore_best_weights=True
    )
    first = []
    look = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: first.append(arrays(regression.variables))
    )
    history = fit(regression, epochs=9, callbacks=[look, stop])
    assert len(history["loss"]) == 2
    for a, b in zip(arrays(regression.variables), first[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_swap_ema_weights_validates_and_ends_with_averages():
    model = with_weights(Regression())
    model.compile(SGD(0.1, use_ema=True, ema_momentum=0.9))
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    history = fit(model, epochs=2, validation_data=(X, Y), callbacks=[swap])
    reported = model.evaluate(X, Y, batch_size=8, verbose=0)
    assert reported == pytest.approx(history["val_loss"][-1])

    # By hand, with the same updates.
    plain = with_weights(Regression())
    plain.compile(SGD(0.1, use_ema=True, ema_momentum=0.9))
    for _ in range(2):
        for part in (slice(0, 8), slice(8, 16)):
            step(plain, (X[part], Y[part]))
    with plain.averaged_weights():
        for a, b in zip(arrays(model.variables), arrays(plain.variables), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_backup_and_restore_goes_on_bit_for_bit(tmp_path):
    model = with_weights(GAN())
    adam = Adam(WarmupCosine(0.02, total_steps=6))
    model.compile({"discriminator": "adam", "generator": adam})
    restart = restarting(model)

    class PullThePlug(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    history = fit(model, gan_data(), None, epochs=3)
    expected = arrays([*model.variables, *model.optimizer.variables])

    backup = callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(restart(), gan_data(), None, epochs=3, callbacks=[backup, PullThePlug()])
    resumed = fit(restart(), gan_data(), None, epochs=3, callbacks=[backup])

    assert resumed == {name: values[2:] for name, values in history.items()}
    found = arrays([*model.variables, *model.optimizer.variables])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loss_that_is_no_number_stops_fit_and_says_what_to_try(regression):
    y = Y.copy()
    y[9] = np.nan
    with pytest.raises(
        FloatingPointError, match=r"loss became nan by update 2\..*clip"
    ):
        fit(regression, y=y)


def test_nan_is_seen_within_the_epoch(regression):
    with pytest.raises(FloatingPointError, match="by update 1"):
        fit(regression, y=np.full_like(Y, np.nan), callbacks=[StopOnNaN(every=1)])


@pytest.mark.parametrize("broken", ["regression", "gan"])
def test_terminate_on_nan_ends_with_a_history(broken, request):
    """As in Keras, also where no loss is called `loss`."""
    model = request.getfixturevalue(broken)
    stop = callbacks.TerminateOnNaN()
    if broken == "gan":
        data = gan_data()
        data["real"] = np.full_like(data["real"], np.nan)
        history = fit(model, data, None, epochs=3, callbacks=[stop])
    else:
        history = fit(model, y=np.full_like(Y, np.nan), epochs=3, callbacks=[stop])
    assert all(len(values) == 1 for values in history.values()) and history
    assert model.history.history == history


def test_terminate_on_nan_raises_where_it_is_asked_to(regression):
    stop = callbacks.TerminateOnNaN(raise_error=True)
    with pytest.raises((RuntimeError, FloatingPointError), match="(?i)nan"):
        fit(regression, y=np.full_like(Y, np.nan), callbacks=[stop])


def test_nan_is_looked_for_every_so_many_batches_whichever_are_reported(monkeypatch):
    looks = []
    monkeypatch.setattr(StopOnNaN, "_look", lambda self, logs: looks.append(logs))
    callback = StopOnNaN(every=4)
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in (1, 3, 5, 7, 9):
            callback.on_train_batch_end(batch, logs=batch)
    assert looks == [1, 5, 9] * 2


def test_throughput_counts_all_updates_but_the_first_of_an_epoch(regression):
    throughput = Throughput(examples_per_update=8)
    fit(regression, epochs=3, callbacks=[throughput])
    assert throughput.updates == 3
    assert throughput.rate == pytest.approx(3 * 8 / throughput.seconds)
