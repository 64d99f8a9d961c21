"""Learning rates that differ between a model's layers.

Keras's optimizers have one rate for all variables. Scaling the gradients would not
help, since Adam's update is invariant to their scale. So the rate itself is multiplied
where an optimizer uses it: in its update of one variable, in torch's update of several
at once, and in weight decay, which is proportional to the rate.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

# The methods that are replaced on an optimizer, here and by `Engine.tune`.
HOOKS = ("update_step", "_parallel_update_step", "_apply_weight_decay")


def layerwise_factors(
    stack: Sequence[Sequence[keras.Layer]], decay: float
) -> dict[int, float]:
    """Factors of the learning rate by variable id; variables not listed have 1.

    Each layer's factor is `decay` times that of the layer above; layers above the stack
    have 1 (Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?"; Clark et
    al. 2020, appendix B, whose code gives the whole stack one power more).

    Args:
        stack: the layers at each height, from the bottom up.
        decay: ratio of a layer's rate to that of the layer above.
    """
    return {
        id(variable): decay ** (len(stack) - height)
        for height, layers in enumerate(stack)
        for layer in layers
        for variable in layer.variables
    }


def forget_hooks(optimizer: keras.optimizers.Optimizer) -> None:
    """Restores the own methods of an optimizer from an earlier `compile`."""
    for name in HOOKS:
        vars(optimizer).pop(name, None)


def scale_rates(
    optimizer: keras.optimizers.Optimizer, factors: Mapping[int, float]
) -> None:
    """Multiplies a built optimizer's learning rate by one factor per variable.

    Gradient clipping comes before and weight averaging after, so neither changes.

    Args:
        optimizer: a Keras optimizer, tuned by the engine.
        factors: factors by variable id; 1 for the others.

    Raises:
        ValueError: the optimizer delegates to other optimizers.
    """
    if type(optimizer).apply is not keras.optimizers.Optimizer.apply:
        raise ValueError(
            f"{type(optimizer).__name__} delegates to other optimizers, whose rates "
            "layer_decay does not reach. Use one plain optimizer per phase."
        )
    by_index = [factors.get(id(v), 1.0) for v in optimizer._trainable_variables]

    def factor(variable: Any) -> float:
        # By index: TensorFlow's optimizers are passed TensorFlow's own variables.
        return by_index[optimizer._get_variable_index(variable)]

    update, decay = optimizer.update_step, optimizer._apply_weight_decay

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> Any:
        return update(gradient, variable, learning_rate * factor(variable))

    def apply_weight_decay(variables: Any) -> None:
        decayed = [v for v in variables if optimizer._use_weight_decay(v)]
        for share in sorted({factor(v) for v in decayed}):
            with _rate_times(optimizer, share):
                decay([v for v in decayed if factor(v) == share])

    optimizer.update_step = update_step
    optimizer._apply_weight_decay = apply_weight_decay
    together = getattr(optimizer, "_parallel_update_step", None)
    if together is None:
        return

    def parallel_update_step(
        gradients: Any, variables: Any, learning_rate: Any
    ) -> None:
        # Nadam's running product, which must advance once, not once per factor.
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
def _rate_times(optimizer: Any, factor: float) -> Iterator[None]:
    """Within the block, the optimizer's learning rate is multiplied by `factor`."""

    def rate() -> Any:
        return type(optimizer)._get_current_learning_rate(optimizer) * factor

    optimizer._get_current_learning_rate = rate
    try:
        yield
    finally:
        # Replicas of a step alternate here.
        vars(optimizer).pop("_get_current_learning_rate", None)
