"""Rational-quadratic splines (Durkan et al. 2019, section 3.1).

Shapes: ... any axes of the values, K bins, which come first: sums over them then run
along contiguous values. All arithmetic is in float32.
"""

import math

from keras import ops

from zoo.engine.tensors import Tensor

# The least width and height of a bin, as a share of the interval, and the least slope.
LEAST = 1e-3


def num_parameters(num_bins: int) -> int:
    """Parameters per value: widths, heights, and slopes at the inner knots."""
    return 3 * num_bins - 1


def rational_quadratic(
    x: Tensor, parameters: Tensor, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """A monotone map of [-bound, bound] onto itself; the identity outside.

    Parameters of zero give the identity.

    Args:
        x: values (...).
        parameters: (3·K - 1, ...), unconstrained.
        bound: half the length of the interval.
        inverse: whether to apply the inverse map.

    Returns:
        The values (...), and the logarithms of the map's slopes (...), which for the
        inverse are those of the inverse.
    """
    num_bins = (parameters.shape[0] + 1) // 3
    widths = _sizes(parameters[:num_bins], bound)
    heights = _sizes(parameters[num_bins : 2 * num_bins], bound)
    # Softplus of this is 1 - LEAST, so that zeros give slopes of 1, as outside.
    shift = math.log(math.expm1(1 - LEAST))
    inner = LEAST + ops.softplus(parameters[2 * num_bins :] + shift)
    end = ops.ones_like(inner[:1])
    slopes = ops.concatenate([end, inner, end], axis=0)  # (K + 1, ...)
    left, low = (ops.cumsum(s, axis=0) - s - bound for s in (widths, heights))

    inside = ops.cast(ops.abs(x) < bound, "float32")
    clipped = ops.clip(x, -bound, bound)
    starts = low if inverse else left
    reached = ops.cast(clipped[None] >= starts[1:], "float32")
    one = ops.ones_like(reached[:1])
    reached = ops.concatenate([one, reached, ops.zeros_like(one)], axis=0)
    chosen = ops.stop_gradient(reached[:-1] - reached[1:])  # (K, ...), one-hot

    def pick(values: Tensor) -> Tensor:
        return ops.sum(chosen * values, axis=0)

    x0, y0, width, height = pick(left), pick(low), pick(widths), pick(heights)
    d0, d1 = pick(slopes[:-1]), pick(slopes[1:])
    s = height / width
    bend = d0 + d1 - 2 * s
    if inverse:
        # Equations 6 to 8; the form of the root that does not cancel.
        along = clipped - y0
        a = height * (s - d0) + along * bend
        b = height * d0 - along * bend
        c = -s * along
        root = ops.sqrt(ops.maximum(b * b - 4 * a * c, 0.0))
        t = ops.clip(2 * c / (-b - root), 0.0, 1.0)
        mapped = x0 + t * width
    else:
        t = ops.clip((clipped - x0) / width, 0.0, 1.0)
        between = t * (1 - t)
        mapped = y0 + height * (s * t * t + d0 * between) / (s + bend * between)
    between = t * (1 - t)
    slope = s * s * (d1 * t * t + 2 * s * between + d0 * (1 - t) * (1 - t))
    log_slope = ops.log(slope) - 2 * ops.log(s + bend * between)
    log_slope = inside * (-log_slope if inverse else log_slope)
    return inside * mapped + (1 - inside) * x, log_slope


def _sizes(raw: Tensor, bound: float) -> Tensor:
    """Sizes (K, ...) from LEAST of the interval up, which sum to its length."""
    shares = LEAST + (1 - LEAST * raw.shape[0]) * ops.softmax(raw, axis=0)
    return 2 * bound * shares
