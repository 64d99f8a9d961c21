"""Compiled toys, which tests share: compiling takes most of the time."""

import numpy as np
import pytest
from keras import ops
from keras.optimizers import Adam

from tests.training.toys import (
    GAN,
    Regression,
    RegressionConfig,
    with_weights,
)


def restarting(model):
    """A function that gives the model with all its state as it is now."""
    optimizer = model.optimizer
    start = [
        (variable, np.array(ops.convert_to_numpy(variable)))
        for variable in [*model.variables, *optimizer.variables]
    ]

    def restart():
        # A new optimizer would keep its state, and the test before would be to blame.
        assert model.optimizer is optimizer, "a test compiled a shared model anew"
        for variable, value in start:
            variable.assign(value)
        model.reset_metrics()
        return model

    return restart


def adam_pair():
    return {"discriminator": Adam(0.02), "generator": Adam(0.01)}


@pytest.fixture(scope="session")
def restart_gan():
    model = with_weights(GAN())
    model.compile(adam_pair())
    return restarting(model)


@pytest.fixture(scope="session")
def restart_regression():
    model = with_weights(Regression())
    model.compile(Adam(0.01))
    return restarting(model)


@pytest.fixture(scope="session")
def restart_weighted():
    """A function that restarts the weighted regression that is cut into `parts`."""
    restarts = {}

    def restart(parts):
        if parts not in restarts:
            model = with_weights(Regression(RegressionConfig(weighted=True)))
            model.compile(Adam(0.01), accumulate=parts)
            restarts[parts] = restarting(model)
        return restarts[parts]()

    return restart


@pytest.fixture
def gan(restart_gan):
    """Two phases, each with Adam, compiled by default; as new."""
    return restart_gan()


@pytest.fixture
def regression(restart_regression):
    """One phase with Adam, compiled by default; as new."""
    return restart_regression()
