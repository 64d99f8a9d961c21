"""A run that was interrupted goes on as if it had not been."""

import keras
import numpy as np
import pytest
from keras.optimizers import SGD, Adam
from safetensors.numpy import load_file

from tests.training.conftest import restarting
from tests.training.test_callbacks import fit
from tests.training.test_optimizer_group import arrays
from tests.training.toys import Regression, RegressionConfig, with_weights
from zoo.training import WarmupCosine
from zoo.training.runs.checkpoint import Checkpoint, Resume, save_checkpoint


class PullThePlug(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path):
    """With noise, a schedule and a moving average, whose state has to come back."""
    model = with_weights(Regression(RegressionConfig(noise=0.5)))
    schedule = WarmupCosine(0.02, total_steps=6, warmup_steps=1)
    model.compile(Adam(schedule, use_ema=True, ema_momentum=0.5))
    restart = restarting(model)

    history = fit(model, epochs=3)
    expected = arrays([*model.variables, *model.optimizer.variables])

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        keep = Checkpoint(path, extra=lambda: {"note": "two epochs"})
        fit(restart(), epochs=3, callbacks=[keep, PullThePlug()])
    resume = Resume(path, restart())
    assert resume.extra == {"note": "two epochs"}
    resumed = fit(model, initial_epoch=2, epochs=3, callbacks=[resume])

    assert resumed["loss"] == history["loss"][2:]
    found = arrays([*model.variables, *model.optimizer.variables])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_equal_runs_give_equal_files(tmp_path):
    """Nothing in them comes from a seed that nobody gave."""
    for name in ("one", "other"):
        keras.utils.set_random_seed(3)
        model = Regression(RegressionConfig(noise=0.5), name="model")
        model.compile(Adam(0.01))
        fit(model, epochs=1)
        save_checkpoint(tmp_path / name, model)
    one, other = (load_file(tmp_path / name) for name in ("one", "other"))
    assert set(one) == set(other)
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="its generator was always kept"
)
def test_files_with_tensorflows_generator_load(regression, tmp_path):
    import tensorflow as tf

    generator = tf.random.get_global_generator()
    save_checkpoint(tmp_path / "file", regression)
    expected = generator.normal((3,)).numpy()
    Resume(tmp_path / "file", regression)
    np.testing.assert_array_equal(generator.normal((3,)), expected)


def test_a_damaged_file_raises(regression, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, regression)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        Resume(path, regression)


def test_a_checkpoint_of_other_optimizers_raises(regression, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, regression)
    other = Regression()
    other.compile(SGD(0.1))
    with pytest.raises(ValueError, match="does not fit this model and its optimizers"):
        Resume(path, other)


def test_a_flipped_bit_anywhere_is_seen(regression, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, regression, note="of everything")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [0, 3, 7, 8, *rng.integers(8, len(whole), 60), len(whole) - 1]
    places += [whole.index(b'"sha256"') + offset for offset in range(8)]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with pytest.raises(ValueError, match="checkpoint.safetensors is not a whole"):
            Resume(path, regression)
    path.write_bytes(whole)
    assert Resume(path, regression).extra == {"note": "of everything"}
