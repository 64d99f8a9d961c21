"""What a seed makes the same."""

import random
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from zoo.engine.current import engine
from zoo.training.seeds import set_seed


def drawn():
    return (
        random.random(),
        np.random.rand(),
        keras.ops.convert_to_numpy(keras.random.normal((3,))).tolist(),
        {name: x.tolist() for name, x in engine().random_state().items()},
    )


def test_equal_seeds_draw_alike():
    set_seed(3)
    first = drawn()
    assert drawn()[:3] != first[:3]
    set_seed(3)
    assert drawn() == first
    set_seed(4)
    assert drawn() != first


def test_seeding_starts_no_tensorflow_on_other_backends():
    code = (
        "import sys, keras; from zoo.training.seeds import set_seed; set_seed(0);"
        "print(keras.config.backend(), 'tensorflow' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True
    )
    name, started = done.stdout.split()
    assert (name == "tensorflow") == (started == "True")
