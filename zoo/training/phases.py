"""What a model says about its own training: phases, and the terms of their losses."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

Batch = Any
Tensor = Any


class WeightedMean(NamedTuple):
    """A mean kept as its two parts, so that parts of a batch can be added up.

    Averaging the means of unequal parts (padded sequences, masked places, ragged
    shards) is wrong; adding totals and weights and dividing once is right.

    Attributes:
        total: scalar, the weighted sum of the values.
        weight: scalar, the sum of the weights.
    """

    total: Tensor
    weight: Tensor

    @classmethod
    def of(cls, values: Tensor, weights: Tensor | None = None) -> "WeightedMean":
        """The mean of `values`, each counted `weights` (same shape) times."""
        values = ops.cast(values, "float32")
        if weights is None:
            count = ops.cast(ops.size(values), "float32")
            return cls(ops.sum(values), count)
        weights = ops.cast(weights, "float32")
        if not same_shape(values.shape, weights.shape):
            raise ValueError(
                "A weighted mean needs one weight a value. Received values of shape "
                f"{tuple(values.shape)} and weights of shape {tuple(weights.shape)}."
            )
        return cls(ops.sum(values * weights), ops.sum(weights))


def same_shape(a: Sequence[int | None], b: Sequence[int | None]) -> bool:
    """Whether shapes agree as far as both are known: TensorFlow may not know all."""
    return len(a) == len(b) and all(
        m == n or m is None or n is None for m, n in zip(a, b, strict=True)
    )


def shape_of(x: Any) -> tuple[Any, ...]:
    """The shape of an array of NumPy's or a backend's, or of a list."""
    return tuple(x.shape if hasattr(x, "shape") else np.shape(x))


Terms = dict[str, Tensor | WeightedMean]


@dataclass(frozen=True)
class Phase:
    """One loss and the layers that it moves; a model's phases run in order.

    Attributes:
        name: prefix of the logged terms and key of `compile(optimizer={...})`. Phases
            that train the same layers may share it, as the several steps of a critic
            do: each is a step of one optimizer, and the last one's terms are logged.
        loss: maps a batch (and `training=`, if it takes it) to named terms. A term
            is a scalar, the mean over the examples, or a `WeightedMean`.
        trains: the layers whose trainable variables this phase, alone, moves.
        objective: the terms to minimise, with their coefficients.
        weights: maps a batch to the total weight of those objective terms that are
            not means over examples. Needed only where a batch is cut into parts
            (micro-batches, devices), whose common divisor must be known beforehand.
        through_shared: send the gradient back through `Model.shared`. True for the
            phase that trains what `shared` calls.
    """

    name: str
    loss: Callable[..., Terms]
    trains: Sequence[keras.Layer]
    objective: Mapping[str, float] = field(default_factory=lambda: {"loss": 1.0})
    weights: Callable[[Batch], Mapping[str, Tensor]] | None = None
    through_shared: bool = False

    def variables(self) -> list[keras.Variable]:
        """The variables that this phase moves, each once."""
        unique = {id(v): v for layer in self.trains for v in layer.trainable_variables}
        return list(unique.values())


def with_training(function: Callable, batch: Batch, training: bool) -> Any:
    """Calls `function(batch)`, telling it about `training` if it asks."""
    if "training" in inspect.signature(function).parameters:
        return function(batch, training=training)
    return function(batch)


def batch_size(batch: Batch) -> Any:
    """Examples in a batch: the first dimension, which all its arrays share."""
    arrays = [x for x in keras.tree.flatten(batch) if x is not None and len(x.shape)]
    if not arrays:
        raise ValueError(
            "A batch needs at least one array with a batch dimension. "
            f"Received: {batch!r}"
        )
    sizes = {x.shape[0] for x in arrays} - {None}
    if len(sizes) > 1:
        raise ValueError(
            "All arrays of a batch, also those that prepare() and shared() make, need "
            f"one row an example. Received first dimensions {sorted(sizes)}."
        )
    return ops.shape(arrays[0])[0]


def as_weighted(term: Tensor | WeightedMean, examples: Any) -> WeightedMean:
    """A term in its two parts; a scalar counts as the mean over `examples`."""
    if isinstance(term, WeightedMean):
        return term
    weight = ops.cast(examples, "float32")
    return WeightedMean(ops.cast(term, "float32") * weight, weight)
