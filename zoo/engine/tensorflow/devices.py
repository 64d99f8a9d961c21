"""What both of TensorFlow's strategies ask about devices."""

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
    """GPU, or else CPU."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def refuse_other_processes() -> None:
    """Raises where TensorFlow was told of other processes."""
    for name in ("TF_CONFIG", "DTENSOR_JOBS"):
        if os.environ.get(name):
            raise ValueError(
                f"{name} names other processes: {os.environ[name]!r}. On TensorFlow "
                "zoo trains in one process: Keras 3 does not work under "
                "MultiWorkerMirroredStrategy, and DTensor between processes was never "
                "tried here. For several hosts use the jax or torch backend."
            )


def refuse_scope() -> None:
    """Raises within a strategy's scope that the model was not made in."""
    if tf.distribute.has_strategy():
        raise ValueError(
            f"This is the scope of a {_strategy()}, in which the model was not made: "
            "its variables do not lie on the strategy's devices. Make, compile and fit "
            f"a model in one scope, or better: {INSTEAD}"
        )


def refuse_use_within() -> None:
    """Raises where `use` is opened within a strategy's scope."""
    if tf.distribute.has_strategy():
        raise ValueError(
            "zoo.distribution.use lays out devices, and so does the scope of a "
            f"{_strategy()} around it. Leave that scope out."
        )


def _strategy() -> str:
    return type(tf.distribute.get_strategy()).__name__


def refuse_keras_distribution(training: bool) -> None:
    """Raises where one was set, of which Keras takes no notice on TensorFlow."""
    distribution = keras.distribution.distribution()
    if training and distribution is not None:
        raise ValueError(
            f"keras.distribution was set to a {type(distribution).__name__}, of which "
            f"Keras takes no notice on TensorFlow. Instead, {INSTEAD}"
        )
