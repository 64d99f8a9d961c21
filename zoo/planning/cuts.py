"""How much of a model's weights each device has, as they are kept and as used."""

import math
from collections.abc import Sequence

from zoo.engine.layout import DATA, MODEL, Axes, Mesh, Table, stored_axes
from zoo.planning.inventory import Weight


class Cuts:
    """Bytes of the weights on one device, in groups that a step deals with at once."""

    def __init__(self, weights: Sequence[Weight], table: Table, mesh: Mesh) -> None:
        self.weights, self.mesh = weights, mesh
        self._axes = {
            w.path: stored_axes(w.path, w.shape, table, mesh) for w in weights
        }
        self.block = [w for w in weights if "block_0/" in w.path]
        embedding = [
            w for w in weights if w.path.endswith("token_embedding/embeddings")
        ]
        self.output = [
            w for w in weights if w.path.endswith("head/kernel")
        ] or embedding

    def stored(self, weights: Sequence[Weight] | None = None) -> int:
        """As they are kept."""
        weights = self.weights if weights is None else weights
        return sum(w.bytes // self._parts(w, (DATA, MODEL)) for w in weights)

    def stored_state(self) -> int:
        """The optimizer's variables of the weights' shapes."""
        return sum(w.state // self._parts(w, (DATA, MODEL)) for w in self.weights)

    def used(self, weights: Sequence[Weight] | None = None) -> int:
        """As they are computed with: whole along the data axis."""
        weights = self.weights if weights is None else weights
        return sum(w.bytes // self._parts(w, (MODEL,)) for w in weights)

    def gathered(self, weights: Sequence[Weight] | None = None) -> int:
        """Those of `used` that are kept in parts along the data axis."""
        weights = self.weights if weights is None else weights
        return self.used([w for w in weights if DATA in self._axes[w.path]])

    @property
    def output_axes(self) -> Axes:
        """Of the output head, as (vocabulary, width)."""
        axes = self._axes[self.output[0].path]
        return axes[::-1] if self.output[0].path.endswith("head/kernel") else axes

    @property
    def parts_of_vocabulary(self) -> int:
        """Into which each token's scores are cut."""
        return self.mesh.model if self.output_axes[0] == MODEL else 1

    @property
    def parts_of_width(self) -> int:
        """Into which the embedding, and by it the residual stream, is cut."""
        return self.mesh.model if self.output_axes[1] == MODEL else 1

    def _parts(self, weight: Weight, axes: tuple[str, ...]) -> int:
        sizes = {DATA: self.mesh.data, MODEL: self.mesh.model}
        cut = [axis for axis in self._axes[weight.path] if axis in axes]
        return math.prod(sizes[axis] for axis in cut if axis)
