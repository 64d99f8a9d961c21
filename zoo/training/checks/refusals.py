"""Rejects overrides and weights that Keras would accept but that can't work."""

import keras

# Keras's hooks around compile(loss=, metrics=), neither of which a phase has.
HOOKS = ("compute_loss", "compute_metrics")


def refuse_hooks(model: keras.Model) -> None:
    """Raises a ValueError if a subclass overrides a hook that no step calls."""
    for name in HOOKS:
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise ValueError(
                f"{type(model).__name__} overrides {name}(), which no zoo.training."
                "Model calls: its losses and metrics are the terms that its phases "
                "return. Override phases(), or the loss that a phase names, and add "
                "to the terms of super(); a layer's add_loss() is included too."
            )


def refuse_16_bit_weights(model: keras.Model) -> None:
    """Raises a ValueError if 16-bit rounding would lose the updates of the weights."""
    for variable in model.trainable_variables:
        if variable.dtype in ("bfloat16", "float16"):
            raise ValueError(
                f"{variable.path} of {type(model).__name__} is stored in "
                f"{variable.dtype}, in which most updates are too small to change a "
                "weight. Train with the policy mixed_bfloat16 (dtype="
                '"mixed_bfloat16" or keras.config.set_dtype_policy), which computes '
                "in 16 bits and stores the weights in float32."
            )
