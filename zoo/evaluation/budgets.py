"""Trainings that each spend a budget of compute on a model of a given size."""

import math
from dataclasses import dataclass

from zoo.evaluation.scaling_laws import FLOPS_PER_TOKEN_AND_PARAMETER


@dataclass(frozen=True)
class PlannedTraining:
    """A training that is planned by its compute.

    Attributes:
        width: the model's width.
        parameters: the number of parameters, N.
        steps: the number of updates.
        tokens: the tokens of all updates, D.
    """

    width: int
    parameters: int
    steps: int
    tokens: int

    @classmethod
    def of(
        cls, width: int, parameters: int, batch_tokens: int, flops: float
    ) -> "PlannedTraining":
        """Plans the whole number of updates that comes closest to a budget.

        Args:
            width: the model's width.
            parameters: the number of parameters, N.
            batch_tokens: the tokens of each update.
            flops: the budget C = 6·N·D; at least one update is planned.
        """
        spent = FLOPS_PER_TOKEN_AND_PARAMETER * parameters * batch_tokens
        steps = max(round(flops / spent), 1)
        return cls(width, parameters, steps, steps * batch_tokens)

    @property
    def name(self) -> str:
        """A name for the training's folder."""
        return f"width_{self.width}_steps_{self.steps}"

    def within(
        self, fewest: float = 0.0, most: float = math.inf, fewest_steps: int = 1
    ) -> bool:
        """Whether the training is long enough, and not too long.

        Args:
            fewest: the fewest tokens per parameter.
            most: the most tokens per parameter.
            fewest_steps: the fewest updates.
        """
        ratio = self.tokens / self.parameters
        return fewest <= ratio <= most and self.steps >= fewest_steps
