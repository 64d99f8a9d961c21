"""What both of TensorFlow's strategies ask about devices."""

import os

import tensorflow as tf

MORE_DEVICES = (
    "On a CPU, call tf.config.set_logical_device_configuration before anything else "
    "uses TensorFlow."
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
