"""Which device holds which part of a variable: one table per model.

A table is a list of rules, `(pattern, axes)`. The first pattern found in a variable's
path decides; its axes name, for each dimension, the mesh axis that cuts it, or None.
Every engine translates the same table. A rule may end with `GATHERED`: the variable is
stored in parts to save memory, and gathered where it is used.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

Axes = tuple[str | None, ...]
Rule = tuple[str, Axes] | tuple[str, Axes, str]
Table = Sequence[Rule]

DATA, MODEL = "data", "model"
GATHERED = "gathered"
# From this many elements on, it is worth reporting that every device has a copy.
LARGE = 2**16


@dataclass(frozen=True)
class Mesh:
    """A rectangle of devices.

    Attributes:
        data: devices along the axis that cuts each batch.
        model: devices along the axis that cuts each weight.
        shard_parameters: whether to also cut weights and the optimizer's state along
            the data axis, and gather them where they are used (ZeRO-3, Rajbhandari et
            al. 2020; FSDP).
    """

    data: int = 1
    model: int = 1
    shard_parameters: bool = False

    @property
    def size(self) -> int:
        """The number of devices."""
        return self.data * self.model


def stored_axes(path: str, shape: Sequence[int], table: Table, mesh: Mesh) -> Axes:
    """How a variable is cut in storage: a mesh axis or None for each dimension.

    Raises:
        ValueError: the mesh does not divide a dimension that the table cuts, or the
            table's rule has another number of dimensions.
    """
    axes: list[str | None] = [None] * len(shape)
    rule = _rule(path, table)
    if rule is not None and mesh.model > 1:
        if len(rule[1]) != len(shape):
            raise ValueError(
                f"The layout's rule for {path} must have one axis per dimension of its "
                f"shape {tuple(shape)}, got {rule}. Correct the model's layout table."
            )
        axes = list(rule[1])
        for size, axis in zip(shape, axes, strict=True):
            if axis == MODEL and size % mesh.model:
                raise ValueError(
                    f"model={mesh.model} devices can't share {path}: {mesh.model} does "
                    f"not divide {size} in its shape {tuple(shape)}. Choose sizes that "
                    f"are multiples of {mesh.model}, or fewer devices on the model "
                    "axis."
                )
    if mesh.shard_parameters and mesh.data > 1 and len(shape) >= 2:
        free = [
            (size, -index)
            for index, size in enumerate(shape)
            if axes[index] is None and size % mesh.data == 0
        ]
        if free:
            axes[-max(free)[1]] = DATA
    return tuple(axes)


def used_axes(path: str, stored: Axes, table: Table) -> Axes:
    """How a variable is cut where a layer computes with it.

    A weight that is cut along the data axis only to save memory is whole there, and so
    is a convolution's (more than two dimensions), which has no kernels for parts.
    """
    rule = _rule(path, table)
    if len(stored) > 2 or (rule is not None and rule[2:] == (GATHERED,)):
        return (None,) * len(stored)
    return tuple(None if axis == DATA else axis for axis in stored)


def replicated(
    shapes: dict[str, Sequence[int]], table: Table, mesh: Mesh
) -> dict[str, int]:
    """The large variables that every device would hold in full, with their sizes.

    The table leaves them out, or no axis divides them.

    Returns:
        Numbers of elements by path.
    """
    if mesh.size == 1 or (mesh.model == 1 and not mesh.shard_parameters):
        return {}
    return {
        path: math.prod(shape)
        for path, shape in shapes.items()
        if math.prod(shape) >= LARGE
        and not any(stored_axes(path, shape, table, mesh))
        and not (mesh.model > 1 and _rule(path, table))
    }


def _rule(path: str, table: Table) -> Rule | None:
    return next((rule for rule in table if re.search(rule[0], path)), None)
