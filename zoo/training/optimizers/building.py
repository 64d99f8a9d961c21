"""Builds the optimizers that a model was compiled with."""

from collections.abc import Mapping
from typing import Any

import keras

from zoo.training.finetuning.layer_rates import (
    forget_hooks,
    layerwise_factors,
    scale_rates,
)
from zoo.training.optimizers.group import OptimizerGroup


def built_group(model: Any, optimizer: Any) -> OptimizerGroup:
    """The optimizers of a model's phases, built on the variables that each updates.

    Args:
        model: a `zoo.training.Model` that has its plan.
        optimizer: one optimizer, or one per phase by the phase's name.

    Raises:
        ValueError: the optimizers do not match the phases.
    """
    names = list(model.plan.phase_variables)
    if not isinstance(optimizer, Mapping):
        if len(names) > 1:
            raise ValueError(
                f"{type(model).__name__} trains in {len(names)} phases and needs one "
                f"optimizer for each, got {optimizer!r}. Use compile(optimizer={{"
                + ", ".join(f"{name!r}: ..." for name in names)
                + "})."
            )
        optimizer = {names[0]: optimizer}
    if set(optimizer) != set(names):
        raise ValueError(
            f"The optimizers' keys must be the names of the phases, {names}, "
            f"got {list(optimizer)}."
        )
    group = OptimizerGroup(
        {name: keras.optimizers.get(optimizer[name]) for name in names},
        loss_scaling=any(
            layer.compute_dtype == "float16" for layer in model._flatten_layers()
        ),
    )
    with model.engine.stored():
        group.build_members(model.plan.phase_variables, model.decays)
    for member in group.members.values():
        forget_hooks(member)
        model.engine.tune(member)
        if model.layer_decay != 1:
            factors = layerwise_factors(model.stack(), model.layer_decay)
            scale_rates(member, factors)
    return group
