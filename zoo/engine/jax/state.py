"""JAX: where a model's values are while its steps hold them.

Keras's trainer takes the values out of the variables, donates them to the step, which
overwrites them with its results, and writes the last ones back at the end of an epoch.
An error in the data or Ctrl-C in between would leave the variables empty. Here the
values of the last whole step are recorded, as soon as they exist, where Keras looks for
them, and are written back however the call ends.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax

from zoo.engine import interrupts

KINDS = (
    "trainable_variables",
    "non_trainable_variables",
    "optimizer_variables",
    "metrics_variables",
)
# The lists of values that each of Keras's functions takes.
GIVEN = {
    "train_function": KINDS,
    "test_function": (*KINDS[:2], KINDS[3]),
    "predict_function": KINDS[:2],
}
LOST = (
    "The step failed on the device after its memory had been donated: the weights are "
    "lost. Load them from the last checkpoint."
)


@contextlib.contextmanager
def kept(model: Any) -> Iterator[None]:
    """Within, the variables have values again however a trainer's call ends."""
    if "_get_jax_state" in vars(model):  # `evaluate` within `fit`
        yield
        return
    earlier = sys.exception()
    optimizer = getattr(model, "optimizer", None)
    finalize: Any = getattr(optimizer, "finalize_variable_values", None)

    def taken(purge_model_variables: bool = False, **wanted: bool) -> Any:
        """Notes the values, then empties the variables.

        They are emptied in any case, so that none keeps a value of an older step.
        """
        del purge_model_variables
        state = type(model)._get_jax_state(model, **wanted)
        note(model, [kind for kind in KINDS if wanted.get(kind)], state)
        model._purge_model_variables(**wanted)
        return state

    def finalized(variables: Any) -> None:
        """Keras would replace weights by their averages even after `fit` has failed."""
        if sys.exception() is earlier:
            finalize(variables)

    vars(model)["_get_jax_state"] = taken
    if optimizer is not None:
        vars(optimizer)["finalize_variable_values"] = finalized
    try:
        yield
    except BaseException as error:
        with interrupts.held():
            if _lost(model):
                error.add_note(LOST)
            else:
                model.jax_state_sync()
            model._jax_state = None
        raise
    finally:
        del vars(model)["_get_jax_state"]
        if optimizer is not None:
            del vars(optimizer)["finalize_variable_values"]


def note(model: Any, kinds: Sequence[str], state: Sequence[Any]) -> None:
    """Makes these the values that Keras's `jax_state_sync` writes to the variables."""
    # Keras's own attribute setter would inspect each array.
    vars(model)["_jax_state"] = dict(zip(kinds, state, strict=True))
    vars(model)["_jax_state_synced"] = False


def given_away(state: Iterable[Any]) -> bool:
    """Whether a step has begun to overwrite these lists of values."""
    return any(x.is_deleted() for values in state for x in values)


def _lost(model: Any) -> bool:
    """Whether the noted values can't be read; a copy of them would cost memory."""
    state = getattr(model, "_jax_state", None)
    if not state or model._jax_state_synced:
        return False
    values = list(state.values())
    if given_away(values):
        return True
    try:
        for x in values:
            jax.block_until_ready(list(x))
    except RuntimeError:  # the step failed after it had returned
        return True
    return False
