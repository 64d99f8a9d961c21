"""How much each example counts: `sample_weight` and `class_weight` of `fit`.

A loss with weights is the weighted mean, sum(w * loss) / sum(w), over all the parts of
a batch; Keras divides by the number of examples instead. Metrics such as accuracy
count all examples alike, as Keras's `metrics` do.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops, tree

from zoo.training.phases import WeightedMean


def check_arguments(model: Any, arguments: Mapping[str, Any]) -> None:
    """Raises for weights among `fit`'s arguments that would not count."""
    name, weights = type(model).__name__, arguments.get("class_weight")
    if arguments.get("sample_weight") is not None or weights is not None:
        refuse(model)
    if weights is None:
        return
    num_classes = getattr(model.config, "num_classes", 0)
    if not model.class_targets or num_classes == 1:
        raise ValueError(
            f"class_weight weighs classes, one for each example, and {name} is not "
            "trained with such: leave it out. sample_weight weighs examples, and "
            "tokens where there are any."
        )
    unknown = [key for key in weights if num_classes and key not in range(num_classes)]
    if unknown:
        raise ValueError(
            f"class_weight names the classes {unknown}, and {name} has classes from 0 "
            f"to {num_classes - 1}."
        )


def refuse(model: Any) -> None:
    """Raises if a model's loss has no place for weights."""
    if model.weightless:
        raise ValueError(
            f"{type(model).__name__} takes no sample_weight or class_weight: "
            f"{model.weightless}"
        )


def parts(batch: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights of a batch, None where it has none."""
    given = batch if isinstance(batch, tuple) else (batch,)
    x, y, weights = (*given, None, None)[:3]
    return x, y, weights


def with_place(arguments: dict[str, Any]) -> dict[str, Any]:
    """`fit`'s arguments, changed so that weights count without targets.

    Keras leaves them out then: targets that hold nothing, (N, 0), keep their place.
    """
    x, weights = arguments["x"], arguments.get("sample_weight")
    if weights is None or arguments["y"] is not None:
        return arguments
    rows = [leaf.shape[0] for leaf in tree.flatten(x) if hasattr(leaf, "shape")]
    if not rows:
        return arguments
    return {**arguments, "y": np.empty((rows[0], 0), "float32")}


def is_place(y: Any) -> bool:
    """Whether targets are those of `with_place`."""
    return len(getattr(y, "shape", ())) == 2 and y.shape[1] == 0


def check_weights(weights: Any, *shapes: tuple[int, ...]) -> None:
    """Raises unless weights are finite, not negative, and of one of these shapes."""
    weights = np.asarray(weights)
    if weights.shape not in shapes:
        expected = " or ".join(map(str, dict.fromkeys(shapes)))
        raise ValueError(
            f"sample_weight must be of shape {expected}, got shape {weights.shape}"
        )
    if weights.dtype.kind not in "fiub" or not (
        np.isfinite(weights).all() and (weights >= 0).all()
    ):
        raise ValueError(
            "sample_weight must be numbers from 0 up, all finite, got values from "
            f"{weights.min()} to {weights.max()}"
        )


def over_tokens(weights: Any, tokens: Any) -> Any:
    """Weights (B, T) in float32, given as such or one for each example, (B,)."""
    weights = ops.cast(weights, "float32")
    if len(weights.shape) == 1:
        weights = weights[:, None] * ops.ones_like(tokens, dtype="float32")
    return weights


def mean_of(values: Any, weights: Any = None) -> Any:
    """The term that is the mean of values (B,), weighted where there are weights."""
    return ops.mean(values) if weights is None else WeightedMean.of(values, weights)


def total_of(batch: Mapping[str, Any], *terms: str) -> dict[str, Any]:
    """`Phase.weights` of terms made by `mean_of` with a batch's "weights"."""
    if batch.get("weights") is None:
        return {}
    total = ops.sum(ops.cast(batch["weights"], "float32"))
    return dict.fromkeys(terms, total)
