"""What `compile` settles for the training step."""

import dataclasses
from collections.abc import Mapping

import keras

from zoo.engine.base import Engine
from zoo.training.checks.ranges import Watch
from zoo.training.phases import Phase
from zoo.training.terms import TermMeans


@dataclasses.dataclass(frozen=True, eq=False)
class StepPlan:
    """What one training step of a compiled model consists of.

    Attributes:
        engine: the backend's engine.
        accumulate: micro-batches per update.
        phase_variables: the variables that each phase updates.
        phase_layers: the layers that each phase trains, nested ones included.
        has_prepare: whether the model prepares batches.
        has_shared: whether the model shares work between phases.
        terms: the running means of all logged terms.
        watch: detects values out of range.
        recorded: the steps that the engine recorded for this model, by batch shape.
    """

    engine: Engine
    accumulate: int
    phase_variables: Mapping[str, list[keras.Variable]]
    phase_layers: Mapping[str, list[keras.Layer]]
    has_prepare: bool
    has_shared: bool
    terms: TermMeans
    watch: Watch
    recorded: dict = dataclasses.field(default_factory=dict)

    def log_prefix(self, phase: Phase) -> str:
        """The prefix of a phase's logged terms, empty if there is only one phase."""
        return f"{phase.name}/" if len(self.phase_variables) > 1 else ""
