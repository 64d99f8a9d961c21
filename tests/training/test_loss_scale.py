"""float16: an overflow costs the phase where it happened one update, nothing more."""

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
    values,
    with_weights,
)
from zoo.training.optimizers import loss_scale
from zoo.training.optimizers.loss_scale import CAP, FLOOR, START, DynamicLossScale

PHASES = ("discriminator", "generator")
INTERVAL = 3


@pytest.fixture(scope="module")
def restart_half():
    model = with_weights(GAN(dtype="mixed_float16"))
    model.compile({"discriminator": Adam(0.02), "generator": Adam(0.01)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_scale, "GROWTH_INTERVAL", INTERVAL)
        yield restarting(model)


@pytest.fixture
def half(restart_half):
    """The two phases in mixed_float16, growing after `INTERVAL` good updates."""
    return restart_half()


def poisoned(batch, *phases):
    """The batch with a factor that makes these phases' gradients overflow."""
    return batch | {f"{p}_factor": np.full(8, 1e38, "float32") for p in phases}


def scales(model):
    return {name: number(s.scale) for name, s in model.optimizer.loss_scales.items()}


def iterations(model):
    return {n: int(number(m.iterations)) for n, m in model.optimizer.members.items()}


def number(x):
    return float(ops.convert_to_numpy(x))


@pytest.mark.parametrize("hit, other", [PHASES, PHASES[::-1]])
def test_an_overflow_skips_its_own_phase_alone(half, hit, other):
    first, second = gan_batches(2)
    step(half, first)
    before = values(half)
    moments = [np.array(v) for v in half.optimizer.members[hit].variables]

    logs = step(half, poisoned(second, hit))

    after = values(half)
    assert scales(half) == {hit: START / 2, other: START}
    assert iterations(half) == {hit: 1, other: 2}
    for variable in getattr(half, hit).trainable_variables:
        np.testing.assert_array_equal(after[variable.path], before[variable.path])
    for variable, value in zip(
        half.optimizer.members[hit].variables, moments, strict=True
    ):
        np.testing.assert_array_equal(variable, value)
    for variable in getattr(half, other).trainable_variables:
        assert (after[variable.path] != before[variable.path]).any()
    assert all(np.isfinite(value) for value in logs.values())


def test_training_goes_on_after_an_overflow(half):
    batches = gan_batches(3)
    step(half, poisoned(batches[0], *PHASES))
    for batch in batches[1:]:
        step(half, batch)
    assert iterations(half) == dict.fromkeys(PHASES, 2)
    assert int(number(half.optimizer.iterations)) == 3
    assert all(np.isfinite(value).all() for value in values(half).values())


def test_an_overflow_in_the_forward_pass_leaves_the_statistics(half):
    (batch,) = gan_batches(1)
    before = values(half)
    step(half, batch | {"noise": np.full_like(batch["noise"], 1e6)})
    assert iterations(half) == dict.fromkeys(PHASES, 0)
    for path, value in values(half).items():
        np.testing.assert_array_equal(value, before[path])


def test_skipped_updates_do_not_enter_the_means(half, restart_half):
    (batch,) = gan_batches(1)
    expected = step(half, batch)
    half = restart_half()
    batches = [poisoned(batch, *PHASES), batch, poisoned(batch, *PHASES)]
    history = half.fit(((b,) for b in batches), steps_per_epoch=3, verbose=0).history
    # Another scale rounds float16 gradients elsewhere, but not this forward pass.
    assert {k: v[0] for k, v in history.items()} == pytest.approx(expected, rel=1e-6)


def test_the_scale_doubles_after_enough_good_updates_in_a_row(half):
    good, bad = gan_batches(1)[0], poisoned(gan_batches(1)[0], "generator")
    for batch in (good, good, bad, good, good):
        step(half, batch)
    assert scales(half) == {"discriminator": 2 * START, "generator": START / 2}
    step(half, good)
    assert scales(half) == {"discriminator": 4 * START, "generator": START}


def test_the_scale_has_a_floor_and_a_cap():
    scale = DynamicLossScale("any")
    scale.scale.assign(FLOOR)
    scale.update(ops.convert_to_tensor(False))
    assert number(scale.scale) == FLOOR
    scale.scale.assign(CAP)
    scale.good_updates.assign(loss_scale.GROWTH_INTERVAL - 1)
    scale.update(ops.convert_to_tensor(True))
    assert number(scale.scale) == CAP


def test_float16_starts_near_float32(half, gan):
    (batch,) = gan_batches(1)
    # float16 has a relative precision of 2**-11.
    assert step(half, batch) == pytest.approx(step(gan, batch), rel=2e-3)


def test_nan_that_no_scale_cures_is_not_hidden(half):
    """At the floor, it is not the scale's fault."""
    (batch,) = gan_batches(1)
    for loss_scale_ in half.optimizer.loss_scales.values():
        loss_scale_.scale.assign(FLOOR)
    logs = step(half, batch | {"noise": np.full_like(batch["noise"], np.nan)})
    assert np.isnan(logs["generator/loss"])


def test_one_phase_is_scaled_too_also_in_micro_batches():
    model = with_weights(GAN(dtype="mixed_float16"))
    model.compile({"discriminator": SGD(0.1), "generator": SGD(0.1)}, accumulate=2)
    good, bad = gan_batches(2)
    # The overflow is in one micro-batch only.
    factor = np.ones(8, "float32")
    factor[3] = 1e38
    step(model, bad | {"generator_factor": factor})
    assert scales(model) == {"discriminator": START, "generator": START / 2}
    assert iterations(model) == {"discriminator": 1, "generator": 0}
    step(model, good)
    assert iterations(model) == {"discriminator": 2, "generator": 1}


def test_layers_in_float16_are_scaled_whatever_the_model_says():
    class HalfInside(Regression):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.network = keras.Sequential(
                [keras.Input((3,)), keras.layers.Dense(1, dtype="mixed_float16")]
            )

    model = HalfInside()
    model.compile()
    assert set(model.optimizer.loss_scales) == {"fit"}


def test_float32_and_bfloat16_need_no_scale(gan):
    assert gan.optimizer.loss_scales == {}


def test_bfloat16_trains():
    model = with_weights(Regression(dtype="mixed_bfloat16"))
    model.compile(Adam(0.02))
    assert model.optimizer.loss_scales == {}
    x, y, _ = regression_batches(1)[0]
    losses = [step(model, (x, y))["loss"] for _ in range(100)]
    assert losses[-1] < 0.2 * losses[0]
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
