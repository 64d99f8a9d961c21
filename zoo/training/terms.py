"""Running means of the terms that a model's losses return."""

from collections.abc import Callable

import keras
from keras import ops

from zoo.training.phases import WeightedMean

MAX_TERMS = 48


class TermMeans(keras.metrics.Metric):
    """The exact means of all terms since the last reset, in one small variable.

    One variable of totals and weights, instead of one metric per term, needs one update
    per step; and JAX, whose state must exist before the first step, needs no names.
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
        """Adds a batch's terms; returns the running means.

        Args:
            terms: the batch's terms, at most `MAX_TERMS`.
            total: sums a tensor over replicas.
            good: a boolean scalar; from the first batch where it is False, the means
                are NaN.

        Raises:
            ValueError: there are too many terms.
        """
        if len(terms) > MAX_TERMS:
            raise ValueError(
                f"A model may log at most {MAX_TERMS} terms, got {len(terms)}: "
                f"{sorted(terms)}. Return fewer from the losses."
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
        """Empty: the step knows the names and logs the means itself."""
        return {}
