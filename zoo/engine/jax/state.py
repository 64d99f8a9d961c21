"""JAX: where a model's values are while its steps have them.

Keras's trainer takes the values out of the variables, gives them to the step, which
writes its results over them (donation), and puts the last ones back at the end of an
epoch. What comes in between, an error in the data or Ctrl-C, would leave the variables
empty. Here the values of the last whole step are noted where Keras looks for them as
soon as they exist, and are put back whatever ends the call.
"""

import contextlib
import sys
from typing import Any

import jax

from zoo.engine import interrupts

KINDS = (
    "trainable_variables",
    "non_trainable_variables",
    "optimizer_variables",
    "metrics_variables",
)
# What each of Keras's functions is given.
GIVEN = {
    "train_function": KINDS,
    "test_function": (*KINDS[:2], KINDS[3]),
    "predict_function": KINDS[:2],
}
LOST = (
    "The step failed on the device after its memory had been handed over: the weights "
    "are lost. Load them from the last checkpoint."
)


@contextlib.contextmanager
def kept(model):
    """Within, whatever ends a call of Keras's trainer, the variables have values."""
    if "_get_jax_state" in vars(model):  # `evaluate` within `fit`
        yield
        return
    earlier = sys.exception()
    optimizer = getattr(model, "optimizer", None)
    finalize: Any = getattr(optimizer, "finalize_variable_values", None)

    def taken(purge_model_variables=False, **wanted):
        """Noted before the variables are emptied.

        That is done in any case, so that none is left with a value of an older step.
        """
        del purge_model_variables
        state = type(model)._get_jax_state(model, **wanted)
        note(model, [kind for kind in KINDS if wanted.get(kind)], state)
        model._purge_model_variables(**wanted)
        return state

    def finalized(variables):
        """Keras puts averages in the weights' place even where `fit` has failed."""
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


def note(model, kinds, state):
    """Makes these the values that Keras's `jax_state_sync` puts into the variables."""
    # Not through Keras's attributes, which would look at each array.
    vars(model)["_jax_state"] = dict(zip(kinds, state, strict=True))
    vars(model)["_jax_state_synced"] = False


def given_away(state) -> bool:
    """Whether a step has begun to write over these values, some lists of them."""
    return any(x.is_deleted() for values in state for x in values)


def _lost(model) -> bool:
    """Whether what is noted can't be read: no copy is kept, which would cost memory."""
    state = getattr(model, "_jax_state", None)
    if not state or model._jax_state_synced:
        return False
    values = list(state.values())
    if given_away(values):
        return True
    try:
        for x in values:
            jax.block_until_ready(list(x))
    except RuntimeError:  # of a step that failed after it had returned
        return True
    return False
