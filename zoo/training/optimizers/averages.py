"""Bias-corrected moving averages of the weights.

An exponential average that starts from the weights after the first update gives those
weights a share of m^(t - 1) after t updates: with momentum m = 0.999, 84 % after 175
updates. Divided by 1 - m^t (as Adam's moments in Kingma & Ba 2015, section 3), it is
the weighted mean of the weights after each update, where update i has weight m^(t - i).
"""

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine


def start(optimizer: keras.optimizers.Optimizer) -> None:
    """Sets the averages to the weights before the first update; Keras uses zeros."""
    variables = optimizer._trainable_variables
    # Copies, since JAX's steps donate the memory of their arguments.
    for average, value in zip(
        optimizer._model_variables_moving_average,
        engine().copies(variables),
        strict=True,
    ):
        average.assign(value)


def unbias(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer's average unbiased from the first update on.

    The stored average is already divided, so that code that reads or swaps it
    (`SwapEMAWeights`, checkpoints) needs no correction.
    """
    optimizer._update_model_variables_moving_average = functools.partial(
        _update, optimizer
    )


def _update(optimizer: Any, variables: Any) -> None:
    """Moves the average toward the new weights by (1 - m) / (1 - m^t)."""
    momentum = optimizer.ema_momentum
    updates = ops.cast(optimizer.iterations, "float32") + 1.0
    if momentum == 0.0:
        share = 1.0
    elif momentum == 1.0:
        share = 1.0 / updates
    else:
        # 1 - m^t loses precision in float32 if m is near 1; expm1 does not.
        share = (1.0 - momentum) / -ops.expm1(updates * math.log(momentum))
    for variable, average in zip(
        variables, optimizer._model_variables_moving_average, strict=True
    ):
        if average is not None:
            step = ops.cast(share, average.dtype) * (variable - average)
            average.assign(average + step)


@contextlib.contextmanager
def averaged(model: Any, needed: bool) -> Iterator[None]:
    """Within the block, a compiled model's weights are their moving averages.

    Args:
        model: a compiled `zoo.training.Model`.
        needed: whether to raise if no optimizer keeps averages.

    Raises:
        ValueError: `needed`, and no optimizer was made with `use_ema=True`.
    """
    members = [m for m in model.optimizer.members.values() if m.use_ema]
    if needed and not members:
        raise ValueError(
            "There are no averaged weights. Compile with an optimizer that has "
            "use_ema=True."
        )
    swapped = []
    for member in members:
        averages = member._model_variables_moving_average
        for variable, average in zip(
            member._trainable_variables, averages, strict=True
        ):
            present, new = model.engine.copies([variable, average])
            swapped.append((variable, present))
            # A copy, since JAX's steps donate the memory of their arguments.
            variable.assign(new)
    try:
        yield
    finally:
        for variable, value in swapped:
            variable.assign(value)
