"""Seeds every random generator of a process."""

import sys

import keras
from keras.src.utils.module_utils import tensorflow

from zoo.engine.current import engine


def set_seed(seed: int) -> None:
    """Keras's `set_random_seed`, which also seeds the engine but imports no TensorFlow.

    Keras would import TensorFlow on any backend to seed tf.data's shuffling, which
    costs seconds and prints TensorFlow's log lines. If it is already imported, it is
    seeded.

    Args:
        seed: a whole number.
    """
    known = tensorflow._available
    if "tensorflow" not in sys.modules:
        tensorflow._available = False
    try:
        keras.utils.set_random_seed(seed)
    finally:
        tensorflow._available = known
    engine().set_seed(seed)
