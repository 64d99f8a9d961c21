"""What is exported: one function from named arrays to named arrays.

Each model defines its own beside its class and registers it (`Registration.served`).
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from zoo.presets.registration import all_registrations, registration_of

Direction = Literal["a_to_b", "b_to_a"]


@dataclass(frozen=True)
class Side:
    """A dimension whose size may differ between calls.

    Attributes:
        name: name; dimensions of the same name have the same size in all inputs.
        most: largest size; 0 for no limit.
        least: smallest size.
        multiple: sizes must be multiples of this.
    """

    name: str
    most: int = 0
    least: int = 1
    multiple: int = 1


BATCH = Side("batch")


@dataclass(frozen=True)
class Array:
    """An input array.

    Attributes:
        name: name of the input.
        shape: dimensions; fixed sizes or `Side`s.
        values: "ids" (0 to `limit` - 1), "mask" (booleans), "normal" (real numbers) or
            "pictures" (values in [0, 1]).
        limit: number of ids.
    """

    name: str
    shape: tuple[int | Side, ...]
    values: Literal["ids", "mask", "normal", "pictures"]
    limit: int = 0

    @property
    def dtype(self) -> str:
        """Dtype of its elements."""
        return {"ids": "int32", "mask": "bool"}.get(self.values, "float32")

    def spec(self) -> keras.InputSpec:
        """Returns Keras's description, with None for variable dimensions."""
        shape = tuple(None if isinstance(side, Side) else side for side in self.shape)
        return keras.InputSpec(shape=shape, dtype=self.dtype, name=self.name)

    def sample(self, sizes: Mapping[str, int], seed: int = 0) -> np.ndarray:
        """Draws values, given the sizes of the variable dimensions by name."""
        shape = [sizes[s.name] if isinstance(s, Side) else s for s in self.shape]
        rng = np.random.default_rng(seed)
        match self.values:
            case "ids":
                return rng.integers(self.limit, size=shape, dtype="int32")
            case "mask":
                lengths = rng.integers(1, shape[-1], size=shape[:-1], endpoint=True)
                return np.arange(shape[-1]) < lengths[..., None]
            case "normal":
                return rng.normal(size=shape).astype("float32")
            case "pictures":
                return rng.uniform(size=shape).astype("float32")


class Served(keras.Model):
    """A network's inference, as a function of a dict of arrays.

    Attributes:
        arrays: input arrays.
        names_of_outputs: names of the outputs.
        class_names: names of a classifier's classes, if they were given.
        as_dict: whether it returns a dict; otherwise a tuple, or the only output.
    """

    def __init__(
        self,
        network: Any,
        function: Callable[[Mapping[str, Any]], Sequence[Any]],
        arrays: Sequence[Array],
        output_names: Sequence[str],
    ) -> None:
        super().__init__(name="inference")
        self.network, self.function = network, function
        self.arrays, self.names_of_outputs = tuple(arrays), tuple(output_names)
        self.class_names = tuple(getattr(network, "class_names", ()))
        self.as_dict = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Returns the function's results."""
        results = self.function(inputs)
        if self.as_dict:
            return dict(zip(self.names_of_outputs, results, strict=True))
        return tuple(results) if len(results) > 1 else results[0]

    @property
    def signature(self) -> list[dict[str, keras.InputSpec]]:
        """Its only argument, as Keras's exports describe it."""
        return [{array.name: array.spec() for array in self.arrays}]

    @property
    def sides(self) -> dict[str, Side]:
        """The variable dimensions, by name."""
        found = (side for array in self.arrays for side in array.shape)
        return {side.name: side for side in found if isinstance(side, Side)}

    def samples(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Draws inputs: of the smallest sizes for seed 1, of the largest for seed 2.

        For other seeds each size is at least 2, since exporters treat 1 as fixed.
        """
        rng = np.random.default_rng(seed)
        sizes = {}
        for name, side in self.sides.items():
            least = -(-side.least // side.multiple)
            most = side.most // side.multiple or least + 4
            drawn = int(rng.integers(min(max(least, 2), most), most, endpoint=True))
            sizes[name] = side.multiple * {1: least, 2: most}.get(seed, drawn)
        return {array.name: array.sample(sizes, seed) for array in self.arrays}


def served(model: Any, direction: Direction = "a_to_b") -> Served:
    """Returns the part of a model that is exported.

    Args:
        model: a model whose registration has `served`.
        direction: which translation, for a CycleGAN.

    Raises:
        ValueError: the model has no `served`, or is not in float32.
    """
    found = registration_of(type(model))
    if found is None or found.served is None:
        raise ValueError(
            f"A {type(model).__name__} can't be exported for inference. Models that "
            f"can: {', '.join(exported())}."
        )
    if model.dtype_policy.name != "float32":
        raise ValueError(
            "The model must be in float32 to be exported, got "
            f"{model.dtype_policy.name}. Load it by from_preset(name, dtype='float32')."
        )
    if "direction" in inspect.signature(found.served).parameters:
        return found.served(model, direction)
    return found.served(model)


def exported() -> list[str]:
    """Returns the names of the models that can be exported."""
    return [name for name, found in all_registrations().items() if found.served]
