"""Whatever ends a call of `fit`, the model is what its last whole update made it."""

import _thread
import contextlib
import random
import signal
import threading

import keras
import numpy as np
import pytest
from keras import ops
from keras.optimizers import SGD, Adam

from tests.training.conftest import restarting
from tests.training.toys import (
    GAN,
    Regression,
    gan_batches,
    regression_batches,
    step,
    with_weights,
)
from zoo.engine import interrupts
from zoo.training import Phase

BACKEND = keras.config.backend()
BATCHES = gan_batches(24)


class Stop(Exception):
    """Nobody else's error."""


@pytest.fixture(autouse=True)
def interruptible():
    """As in a terminal: what a shell runs in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def state(model):
    """Every variable but those of metrics, which a new epoch resets."""
    held = [*model.variables, *model.optimizer.variables]
    return [np.array(ops.convert_to_numpy(v)) for v in held]


def assert_equal(model, expected):
    for ours, other in zip(state(model), expected, strict=True):
        np.testing.assert_array_equal(ours, other)


def updates(model):
    return int(ops.convert_to_numpy(model.optimizer.iterations))


def averaging():
    """Of which Keras's `fit` puts the averages in the weights' place when it ends."""
    return Adam(0.01, use_ema=True, ema_momentum=0.5)


@pytest.fixture(scope="module")
def restart():
    model = with_weights(GAN())
    model.compile({"discriminator": averaging(), "generator": averaging()})
    return restarting(model)


@pytest.fixture(scope="module")
def after(restart):
    """The state after so many whole updates."""
    model = restart()
    found = [state(model)]
    for batch in BATCHES:
        step(model, batch)
        found.append(state(model))
    return found


class At(keras.callbacks.Callback):
    """Calls something at the k-th call of a method."""

    def __init__(self, method, k, action):
        super().__init__()
        self.calls = 0

        def called(*args, **kwargs):
            self.calls += 1
            if self.calls == k + 1:
                action()

        setattr(self, method, called)


def stop(*args):
    raise Stop


def assert_usable(model, tmp_path):
    """All that one does next."""
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.save_weights(tmp_path / "model.weights.h5")
    evaluated = model.evaluate(dataset(BATCHES[:2]), verbose=0)
    assert np.isfinite(evaluated).all()
    predicted = model.predict(BATCHES[0]["noise"], verbose=0)
    assert np.isfinite(predicted).all()
    before = updates(model)
    model.fit(dataset(BATCHES[:2]), verbose=0)
    assert updates(model) == before + 2


@pytest.mark.parametrize(
    "method, k, expected",
    [
        ("on_train_begin", 0, 0),
        ("on_epoch_begin", 1, 4),
        ("on_train_batch_begin", 0, 0),
        ("on_train_batch_begin", 5, 5),
        ("on_train_batch_end", 0, 1),
        ("on_train_batch_end", 5, 6),
        ("on_epoch_end", 0, 4),
        ("on_test_begin", 1, 8),
        ("on_test_batch_begin", 0, 4),
        ("on_test_batch_end", 1, 4),
        ("on_test_end", 0, 4),
    ],
)
def test_an_error_in_a_callback(restart, after, tmp_path, method, k, expected):
    model = restart()
    with pytest.raises(Stop):
        model.fit(
            iter(BATCHES),
            epochs=3,
            steps_per_epoch=4,
            validation_data=dataset(BATCHES[:2]),
            callbacks=[At(method, k, stop)],
            verbose=0,
        )
    assert updates(model) == expected
    assert_equal(model, after[expected])
    assert_usable(model, tmp_path)


def dataset(batches):
    """What can be read again."""

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return len(batches)

        def __getitem__(self, index):
            return (batches[index],)

    return Batches()


@pytest.mark.parametrize("k", [0, 1, 5])
@pytest.mark.parametrize("error", [Stop, ValueError])
def test_an_error_in_the_data(restart, after, tmp_path, k, error):
    def batches():
        yield from BATCHES[:k]
        raise error("of the user's")

    model = restart()
    # TensorFlow tells of errors in a generator in its own way.
    with pytest.raises(Exception if BACKEND == "tensorflow" else error):
        model.fit(batches(), verbose=0)
    assert updates(model) == (0 if k < 2 else k)  # Keras looks at two batches first
    assert_equal(model, after[updates(model)])
    assert_usable(model, tmp_path)


@pytest.mark.parametrize("k", [0, 1, 5])
def test_a_batch_that_does_not_fit(restart, after, tmp_path, k):
    bad = {**BATCHES[0], "real": np.ones((8, 2), "float32")}
    model = restart()
    for batch in BATCHES[:k]:
        step(model, batch)
    for call in (model.train_on_batch, model.test_on_batch, fit_one, evaluate_one):
        with pytest.raises(Exception):  # noqa: B017 - each backend has its own
            call(bad) if call.__name__.endswith("batch") else call(model, bad)
        assert updates(model) == k
        assert_equal(model, after[k])
    with pytest.raises(Exception):  # noqa: B017 - each backend has its own
        model.predict(np.ones((8, 3), "float32"), verbose=0)
    assert_equal(model, after[k])
    assert_usable(model, tmp_path)


def fit_one(model, batch):
    model.fit(dataset([batch]), verbose=0)


def evaluate_one(model, batch):
    model.evaluate(dataset([batch]), verbose=0)


@pytest.mark.parametrize("method", ["on_predict_begin", "on_predict_batch_end"])
def test_an_error_in_predict(restart, after, tmp_path, method):
    model = restart()
    step(model, BATCHES[0])
    with pytest.raises(Stop):
        model.predict(
            np.ones((8, 2), "f4"),
            batch_size=4,
            verbose=0,
            callbacks=[At(method, 0, stop)],
        )
    assert_equal(model, after[1])
    assert_usable(model, tmp_path)


def test_results_that_nobody_kept(restart, after):
    """As if an interrupt came right after the step had returned."""
    model = restart()
    step(model, BATCHES[0])
    step_function = model.train_function

    def dropped(*args):
        step_function(*args)
        raise KeyboardInterrupt

    model.train_function = dropped
    try:
        for call in (fit_one, lambda model, batch: model.train_on_batch(batch)):
            before = updates(model)
            with pytest.raises(KeyboardInterrupt):
                call(model, BATCHES[before])
            assert_equal(model, after[before + 1])
    finally:
        model.train_function = step_function


@pytest.mark.skipif(BACKEND != "tensorflow", reason="moving statistics are put back")
def test_an_interrupt_that_waited_undoes_nothing(restart, after):
    """It is delivered after a whole step."""
    import tensorflow as tf

    class Interrupted(GAN):
        def shared(self, batch, training):
            tf.py_function(_thread.interrupt_main, [], [])
            return super().shared(batch, training=training)

    model = with_weights(Interrupted())
    model.compile({"discriminator": averaging(), "generator": averaging()})
    with pytest.raises(KeyboardInterrupt):
        model.fit(iter(BATCHES), steps_per_epoch=2, verbose=0)
    assert updates(model) == 1
    assert_equal(model, after[1])


@pytest.mark.skipif(BACKEND == "torch", reason="Keras refuses it")
@pytest.mark.parametrize("k", [2, 3])
def test_an_error_between_the_steps_of_an_execution(after, k, tmp_path):
    """TensorFlow reads ahead: it may end before."""
    model = with_weights(GAN())
    optimizers = {"discriminator": averaging(), "generator": averaging()}
    model.compile(optimizers, steps_per_execution=2)

    def batches():
        yield from BATCHES[:k]
        raise Stop

    with pytest.raises(Exception, match="Stop" if BACKEND == "tensorflow" else None):
        model.fit(batches(), steps_per_epoch=8, verbose=0)
    done = updates(model)
    assert done == k or (BACKEND == "tensorflow" and done <= k)
    for ours, other in zip(state(model), after[done], strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-6)
    assert_usable(model, tmp_path)


# Dropped with a warning where it comes while Python frees something, or while Keras
# compares the structure of inputs, where it catches whatever is raised.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:.*structure of `inputs` doesn't match")
@pytest.mark.parametrize("seed", range(8))
def test_interrupts_at_any_moment(restart, after, tmp_path, seed):
    """The updates before it are there, whole, and no part of another."""
    model = restart()
    delay = random.Random(seed).uniform(1e-4, 0.05)
    timer = threading.Timer(delay, _thread.interrupt_main)
    with contextlib.suppress(KeyboardInterrupt):
        timer.start()
        model.fit(endless(), steps_per_epoch=4, epochs=6, verbose=0)
        while timer.is_alive():
            timer.join(0.01)
    if updates(model) < len(BATCHES):
        assert_equal(model, after[updates(model)])
    assert_usable(model, tmp_path)


def endless():
    while True:
        yield from BATCHES


def once(action):
    """A function that acts at its first call alone."""
    left = [action]

    def call():
        if left:
            left.pop()()

    return call


class Stopped(Regression):
    """Its second phase acts in the middle of a step, after the first has updated."""

    act = staticmethod(lambda: None)

    def phases(self):
        hidden, output = self.network.layers
        return (
            Phase("first", self.squares, trains=[hidden]),
            Phase("second", self.acting, trains=[output]),
        )

    def acting(self, batch):
        self.act()
        return self.squares(batch)


@pytest.mark.parametrize("error", ["signal", "error"])
def test_the_middle_of_an_eager_step(error):
    """An interrupt waits for its end; an error is undone."""
    model = with_weights(Stopped())
    model.compile({"first": Adam(0.1), "second": SGD(0.1)}, run_eagerly=True)
    (x, y, _), *_ = regression_batches(1)
    model.train_on_batch(x, y)
    before = state(model)
    if error == "error":
        model.act = once(stop)
        with pytest.raises(Stop):
            model.fit(x, y, verbose=0)
        assert_equal(model, before)
        return
    model.act = once(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, shuffle=False, verbose=0)
    # On JAX nothing is given away before the end of a step that is not compiled.
    assert updates(model) == (1 if BACKEND == "jax" else 2)
    if BACKEND == "jax":
        assert_equal(model, before)
    else:
        ours = state(model)
        again = with_weights(Stopped())
        again.compile({"first": Adam(0.1), "second": SGD(0.1)}, run_eagerly=True)
        for _ in range(2):
            again.train_on_batch(x, y)
        assert_equal(again, ours)


@pytest.mark.skipif(BACKEND != "torch", reason="others undo it, or do it in one piece")
def test_torch_says_that_half_an_update_is_done():
    """Where no copy of the weights is kept."""
    model = with_weights(Stopped())
    model.compile({"first": Adam(0.1), "second": SGD(0.1)})
    model.long_loops = True  # so that it is not recorded
    (x, y, _), *_ = regression_batches(1)
    model.train_on_batch(x, y)
    model.act = once(stop)
    with pytest.raises(Stop) as caught:
        model.train_on_batch(x, y)
    assert "some weights are new and some are old" in caught.value.__notes__[-1]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="others undo it or say it")
def test_tensorflow_says_that_half_an_update_is_done():
    """Where XLA does not write all at once."""
    import tensorflow as tf

    class Failing(Stopped):
        def acting(self, batch):
            terms = self.squares(batch)
            return {"loss": tf.debugging.check_numerics(terms["loss"], "Stop")}

    model = with_weights(Failing())
    model.compile({"first": Adam(0.1), "second": SGD(0.1)}, jit_compile=False)
    (x, y, _), *_ = regression_batches(1)
    model.train_on_batch(x, y)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        model.train_on_batch(x, np.full_like(y, np.nan))
    assert "some weights are new and some are old" in caught.value.__notes__[-1]
    assert updates(model) == 1


@pytest.mark.skipif(BACKEND != "jax", reason="only JAX gives its weights away")
def test_jax_says_that_weights_are_lost():
    """Where the compiled step itself fails, there is no copy of them."""
    import jax

    def fail(x):
        raise Stop

    class Failing(Regression):
        def squares(self, batch):
            terms = super().squares(batch)
            shape = jax.ShapeDtypeStruct((), "float32")
            failed = jax.pure_callback(
                fail, shape, jax.lax.stop_gradient(terms["loss"])
            )
            return {"loss": terms["loss"] + failed}

    model = Failing()
    model.compile("adam", jit_compile=True)
    (x, y, _), *_ = regression_batches(1)
    with pytest.raises(Exception) as caught:
        model.train_on_batch(x, y)
    assert "the weights are lost" in caught.value.__notes__[-1]


def test_a_second_interrupt_does_not_wait():
    calls = []
    with pytest.raises(KeyboardInterrupt), interrupts.watched(), interrupts.held():
        try:
            signal.raise_signal(signal.SIGINT)
            calls.append("held")
            signal.raise_signal(signal.SIGINT)
        finally:
            calls.append("ended")
    assert calls == ["held", "ended"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_are_those_of_before():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *args: seen.append("user's"))
    try:
        with interrupts.watched():
            with interrupts.held():
                signal.raise_signal(signal.SIGTERM)
                assert seen == []
            assert seen == ["user's"]
            own = signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert callable(own)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_hold_nothing():
    held = []

    def work():
        with interrupts.watched(), interrupts.held():
            held.append(len(interrupts._watches))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert held == [0]
