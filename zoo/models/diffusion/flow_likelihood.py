"""The likelihood under a probability flow (Chen et al. 2018; Song et al. 2021).

Along the ODE dx/dt = v(x, t), log p changes by minus the trace of v's Jacobian, which
e·(J e) estimates without bias for random signs e (Hutchinson 1990; Grathwohl et al.
2019). Carried from data to noise, whose density is known, an image gets its own.

Shapes: B images, (H, W, C) of an image, S steps.
"""

import math
from collections.abc import Callable, Sequence

from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Tensor

# (x, times, signs, ...) -> [v, e·(J e)].
Slopes = Callable[..., Sequence[Tensor]]


def slopes(velocity: Callable[..., Tensor]) -> Slopes:
    """Makes a function that gives a velocity and an estimate of its divergence.

    Args:
        velocity: maps x (B, H, W, C), times (B,) and further arrays to dx/dt.
    """

    def run(x: Tensor, times: Tensor, signs: Tensor, *rest: Tensor) -> list[Tensor]:
        def projected(x: Tensor) -> tuple[Tensor, Tensor]:
            v = velocity(x, times, *rest)
            return ops.sum(v * signs), v

        v, _, (gradient,) = engine().gradients(projected, [], [x])
        return [v, ops.sum(gradient * signs, axis=(1, 2, 3))]

    return engine().capture(run)


def log_density(
    slopes: Slopes, x: Tensor, signs: Tensor, grid: Tensor, scale: Tensor, *rest: Tensor
) -> Tensor:
    """Log p(x), (B,) in nats, by the classical Runge-Kutta method.

    Args:
        slopes: see `slopes`.
        x: data (B, H, W, C) at the grid's first time.
        signs: random signs of the same shape.
        grid: rising times (S + 1,), the last of which is the noise's.
        scale: standard deviation of the noise there.
        rest: further arrays that `slopes` takes.
    """
    last = grid.shape[0] - 1

    def step(index: Tensor, x: Tensor, change: Tensor) -> tuple[Tensor, ...]:
        t, s = ops.take(grid, index), ops.take(grid, index + 1)
        width = s - t

        def at(t: Tensor, x: Tensor) -> Sequence[Tensor]:
            return slopes(x, t * ops.ones_like(change), signs, *rest)

        middle = t + 0.5 * width
        v1, d1 = at(t, x)
        v2, d2 = at(middle, x + 0.5 * width * v1)
        v3, d3 = at(middle, x + 0.5 * width * v2)
        v4, d4 = at(s, x + width * v3)
        return (
            index + 1,
            x + width / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4),
            change + width / 6.0 * (d1 + 2.0 * d2 + 2.0 * d3 + d4),
        )

    state = (ops.convert_to_tensor(0, "int32"), x, ops.zeros_like(x[:, 0, 0, 0]))
    _, end, change = ops.while_loop(lambda i, *_: i < last, step, state)
    # The noise is normal, with standard deviation `scale`.
    end = ops.reshape(end / scale, (-1, math.prod(end.shape[1:])))
    normal = -0.5 * ops.square(end) - 0.5 * math.log(2 * math.pi) - ops.log(scale)
    return ops.sum(normal, axis=-1) + change
