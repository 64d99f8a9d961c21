"""What the engines offer beside the step."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.optimizers import SGD

from tests.training.toys import step
from zoo.engine.base import Engine
from zoo.engine.current import engine
from zoo.training import Model, Phase, input_gradient


def quadratic(matrix, x):
    """x·A·x, row by row."""
    return ops.sum(ops.matmul(x, matrix) * x, axis=-1)


class Critic(Model):
    """f(x) = x·A·x, trained by WGAN-GP's penalty alone (Gulrajani et al. 2017)."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3, use_bias=False)
        self.dense.build((None, 3))

    def phases(self):
        return (Phase("critic", self.penalty, trains=[self.dense]),)

    def call(self, x):
        return ops.sum(self.dense(x) * x, axis=-1)

    def penalty(self, x):
        norms = ops.norm(input_gradient(self, x), axis=-1)
        return {"loss": ops.mean(ops.square(norms - 1))}


MATRIX = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
X = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")


def penalty_and_gradient():
    """mean (|g| - 1)^2 for g = (A + A')x, and its gradient for A."""
    g = X @ (MATRIX + MATRIX.T)
    norm = np.linalg.norm(g, axis=1)
    factor = 2 * (norm - 1) / norm / len(X)
    outer = np.einsum("n,ni,nj->ij", factor, X, g)
    return np.mean((norm - 1) ** 2), outer + outer.T


def test_the_input_gradient_is_the_closed_form():
    gradient = input_gradient(
        lambda x: quadratic(ops.convert_to_tensor(MATRIX), x), ops.convert_to_tensor(X)
    )
    expected = X @ (MATRIX + MATRIX.T)
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), expected, rtol=1e-5)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_gradient_penalty_moves_the_critic_by_its_second_derivative(parts):
    critic = Critic()
    critic.dense.kernel.assign(MATRIX)
    critic.compile(SGD(1.0), accumulate=parts)
    penalty, gradient = penalty_and_gradient()
    assert step(critic, X)["loss"] == pytest.approx(penalty, rel=1e-5)
    moved = MATRIX - ops.convert_to_numpy(critic.dense.kernel)
    np.testing.assert_allclose(moved, gradient, rtol=1e-4, atol=1e-5)


def test_a_compiled_function_reads_and_keeps_state():
    weight = keras.Variable(2.0)
    count = keras.Variable(0.0, trainable=False)

    def function(x):
        count.assign_add(1.0)
        return {"y": x * weight.value}

    compiled = engine().compile(function, lambda: [weight, count])
    x = np.ones((2,), "float32")
    for value in (2.0, 3.0):
        weight.assign(value)
        np.testing.assert_array_equal(ops.convert_to_numpy(compiled(x)["y"]), value)
    assert float(ops.convert_to_numpy(count)) == 2


def test_write_puts_an_update_at_an_index():
    array, update = np.zeros((2, 5, 3), "float32"), np.ones((2, 2, 3), "float32")
    written = engine().write(
        ops.convert_to_tensor(array), ops.convert_to_tensor(update), 1
    )
    array[:, 1:3] = 1
    np.testing.assert_array_equal(ops.convert_to_numpy(written), array)


def test_the_random_state_can_be_restored():
    _draw()  # TensorFlow's generator is there from its first use on
    state = engine().random_state()
    first = np.array(ops.convert_to_numpy(_draw()))
    engine().set_random_state(state)
    np.testing.assert_array_equal(ops.convert_to_numpy(_draw()), first)


def _draw():
    """Three numbers from the backend's own generator, where it has one."""
    match keras.config.backend():
        case "torch":
            import torch

            return torch.rand(3)
        case "tensorflow":
            import tensorflow as tf

            return tf.random.get_global_generator().normal((3,))
    return np.zeros(3)


@pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="the others always compile, or never"
)
def test_auto_compiles_on_a_cpu_where_fusion_pays(monkeypatch):
    critic = Critic()
    monkeypatch.setattr(Critic, "fusion_pays", True)
    for asked, found in (("auto", True), (False, False)):
        critic.compile(SGD(1.0), jit_compile=asked)
        assert critic.jit_compile is found
    critic.compile(SGD(1.0), run_eagerly=True)
    assert critic.jit_compile is False


def test_an_engine_that_lacks_a_method_cannot_be_made():
    class Forgetful(type(engine())):
        gradients = Engine.gradients

    with pytest.raises(TypeError, match="abstract method '?gradients"):
        Forgetful()
