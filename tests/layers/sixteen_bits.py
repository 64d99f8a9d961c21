"""A layer's outputs and its first change, in 16 bits beside float32."""

import keras
import numpy as np
from keras import ops

PRECISIONS = ("mixed_bfloat16", "mixed_float16")


def assert_trains_alike(model_in, precision, x, target):
    """What goes forward and what goes back.

    Args:
        model_in: makes the same model in a precision.
        precision: of `PRECISIONS`.
        x: inputs of one batch.
        target: for the squared error.
    """
    ends = []
    for policy in ("float32", precision):
        model = model_in(policy)
        model.compile(keras.optimizers.SGD(1.0), "mse")
        before = model.get_weights()
        found = ops.convert_to_numpy(ops.cast(model(x), "float32"))
        model.fit(x, target, batch_size=len(x), shuffle=False, verbose=0)
        pairs = zip(before, model.get_weights(), strict=True)
        ends.append([found, np.concatenate([np.ravel(a - b) for a, b in pairs])])
    close = {"mixed_bfloat16": 0.05, "mixed_float16": 0.01}[precision]  # 8 and 11 bits
    # All changes as one vector: those of single weights may be sums that cancel.
    for exact, found in zip(*ends, strict=True):
        assert np.linalg.norm(found - exact) < close * np.linalg.norm(exact)
