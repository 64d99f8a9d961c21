"""Learning rates that differ between a model's layers.

Keras's optimizers have one rate for all variables. Dividing gradients is no way to
another, since Adam's update does not see their scale; so the rate itself is multiplied
where an optimizer uses it: in its update of a variable, in torch's update of several at
once, and in the decay of weights, which is the rate's share of them.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import keras
from keras import ops

# What is replaced on one optimizer, here and by `Engine.tune`.
HOOKS = ("update_step", "_parallel_update_step", "_apply_weight_decay")


def layerwise_factors(
    stack: Sequence[Sequence[keras.Layer]], decay: float
) -> dict[int, float]:
    """Factors of the rate by the ids of variables; those that are not there have 1.

    Each layer's is `decay` times that of the layer above, what stands on the stack
    having 1 (Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?"; Clark
    et al. 2020, appendix B, whose code gives all of the stack one power more).
    """
    return {
        id(variable): decay ** (len(stack) - height)
        for height, layers in enumerate(stack)
        for layer in layers
        for variable in layer.variables
    }


def forget_hooks(optimizer: keras.optimizers.Optimizer) -> None:
    """Gives back its own methods to an optimizer that was compiled with before."""
    for name in HOOKS:
        vars(optimizer).pop(name, None)


def scale_rates(
    optimizer: keras.optimizers.Optimizer, factors: Mapping[int, float]
) -> None:
    """Multiplies a built optimizer's rate for each variable by a factor of its own.

    Clipping comes before and averaging of weights after it, so neither is touched.

    Args:
        optimizer: one of Keras's, tuned by the engine.
        factors: by the ids of variables; 1 for others.

    Raises:
        ValueError: the optimizer hands its variables to others.
    """
    if type(optimizer).apply is not keras.optimizers.Optimizer.apply:
        raise ValueError(
            f"{type(optimizer).__name__} updates variables by other optimizers, whose "
            "rates layer_decay does not reach. Use one optimizer a phase."
        )
    by_index = [factors.get(id(v), 1.0) for v in optimizer._trainable_variables]

    def factor(variable) -> float:
        # By index: TensorFlow's optimizers see variables of its own.
        return by_index[optimizer._get_variable_index(variable)]

    update, decay = optimizer.update_step, optimizer._apply_weight_decay

    def update_step(gradient, variable, learning_rate):
        return update(gradient, variable, learning_rate * factor(variable))

    def apply_weight_decay(variables):
        decayed = [v for v in variables if optimizer._use_weight_decay(v)]
        for share in sorted({factor(v) for v in decayed}):
            with _rate_times(optimizer, share):
                decay([v for v in decayed if factor(v) == share])

    optimizer.update_step = update_step
    optimizer._apply_weight_decay = apply_weight_decay
    together = getattr(optimizer, "_parallel_update_step", None)
    if together is None:
        return

    def parallel_update_step(gradients, variables, learning_rate):
        # Nadam's running product, which has to move once and not once a factor.
        product = getattr(optimizer, "_u_product", None)
        before = None if product is None else ops.copy(product)
        for share in sorted({factor(v) for v in variables}):
            own = [i for i, v in enumerate(variables) if factor(v) == share]
            if product is not None:
                product.assign(before)
            together(
                [gradients[i] for i in own],
                [variables[i] for i in own],
                learning_rate * share,
            )

    optimizer._parallel_update_step = parallel_update_step


@contextlib.contextmanager
def _rate_times(optimizer, factor: float) -> Iterator[None]:
    """Within, the optimizer reads its rate as `factor` times what it is."""

    def rate():
        return type(optimizer)._get_current_learning_rate(optimizer) * factor

    optimizer._get_current_learning_rate = rate
    try:
        yield
    finally:
        # Replicas of a step take turns at this.
        vars(optimizer).pop("_get_current_learning_rate", None)
