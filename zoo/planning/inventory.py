"""Lists the variables of a model and its optimizer without allocating any."""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

from zoo.planning.step_memory import FLOAT32


@dataclass(frozen=True)
class Weight:
    """A trainable variable that was never allocated.

    Attributes:
        path: its full path, with the names of the enclosing layers.
        shape: the unsharded shape.
        state: bytes of the optimizer's variables of this shape, which are sharded like
            the weight.
    """

    path: str
    shape: tuple[int, ...]
    state: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of the unsharded weight, in float32."""
        return math.prod(self.shape) * FLOAT32


@dataclass(frozen=True)
class Inventory:
    """Everything that a model and its optimizer keep between steps.

    Attributes:
        weights: the trainable variables.
        scalars: bytes of the optimizer's other variables (counters, learning rates,
            loss scales), which every device holds.
    """

    weights: tuple[Weight, ...]
    scalars: int


@functools.cache
def inventory(
    model_class: Any, model_config: Any, precision: str, optimizer: str, ema: bool
) -> Inventory:
    """Builds the model without values and lists its and its optimizer's variables."""
    import numpy as np

    from zoo.presets.registry import no_initialisation

    with no_initialisation():
        model = model_class(model_config, dtype=precision)
    weights = {
        variable.path.replace("/", "_"): Weight(variable.path, tuple(variable.shape))
        for variable in model.trainable_variables
    }
    scalars = 0
    scaled = precision == "mixed_float16"
    for variable in _state_for_stand_ins(weights, optimizer, ema, scaled):
        owner = _owner(variable.name, weights)
        if owner:
            state = weights[owner].state + weights[owner].bytes
            weights[owner] = dataclasses.replace(weights[owner], state=state)
        else:
            scalars += np.dtype(variable.dtype).itemsize
    return Inventory(tuple(weights.values()), scalars)


def _state_for_stand_ins(
    weights: dict[str, Weight], optimizer: str, ema: bool, scaled: bool
) -> list[Any]:
    """An optimizer's variables for one-element stand-ins of the weights.

    TensorFlow's optimizers need real variables. The stand-ins have the weights' names
    and ranks, by which Muon decides what to keep for each.
    """
    import keras

    from zoo.training.optimizers.group import OptimizerGroup

    stand_ins = [
        keras.Variable("zeros", shape=(1,) * len(weight.shape), name=name)
        for name, weight in weights.items()
    ]
    group = OptimizerGroup({"phase": _optimizer(optimizer, ema)}, loss_scaling=scaled)
    group.build_members({"phase": stand_ins}, lambda variable: True)
    return group.variables


def _owner(name: str, weights: dict[str, Weight]) -> str | None:
    """The weight that an optimizer's variable, `<weight>_<its name>`, belongs to."""
    parts = name.split("_")
    prefixes = ("_".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
    return next((prefix for prefix in prefixes if prefix in weights), None)


def _optimizer(chosen: str, ema: bool) -> Any:
    import keras

    optimizers: dict[str, tuple[str, dict[str, Any]]] = {
        "adamw": ("AdamW", {}),
        "adam": ("Adam", {}),
        "sgd": ("SGD", {}),
        "momentum": ("SGD", {"momentum": 0.9}),
        "lion": ("Lion", {}),
        # As in the recipes: Muon for matrices, Adam for embeddings.
        "muon": ("Muon", {"exclude_layers": ["positions", "embedding"]}),
    }
    name, arguments = optimizers[chosen]
    return getattr(keras.optimizers, name)(use_ema=ema, **arguments)
