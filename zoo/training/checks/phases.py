"""Checks of a model's layers and phases before they are compiled."""

from collections.abc import Sequence

import keras

from zoo.training.phases import Phase


def check_built(model: keras.Model) -> None:
    """Raises if a layer of the model has no weights yet.

    Raises:
        ValueError: some layers are not built; the message names them.
    """
    unbuilt = [
        layer.name
        for layer in model._flatten_layers(include_self=False)
        if not layer.built
    ]
    if unbuilt:
        raise ValueError(
            f"All layers of {type(model).__name__} must be built before compile(), "
            f"got layers without weights: {unbuilt[:5]}. Build them, for instance by "
            "calling each network once or by giving a Sequential an Input."
        )


def check_phases(model: keras.Model, phases: Sequence[Phase]) -> None:
    """Raises if the phases can't be trained as they are declared.

    Raises:
        ValueError: there are no phases, phases of one name train different layers,
            several phases have `through_shared`, or a phase trains no variables or
            layers outside the model.
    """
    if not phases:
        raise ValueError(
            f"{type(model).__name__}.phases() must return at least one phase, got none."
        )
    first = {phase.name: phase for phase in reversed(phases)}
    for phase in phases:
        if phase.trains != first[phase.name].trains:
            raise ValueError(
                f"Two phases are named {phase.name!r} but train different layers. "
                "Phases of one name share an optimizer: give each a name of its own, "
                "or let both train the same layers."
            )
    producers = [phase.name for phase in phases if phase.through_shared]
    if len(producers) > 1:
        raise ValueError(
            "Only the phase that trains the layers of shared() can have "
            f"through_shared, got {producers}. Join them into one phase."
        )
    own = {id(variable) for variable in model.trainable_variables}
    for phase in phases:
        if not own.issuperset(id(variable) for variable in phase.variables()):
            raise ValueError(
                f"Phase {phase.name!r} trains layers that are not the model's. "
                "Assign them to attributes of the model."
            )
        if not phase.variables():
            raise ValueError(
                f"Phase {phase.name!r} has nothing to train: its layers have no "
                "trainable variables."
            )
