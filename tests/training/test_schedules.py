"""Schedules against their closed forms."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from keras.optimizers.schedules import deserialize, serialize

from zoo.training import ConstantThenLinear, WarmupCosine, WarmupInverseSqrt
from zoo.training.optimizers.schedules import Scaled


def rates(schedule, steps):
    return [float(ops.convert_to_numpy(schedule(step))) for step in steps]


def nanogpt_rate(it, learning_rate, warmup_iters, lr_decay_iters, min_lr):
    """`get_lr` of nanoGPT's train.py."""
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (learning_rate - min_lr)


@pytest.mark.parametrize("warmup", [0, 7])
def test_warmup_cosine_is_nanogpts(warmup):
    schedule = WarmupCosine(1e-3, total_steps=40, warmup_steps=warmup, final=1e-4)
    expected = [nanogpt_rate(it, 1e-3, warmup, 40, 1e-4) for it in range(60)]
    np.testing.assert_allclose(rates(schedule, range(60)), expected, rtol=1e-6)


def test_constant_then_linear_is_cyclegans():
    """Half the time constant, then linearly to zero, and zero from there on."""
    schedule = ConstantThenLinear(2e-4, total_steps=200, constant_steps=100)
    steps = [0, 50, 99, 100, 150, 199, 200, 300]
    expected = np.array([1, 1, 1, 1, 0.5, 0.01, 0, 0]) * 2e-4
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-5)


def test_warmup_then_linear_is_berts():
    schedule = ConstantThenLinear(1e-4, total_steps=110, warmup_steps=10)
    steps = [0, 4, 9, 10, 60, 109, 110]
    expected = np.array([1 / 11, 5 / 11, 10 / 11, 1, 0.5, 0.01, 0]) * 1e-4
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-5)


def test_warmup_inverse_sqrt_is_the_transformer_s():
    """Vaswani et al. 2017, equation 3."""
    schedule = WarmupInverseSqrt.of_width(512, warmup_steps=20)
    updates = np.arange(1, 100)
    expected = 512**-0.5 * np.minimum(updates**-0.5, updates * 20**-1.5)
    np.testing.assert_allclose(rates(schedule, updates - 1), expected, rtol=1e-6)
    assert expected.argmax() == 19
    with pytest.raises(ValueError, match="warmup_steps must be .* from 1, got 0"):
        WarmupInverseSqrt(1e-3, 0)


@pytest.mark.parametrize(
    "schedule",
    [
        WarmupCosine(1e-3, 40, 7, 1e-4),
        ConstantThenLinear(1e-3, 40, 7, 5),
        WarmupInverseSqrt(1e-3, 7),
        Scaled(WarmupCosine(1e-3, 40, 7, 1e-4), 0.5),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_schedules_survive_serialisation(schedule):
    restored = deserialize(serialize(schedule))
    assert type(restored) is type(schedule)
    assert rates(restored, range(50)) == rates(schedule, range(50))


def test_an_optimizer_on_a_schedule_survives_serialisation():
    adam = keras.optimizers.Adam(WarmupCosine(1e-3, 40, 7))
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(adam))
    assert float(restored.learning_rate) == float(adam.learning_rate)


@pytest.mark.parametrize("warmup, total", [(-1, 10), (10, 10), (0, 0)])
def test_a_warmup_that_does_not_fit_raises(warmup, total):
    with pytest.raises(ValueError, match=f"warmup_steps={warmup}, total_steps={total}"):
        WarmupCosine(1e-3, total, warmup)


def test_parts_that_do_not_fit_raise():
    with pytest.raises(
        ValueError, match="warmup_steps=4, constant_steps=8, total_steps=10"
    ):
        ConstantThenLinear(1e-3, total_steps=10, constant_steps=8, warmup_steps=4)
