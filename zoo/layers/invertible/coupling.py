"""Coupling layers: one half of an image changes, as the other half says.

Dinh et al. 2017, sections 3.1 to 3.4 (affine, masks); Durkan et al. 2019 (splines).

Shapes: B images, (H, W, C) of an image, K of the condition, P of other pictures.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.invertible.bijection import Bijection, sum_over_image
from zoo.layers.invertible.networks import CouplingNetwork
from zoo.layers.invertible.spline import num_parameters, rational_quadratic

PATTERNS = ("checkerboard", "halves", "rows", "columns", "diagonal")


@keras.saving.register_keras_serializable("zoo")
class Coupling(Bijection):
    """Changes half of the values by a map whose parameters the other half gives.

    The map of a value is (x + shift) · exp(scale), with a scale between bounds that are
    learned per channel, followed by a spline if `num_bins` is not 0.

    Args:
        pattern: which half is which: a "checkerboard" of pixels, or a half of the
            channels: the first "halves", or, of the four positions that `Squeeze` makes
            channels, the "rows", "columns" or "diagonal".
        flipped: whether the halves change places.
        network: kind of network; see `CouplingNetwork`.
        hidden: channels of the network.
        num_blocks: blocks of the network.
        num_bins: bins of the spline; 0 for an affine map.
        bound: where the spline ends: outside [-bound, bound] it is the identity.
        condition_dim: K; 0 without a condition.
        picture_channels: P; 0 without other pictures.
    """

    def __init__(
        self,
        pattern: str,
        flipped: bool = False,
        network: str = "gated",
        hidden: int = 32,
        num_blocks: int = 3,
        num_bins: int = 0,
        bound: float = 5.0,
        condition_dim: int = 0,
        picture_channels: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if pattern not in PATTERNS:
            raise ValueError(f"pattern must be one of {PATTERNS}, got {pattern!r}.")
        self.pattern, self.flipped = pattern, flipped
        self.num_bins, self.bound = num_bins, bound
        self.kind, self.hidden, self.num_blocks = network, hidden, num_blocks
        self.condition_dim, self.picture_channels = condition_dim, picture_channels

    def build(self, input_shape: Shape) -> None:
        """Creates the network for inputs (B, H, W, C).

        Raises:
            ValueError: the pattern can't halve the channels.
        """
        channels = input_shape[-1]
        if self.pattern == "checkerboard":
            self.order = None
            seen = changed = channels
            rows, columns = np.indices(input_shape[1:3])
            even = (rows + columns) % 2 == int(self.flipped)
            self.changes = even[None, :, :, None].astype("float32")
        else:
            self.order = _order(self.pattern, self.flipped, channels)
            self.back = [*np.argsort(self.order)]
            seen, changed = channels - channels // 2, channels // 2
            if self.flipped:
                seen, changed = changed, seen
        self.seen, self.changed = seen, changed
        per_value = 2 + (num_parameters(self.num_bins) if self.num_bins else 0)
        self.network = CouplingNetwork(
            per_value * changed,
            self.kind,
            self.hidden,
            self.num_blocks,
            self.condition_dim,
            name="network",
            dtype=self.dtype_policy,
        )
        self.network.build((*input_shape[:-1], seen + self.picture_channels))
        self.scaling = self.add_weight(
            shape=(changed,),
            dtype="float32",
            autocast=False,
            initializer="zeros",
            name="scaling",
        )
        self.built = True

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Maps (B, H, W, C), and gives log-determinants (B,)."""
        return self._map(x, condition, pictures, self._forward)

    def inverse(
        self,
        y: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
    ) -> Tensor:
        """The x whose values are y."""
        return self._map(y, condition, pictures, self._backward)[0]

    def _map(
        self, x: Tensor, condition: Tensor | None, pictures: Tensor | None, one: Any
    ) -> tuple[Tensor, Tensor]:
        changes = ops.convert_to_tensor(self.changes) if self.order is None else 1.0
        if self.order is None:
            kept, changing = x * (1 - changes), x
        else:
            ordered = _taken(x, self.order)
            kept, changing = ordered[..., : self.seen], ordered[..., self.seen :]
        seen = kept
        if pictures is not None:
            seen = ops.concatenate([kept, pictures], axis=-1)
        mapped, log_slope = one(changing, self.network(seen, condition))
        if self.order is None:
            return kept + mapped * changes, sum_over_image(log_slope * changes)
        y = _taken(ops.concatenate([kept, mapped], axis=-1), self.back)
        return y, sum_over_image(log_slope)

    def _forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift, spline = self._parts(parameters)
        y = (x + shift) * ops.exp(scale)
        if not self.num_bins:
            return y, scale
        y, log_slope = rational_quadratic(y, spline, self.bound)
        return y, scale + log_slope

    def _backward(self, y: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift, spline = self._parts(parameters)
        log_slope = 0.0
        if self.num_bins:
            y, log_slope = rational_quadratic(y, spline, self.bound, inverse=True)
        return y * ops.exp(-scale) - shift, log_slope - scale

    def _parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Scale and shift (B, H, W, C'), and the spline's parameters."""
        changed = self.changed
        raw, shift = parameters[..., :changed], parameters[..., changed : 2 * changed]
        most = ops.exp(self.scaling)
        scale = ops.tanh(raw / most) * most
        if not self.num_bins:
            return scale, shift, None
        spline = ops.reshape(
            parameters[..., 2 * changed :],
            (-1, *raw.shape[1:3], num_parameters(self.num_bins), changed),
        )
        spline = ops.transpose(spline, (3, 0, 1, 2, 4))  # (3·K - 1, B, H, W, C')
        return scale, shift, spline


def _order(pattern: str, flipped: bool, channels: int) -> list[int]:
    """The channels that are kept, then those that change.

    Raises:
        ValueError: the pattern can't halve them.
    """
    if channels < 2:
        raise ValueError(
            f"A coupling can't halve {channels} channel. Use pattern='checkerboard', "
            "or squeeze the image first."
        )
    index = np.arange(channels)
    if pattern == "halves":
        second = index >= channels - channels // 2
    else:
        if channels % 4:
            raise ValueError(
                f"pattern={pattern!r} needs a multiple of 4 channels, as `Squeeze` "
                f"makes them, got {channels}. Use 'halves'."
            )
        place = index // (channels // 4)
        row, column = place // 2, place % 2
        second = {"rows": row, "columns": column, "diagonal": (row + column) % 2}[
            pattern
        ].astype(bool)
    changes = ~second if flipped else second
    return [*index[~changes].tolist(), *index[changes].tolist()]


def _taken(x: Tensor, order: list[int]) -> Tensor:
    """Channels in another order."""
    if list(order) == list(range(len(order))):
        return x
    return ops.take(x, np.asarray(order, "int32"), axis=-1)
