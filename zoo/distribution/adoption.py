"""Adopts a `tf.distribute` scope that the user has opened."""

import keras

from zoo.engine.base import Engine
from zoo.engine.current import adopting


@adopting
def adopted(local: Engine) -> Engine:
    """The engine for the scope around the caller; the backend's own if there is none.

    Raises:
        ValueError: the scope is of a strategy that zoo does not support.
    """
    if keras.config.backend() != "tensorflow":
        return local
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return local
    from zoo.distribution import tensorflow_mirrored
    from zoo.engine.tensorflow.engine import TensorFlowEngine

    assert isinstance(local, TensorFlowEngine)
    return tensorflow_mirrored.adopted(tf.distribute.get_strategy(), local)
