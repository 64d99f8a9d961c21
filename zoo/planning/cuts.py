"""How much of a model's weights each device holds, stored and in use."""

import math
from collections.abc import Sequence

from zoo.engine.layout import DATA, MODEL, Axes, Mesh, Table, stored_axes
from zoo.planning.inventory import Weight


class Cuts:
    """Bytes of the weights on one device, for the groups that a step uses together."""

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
        """Bytes as stored between steps: sharded along both axes."""
        weights = self.weights if weights is None else weights
        return sum(w.bytes // self._parts(w, (DATA, MODEL)) for w in weights)

    def stored_state(self) -> int:
        """Bytes of the optimizer's variables that have the weights' shapes."""
        return sum(w.state // self._parts(w, (DATA, MODEL)) for w in self.weights)

    def used(self, weights: Sequence[Weight] | None = None) -> int:
        """Bytes as used in the computation: whole along the data axis."""
        weights = self.weights if weights is None else weights
        return sum(w.bytes // self._parts(w, (MODEL,)) for w in weights)

    def gathered(self, weights: Sequence[Weight] | None = None) -> int:
        """Bytes as used of the weights that are stored sharded along the data axis."""
        weights = self.weights if weights is None else weights
        return self.used([w for w in weights if DATA in self._axes[w.path]])

    @property
    def output_axes(self) -> Axes:
        """The mesh axes of the output head, as (vocabulary, width)."""
        axes = self._axes[self.output[0].path]
        return axes[::-1] if self.output[0].path.endswith("head/kernel") else axes

    @property
    def parts_of_vocabulary(self) -> int:
        """Shards of each token's logits."""
        return self.mesh.model if self.output_axes[0] == MODEL else 1

    @property
    def parts_of_width(self) -> int:
        """Shards of the embedding's width, and thereby of the residual stream's."""
        return self.mesh.model if self.output_axes[1] == MODEL else 1

    def _parts(self, weight: Weight, axes: tuple[str, ...]) -> int:
        sizes = {DATA: self.mesh.data, MODEL: self.mesh.model}
        cut = [axis for axis in self._axes[weight.path] if axis in axes]
        return math.prod(sizes[axis] for axis in cut if axis)
