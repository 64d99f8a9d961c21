"""Weights of examples: `sample_weight` and `class_weight` of `fit`.

A weighted loss is the weighted mean, sum(w * loss) / sum(w), over all parts of a batch;
Keras divides by the number of examples instead. Metrics such as accuracy are
unweighted, as are Keras's `metrics`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops, tree

from zoo.training.phases import WeightedMean


def check_arguments(model: Any, arguments: Mapping[str, Any]) -> None:
    """Raises for weights among `fit`'s arguments that would have no effect.

    Raises:
        ValueError: the model takes no weights, or `class_weight` does not fit it.
    """
    name, weights = type(model).__name__, arguments.get("class_weight")
    if arguments.get("sample_weight") is not None or weights is not None:
        refuse(model)
    if weights is None:
        return
    num_classes = getattr(model.config, "num_classes", 0)
    if not model.class_targets or num_classes == 1:
        raise ValueError(
            f"class_weight weighs classes, one per example, and {name} is not trained "
            "on such targets. Leave it out; sample_weight weighs examples, or tokens "
            "where there are any."
        )
    unknown = [key for key in weights if num_classes and key not in range(num_classes)]
    if unknown:
        raise ValueError(
            f"class_weight names the classes {unknown}, and {name} has classes from 0 "
            f"to {num_classes - 1}. Name only these."
        )


def refuse(model: Any) -> None:
    """Raises a ValueError if weights are meaningless for a model's losses."""
    if model.weightless:
        raise ValueError(
            f"{type(model).__name__} takes no sample_weight or class_weight: "
            f"{model.weightless}"
        )


def parts(batch: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights of a batch; None for those that it lacks."""
    given = batch if isinstance(batch, tuple) else (batch,)
    x, y, weights = (*given, None, None)[:3]
    return x, y, weights


def with_place(arguments: dict[str, Any]) -> dict[str, Any]:
    """`fit`'s arguments with placeholder targets if there are weights but no targets.

    Keras would drop the weights; empty targets of shape (N, 0) keep them.
    """
    x, weights = arguments["x"], arguments.get("sample_weight")
    if weights is None or arguments.get("y") is not None:
        return arguments
    rows = [leaf.shape[0] for leaf in tree.flatten(x) if hasattr(leaf, "shape")]
    if not rows:
        return arguments
    return {**arguments, "y": np.empty((rows[0], 0), "float32")}


def is_place(y: Any) -> bool:
    """Whether targets are the placeholder of `with_place`."""
    return len(getattr(y, "shape", ())) == 2 and y.shape[1] == 0


def check_weights(weights: Any, *shapes: tuple[int, ...]) -> None:
    """Raises a ValueError unless weights are finite, >= 0 and of an allowed shape."""
    weights = np.asarray(weights)
    if weights.shape not in shapes:
        expected = " or ".join(map(str, dict.fromkeys(shapes)))
        raise ValueError(
            f"sample_weight must be of shape {expected}, got shape {weights.shape}."
        )
    if weights.dtype.kind not in "fiub" or not (
        np.isfinite(weights).all() and (weights >= 0).all()
    ):
        raise ValueError(
            "sample_weight must be numbers from 0 up, all finite, got values from "
            f"{weights.min()} to {weights.max()}."
        )


def over_tokens(weights: Any, tokens: Any) -> Any:
    """Weights (B, T) in float32, from weights per token, (B, T), or example, (B,)."""
    weights = ops.cast(weights, "float32")
    if len(weights.shape) == 1:
        weights = weights[:, None] * ops.ones_like(tokens, dtype="float32")
    return weights


def mean_of(values: Any, weights: Any = None) -> Any:
    """The mean of values (B,) as a term, weighted if there are weights (B,)."""
    return ops.mean(values) if weights is None else WeightedMean.of(values, weights)


def total_of(batch: Mapping[str, Any], *terms: str) -> dict[str, Any]:
    """`Phase.weights` for terms from `mean_of` with a batch's "weights"."""
    if batch.get("weights") is None:
        return {}
    total = ops.sum(ops.cast(batch["weights"], "float32"))
    return dict.fromkeys(terms, total)
