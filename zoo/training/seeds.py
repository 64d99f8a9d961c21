"""The seed of everything random in a process."""

import sys

import keras
from keras.src.utils.module_utils import tensorflow

from zoo.engine.current import engine


def set_seed(seed: int) -> None:
    """Keras's `set_random_seed`, without a start of TensorFlow for it.

    Keras would import TensorFlow on any backend, to seed tf.data's shuffling too: some
    seconds, and what TensorFlow says of itself. Where it was imported it is seeded.
    """
    known = tensorflow._available
    if "tensorflow" not in sys.modules:
        tensorflow._available = False
    try:
        keras.utils.set_random_seed(seed)
    finally:
        tensorflow._available = known
    engine().set_seed(seed)
