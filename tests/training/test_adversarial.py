"""Against the papers' formulas, in NumPy."""

import numpy as np
import pytest
from keras import ops
from scipy.special import expit

from zoo.training import input_gradient
from zoo.training.adversarial.losses import LOSSES, gradient_penalty

SCORES = np.linspace(-4, 4, 17).astype("float32")
D = expit(SCORES.astype("float64"))  # D(x) of a score

# Of the discriminator on real data (target 1) and on generated data; the generator's.
CLOSED = {
    "minimax": (-np.log(D), -np.log(1 - D), np.log(1 - D)),
    "non_saturating": (-np.log(D), -np.log(1 - D), -np.log(D)),
    "least_squares": ((SCORES - 1) ** 2 / 2, SCORES**2 / 2, (SCORES - 1) ** 2 / 2),
    "hinge": (
        -np.minimum(0, SCORES - 1),
        -np.minimum(0, -SCORES - 1),
        -SCORES,
    ),
    "wgan_gp": (-SCORES, SCORES, -SCORES),
}


def close(found, expected):
    found = ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_their_closed_forms(name):
    loss, scores = LOSSES[name], ops.convert_to_tensor(SCORES)
    real, fake, generator = CLOSED[name]
    close(loss.real(scores, 1.0), real)
    close(loss.fake(scores), fake)
    close(loss.generator(scores), generator)
    close(loss.judgement(scores), D if loss.probabilistic else SCORES)


def test_smoothed_targets():
    scores = ops.convert_to_tensor(SCORES)
    for name in ("minimax", "non_saturating"):
        close(LOSSES[name].real(scores, 0.9), -0.9 * np.log(D) - 0.1 * np.log(1 - D))
    close(LOSSES["least_squares"].real(scores, 0.9), (SCORES - 0.9) ** 2 / 2)
    for name in ("hinge", "wgan_gp"):
        assert not LOSSES[name].has_target


def test_the_saturating_gradient_vanishes_where_fakes_are_found_out():
    scores = ops.convert_to_tensor(SCORES)
    close(input_gradient(LOSSES["minimax"].generator, scores), -D)
    close(input_gradient(LOSSES["non_saturating"].generator, scores), D - 1)


def test_the_gradient_penalty_of_a_quadratic_critic():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 5, 2, 3)).astype("float32")
    mix = rng.uniform(size=5).astype("float32")
    between = mix[:, None, None] * real + (1 - mix[:, None, None]) * fake
    # The critic |x|² has the gradient 2x.
    norms = 2 * np.sqrt((between**2).sum(axis=(1, 2)))
    found = gradient_penalty(
        lambda x: ops.sum(ops.square(x), axis=(1, 2)),
        *(ops.convert_to_tensor(x) for x in (real, fake, mix)),
    )
    close(found, np.mean((norms - 1) ** 2))
