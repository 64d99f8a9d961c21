"""LoRA: fine-tuning by low-rank updates of frozen matrices (Hu et al. 2021).

A layer's matrix W becomes W + alpha/rank · A·B, where only A and B are trained.
Keras's layers and `zoo.layers.Dense` hold both factors; this module chooses the layers
that have them and freezes the rest. B starts at zero, so that the model is unchanged
until it is trained.
"""

from collections.abc import Sequence
from typing import Any

import keras


def enable_lora(
    model: Any, rank: int, alpha: float | None = None, targets: Sequence[str] = ()
) -> None:
    """Freezes a model's `stack()`, norms and biases too, and adapts matrices in it.

    The head stays trainable. `save_to_preset`, `save` and exports write the plain
    model, with the products merged into the matrices.

    Args:
        model: a `zoo.training.Model`, not yet compiled.
        rank: columns of A and rows of B, for each target.
        alpha: the product A·B is scaled by alpha/rank; None means `rank`, a scale of 1.
        targets: names of projections. In a transformer block these are "query", "key",
            "value" and "output" of attention, "expand" and "contract".

    Raises:
        ValueError: an argument is invalid, or the model is compiled, already has LoRA,
            or has no such targets.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"rank must be a whole number from 1, got {rank!r}.")
    if alpha is not None and alpha <= 0:
        raise ValueError(f"alpha must be above 0, got {alpha!r}.")
    if model.compiled or has_lora(model):
        raise ValueError(
            "LoRA must be enabled once and before compile(), since it changes what is "
            "trained. Make a new model."
        )
    layers = {
        id(layer): layer
        for height in model.stack()
        for top in height
        for layer in top._flatten_layers()
    }
    adaptable = [x for x in layers.values() if hasattr(x, "enable_lora")]
    known = {name for layer in adaptable for name in _names(layer)}
    if not targets or not known.issuperset(targets):
        raise ValueError(
            f"LoRA's targets must be among {sorted(known)}, got {list(targets)}."
        )
    for layer in layers.values():
        for variable in layer._trainable_variables:
            variable.trainable = False
    for layer in adaptable:
        chosen = [name for name in _names(layer) if name in targets]
        if chosen:
            parts = {"parts": chosen} if hasattr(layer, "parts") else {}
            layer.enable_lora(rank, alpha, **parts)


def _names(layer: Any) -> tuple[str, ...]:
    """The target names of a layer: its own, or those of the projections in it."""
    return getattr(layer, "parts", (layer.name,))


def lora_layers(model: Any) -> list[keras.Layer]:
    """The layers of a model that have LoRA factors."""
    layers = model._flatten_layers()
    return [layer for layer in layers if getattr(layer, "lora_enabled", False)]


def has_lora(model: Any) -> bool:
    """Whether any layer of a model has LoRA factors."""
    return bool(lora_layers(model))
