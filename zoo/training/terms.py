"""Running means of the terms that a model's losses return."""

from collections.abc import Callable

import keras
from keras import ops

from zoo.training.phases import WeightedMean

MAX_TERMS = 48


class TermMeans(keras.metrics.Metric):
    """The exact means of all terms since the last reset, in one small variable.

    One variable of totals and weights instead of a metric a term: one update a step,
    and JAX, which wants all state to exist before the first step, needs no names.
    """

    def __init__(self) -> None:
        super().__init__(name="terms")
        self.sums = self.add_variable((2, MAX_TERMS), "zeros", name="sums")

    def update(
        self,
        terms: dict[str, WeightedMean],
        total: Callable = lambda x: x,
        good: object = None,
    ) -> dict[str, object]:
        """Adds a batch's terms, summed by `total`; returns their means so far.

        They are NaN from the first batch on that was not `good`, a boolean scalar.
        """
        if len(terms) > MAX_TERMS:
            raise ValueError(
                f"A model may log at most {MAX_TERMS} terms. Received {len(terms)}: "
                f"{sorted(terms)}"
            )
        batch = ops.stack(
            [
                ops.stack([ops.cast(term.total, "float32") for term in terms.values()]),
                ops.stack(
                    [ops.cast(term.weight, "float32") for term in terms.values()]
                ),
            ]
        )
        batch = ops.pad(batch, ((0, 0), (0, MAX_TERMS - len(terms))))
        batch = total(batch)
        if good is not None:
            batch = ops.where(good, batch, float("nan"))
        self.sums.assign_add(batch)
        totals, weights = self.sums[0], self.sums[1]
        means = totals / ops.where(weights > 0, weights, 1.0)
        return {name: means[index] for index, name in enumerate(terms)}

    def result(self) -> dict:
        """Nothing: the names belong to the step, which logs the means itself."""
        return {}
