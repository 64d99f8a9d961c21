"""What of each model is exported: one function from named arrays to named arrays.

Shapes: B batch, T tokens, V vocabulary, L latent dimensions, (H, W, C) of a picture.
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
    """One side of an array that is not the same in every call.

    Attributes:
        name: sides of one name are alike in all inputs.
        most: the largest; 0 where there is no limit.
        least: the smallest.
        multiple: of which it has to be one.
    """

    name: str
    most: int = 0
    least: int = 1
    multiple: int = 1


BATCH = Side("batch")


@dataclass(frozen=True)
class Array:
    """One input.

    Attributes:
        name: its.
        shape: its sides.
        values: "ids" (below `limit`), "mask", "normal" (numbers) or "pictures", which
            are in [0, 1].
        limit: see `values`.
    """

    name: str
    shape: tuple[int | Side, ...]
    values: Literal["ids", "mask", "normal", "pictures"]
    limit: int = 0

    @property
    def dtype(self) -> str:
        """Of its elements."""
        return {"ids": "int32", "mask": "bool"}.get(self.values, "float32")

    def spec(self) -> keras.InputSpec:
        """As Keras wants it, with None for sides that differ."""
        shape = tuple(None if isinstance(side, Side) else side for side in self.shape)
        return keras.InputSpec(shape=shape, dtype=self.dtype, name=self.name)

    def sample(self, sizes: Mapping[str, int], seed: int = 0) -> np.ndarray:
        """Some values, for sides of these sizes by name."""
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
    """A network's inference alone, on a dict of arrays.

    Attributes:
        arrays: what it takes.
        names_of_outputs: the names of what it gives.
        class_names: of a classifier's scores, if somebody named them.
        as_dict: whether it gives a dict; else a tuple, or its one array.
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
        """The function's results, in inference."""
        results = self.function(inputs)
        if self.as_dict:
            return dict(zip(self.names_of_outputs, results, strict=True))
        return tuple(results) if len(results) > 1 else results[0]

    @property
    def signature(self) -> list[dict[str, keras.InputSpec]]:
        """Its one argument, as Keras's exports want it."""
        return [{array.name: array.spec() for array in self.arrays}]

    @property
    def sides(self) -> dict[str, Side]:
        """Those that differ from call to call, by name."""
        found = (side for array in self.arrays for side in array.shape)
        return {side.name: side for side in found if isinstance(side, Side)}

    def samples(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Some inputs; of the smallest sides with seed 1, of the largest with seed 2.

        With others each side is from 2 up, since exporters take a side of 1 for fixed.
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
    """What is exported of a model.

    Args:
        model: of which something is exported, as it is registered.
        direction: of a CycleGAN, which has two.

    Raises:
        ValueError: nothing of such a model is exported, or not in its precision.
    """
    found = registration_of(type(model))
    if found is None or found.served is None:
        raise ValueError(
            f"Nothing of a {type(model).__name__} is exported for inference; something "
            f"is of {', '.join(exported())}."
        )
    if model.dtype_policy.name != "float32":
        raise ValueError(
            f"Inference is exported in float32; this {type(model).__name__} is of "
            f"{model.dtype_policy.name}. from_preset(name, dtype='float32') makes one "
            "that can be exported."
        )
    if "direction" in inspect.signature(found.served).parameters:
        return found.served(model, direction)
    return found.served(model)


def exported() -> list[str]:
    """The models of which something is exported."""
    return [name for name, found in all_registrations().items() if found.served]
