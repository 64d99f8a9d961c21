"""How a model declares its training: phases, and the terms of their losses."""

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
    """A mean kept as total and weight, so that parts of a batch can be added up.

    Averaging the means of unequal parts (padded sequences, masked positions, ragged
    shards) is wrong; adding totals and weights and dividing once is right.

    Attributes:
        total: scalar, the weighted sum of the values.
        weight: scalar, the sum of the weights.
    """

    total: Tensor
    weight: Tensor

    @classmethod
    def of(cls, values: Tensor, weights: Tensor | None = None) -> "WeightedMean":
        """The mean of `values`, weighted by `weights` of the same shape.

        Raises:
            ValueError: the shapes differ.
        """
        values = ops.cast(values, "float32")
        if weights is None:
            count = ops.cast(ops.size(values), "float32")
            return cls(ops.sum(values), count)
        weights = ops.cast(weights, "float32")
        if not same_shape(values.shape, weights.shape):
            raise ValueError(
                "A weighted mean must have one weight per value, got values of shape "
                f"{tuple(values.shape)} and weights of shape {tuple(weights.shape)}."
            )
        return cls(ops.sum(values * weights), ops.sum(weights))


def same_shape(a: Sequence[int | None], b: Sequence[int | None]) -> bool:
    """Whether two shapes agree in all dimensions that both know.

    On TensorFlow a dimension may be None.
    """
    return len(a) == len(b) and all(
        m == n or m is None or n is None for m, n in zip(a, b, strict=True)
    )


def shape_of(x: Any) -> tuple[Any, ...]:
    """The shape of a NumPy or backend array, or of a list."""
    return tuple(x.shape if hasattr(x, "shape") else np.shape(x))


Terms = dict[str, Tensor | WeightedMean]


@dataclass(frozen=True)
class Phase:
    """One loss and the layers that it trains; a model's phases run in order.

    Attributes:
        name: prefix of the logged terms and key of `compile(optimizer={...})`. Phases
            that train the same layers may share a name, such as the several steps of a
            critic: each is a step of one optimizer, and the last one's terms are
            logged.
        loss: maps a batch (and `training=`, if it takes it) to named terms. A term
            is a scalar, the mean over the examples, or a `WeightedMean`.
        trains: the layers whose trainable variables this phase updates; it updates no
            others.
        objective: the terms to minimise, with their coefficients.
        weights: maps a batch to the total weight of each objective term that is not a
            mean over examples. Needed only if a batch is split (micro-batches,
            devices), since the parts' common divisor must be known beforehand.
        through_shared: whether to backpropagate through `Model.shared`. True for the
            phase that trains the layers of `shared`.
    """

    name: str
    loss: Callable[..., Terms]
    trains: Sequence[keras.Layer]
    objective: Mapping[str, float] = field(default_factory=lambda: {"loss": 1.0})
    weights: Callable[[Batch], Mapping[str, Tensor]] | None = None
    through_shared: bool = False

    def variables(self) -> list[keras.Variable]:
        """The variables that this phase updates, each once."""
        unique = {id(v): v for layer in self.trains for v in layer.trainable_variables}
        return list(unique.values())


def with_training(function: Callable, batch: Batch, training: bool) -> Any:
    """Calls `function(batch)`, with `training` if it takes that argument."""
    if "training" in inspect.signature(function).parameters:
        return function(batch, training=training)
    return function(batch)


def batch_size(batch: Batch) -> Any:
    """The number of examples in a batch: the first dimension of all its arrays.

    Raises:
        ValueError: the batch has no such array, or the first dimensions differ.
    """
    arrays = [x for x in keras.tree.flatten(batch) if x is not None and len(x.shape)]
    if not arrays:
        raise ValueError(
            "A batch must have at least one array with a batch dimension, "
            f"got {batch!r}."
        )
    sizes = {x.shape[0] for x in arrays} - {None}
    if len(sizes) > 1:
        raise ValueError(
            "All arrays of a batch, including those that prepare() and shared() make, "
            f"must have one row per example, got first dimensions {sorted(sizes)}."
        )
    return ops.shape(arrays[0])[0]


def as_weighted(term: Tensor | WeightedMean, examples: Any) -> WeightedMean:
    """A term as a `WeightedMean`; a scalar counts as the mean over `examples`."""
    if isinstance(term, WeightedMean):
        return term
    weight = ops.cast(examples, "float32")
    return WeightedMean(ops.cast(term, "float32") * weight, weight)
