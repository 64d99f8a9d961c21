"""Decoders of two latents with an exactly known likelihood."""

import keras
import numpy as np
from keras import ops
from scipy import special, stats

from zoo.layers.latent.observations import Bernoulli, Gaussian

# With orthogonal rows, the exact posterior's covariance is diagonal.
WEIGHTS = np.array([[1.0, 0.5, 0.3], [-0.5, 1.0, 0.0]], "float32")
BIAS = np.array([0.2, -0.1, 0.4], "float32")
STDDEV = 0.5


class Linear:
    """Factor analysis: x = z W + b + noise."""

    latent_dim = 2
    observation = Gaussian(STDDEV)

    def __init__(self):
        self.decode = _decoder(2, [3], [WEIGHTS, BIAS])
        self.variables = self.decode.variables
        self.posterior_variance = 1 / (1 + (WEIGHTS**2).sum(axis=1) / STDDEV**2)

    def data(self, count, seed=0):
        rng = np.random.default_rng(seed)
        noise = STDDEV * rng.normal(size=(count, 3))
        return (rng.normal(size=(count, 2)) @ WEIGHTS + BIAS + noise).astype("float32")

    def encode(self, x, widening=1.0):
        variance = ops.convert_to_tensor(self.posterior_variance, "float32")
        back = ops.transpose(ops.convert_to_tensor(WEIGHTS)) * variance / STDDEV**2
        mean = ops.matmul(x - ops.convert_to_tensor(BIAS), back)
        return mean, ops.log(widening * variance) + ops.zeros_like(mean)

    def log_likelihood(self, x):
        covariance = WEIGHTS.T @ WEIGHTS + STDDEV**2 * np.eye(3)
        return stats.multivariate_normal(BIAS, covariance).logpdf(x)


class Binary:
    """A small network with Bernoulli outputs."""

    latent_dim = 2
    observation = Bernoulli()

    def __init__(self):
        rng = np.random.default_rng(0)
        shapes = (2, 8), (8,), (8, 5), (5,)
        self.weights = [rng.normal(0, 1, shape).astype("float32") for shape in shapes]
        self.decode = _decoder(2, [8, 5], self.weights)
        self.variables = self.decode.variables

    def data(self, count, seed=0):
        rng = np.random.default_rng(seed)
        return (rng.uniform(size=(count, 5)) < 0.5).astype("float32")

    def encode(self, x):
        mean = 0.0 * x[:, :2]
        return mean, mean + 0.2

    def log_likelihood(self, x):
        """Computes log p(x) by quadrature over a grid."""
        points = np.linspace(-7, 7, 201)
        z = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2)
        first, first_bias, second, second_bias = self.weights
        logits = np.tanh(z @ first + first_bias) @ second + second_bias
        given = x @ special.log_expit(logits).T + (1 - x) @ special.log_expit(-logits).T
        prior = stats.norm.logpdf(z).sum(axis=1)
        area = (points[1] - points[0]) ** 2
        return special.logsumexp(given + prior, axis=1) + np.log(area)


def _decoder(latent_dim, widths, weights):
    activations = ["tanh"] * (len(widths) - 1) + [None]
    layers = [
        keras.layers.Dense(width, activation=activation)
        for width, activation in zip(widths, activations, strict=True)
    ]
    network = keras.Sequential([keras.Input((latent_dim,)), *layers])
    network.set_weights(weights)
    return network
