"""Checks of devices that both TensorFlow strategies share."""

import os

import keras
import tensorflow as tf

MORE_DEVICES = (
    "On a CPU, call tf.config.set_logical_device_configuration before anything else "
    "uses TensorFlow."
)
INSTEAD = (
    "leave it out, and put the model, compile and fit into\n\n"
    "    with zoo.distribution.use(data=-1):  # all devices, or say how many"
)


def kind() -> str:
    """The kind of devices to use: GPU if there is one, else CPU."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def refuse_other_processes() -> None:
    """Raises ValueError if the environment names other TensorFlow processes."""
    for name in ("TF_CONFIG", "DTENSOR_JOBS"):
        if os.environ.get(name):
            raise ValueError(
                f"{name} must not name other processes, got {os.environ[name]!r}. On "
                "TensorFlow, zoo trains in one process: Keras 3 does not work under "
                "MultiWorkerMirroredStrategy, and DTensor across processes is "
                "untested. For several hosts use the jax or torch backend."
            )


def refuse_scope() -> None:
    """Raises ValueError in a strategy's scope that the model was not made in."""
    if tf.distribute.has_strategy():
        raise ValueError(
            f"The model was not made in this scope of a {_strategy()}, so its "
            "variables are not on the strategy's devices. Make, compile and fit a "
            f"model in one scope, or better: {INSTEAD}"
        )


def refuse_use_within() -> None:
    """Raises ValueError if `use` is opened in a strategy's scope."""
    if tf.distribute.has_strategy():
        raise ValueError(
            "zoo.distribution.use can't be opened in the scope of a "
            f"{_strategy()}: both lay out devices. Leave that scope out."
        )


def _strategy() -> str:
    return type(tf.distribute.get_strategy()).__name__


def refuse_keras_distribution(training: bool) -> None:
    """Raises ValueError if one is set for training: Keras ignores it on TensorFlow."""
    distribution = keras.distribution.distribution()
    if training and distribution is not None:
        raise ValueError(
            f"keras.distribution is set to a {type(distribution).__name__}, which "
            f"Keras ignores on TensorFlow. Instead, {INSTEAD}"
        )
