"""Solvers of the probability flow, and the ancestral sampler that adds noise.

A solver goes along a grid of times in one compiled loop. It knows a path and a function
`denoise(x, t) -> (data, noise)`, and of networks nothing. Grids that rise carry data to
noise.

Shapes: B images, (H, W, C) of an image, S steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from zoo.engine.drawn_seed import DrawnSeed
from zoo.engine.tensors import Tensor
from zoo.layers.noising import NoisingPath as Path

Denoise = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# The least that alpha and sigma count as in ratios.
LEAST = 1e-5


class Solver(NamedTuple):
    """How a solver is run.

    Attributes:
        evaluations: evaluations for a number of steps.
        reverses: whether it carries data to noise too.
    """

    evaluations: Callable[[int], int]
    reverses: bool


SOLVERS = {
    # Song et al. 2021 (DDIM); Euler's method where alpha and sigma are straight lines.
    "ddim": Solver(lambda steps: steps, True),
    # Ho et al. 2020: each step adds noise of its own.
    "ancestral": Solver(lambda steps: steps, False),
    # Two evaluations a step and one for the last (Karras et al. 2022, algorithm 1).
    "heun": Solver(lambda steps: 2 * steps - 1, True),
    # Lu et al. 2022 (DPM-Solver++, 2M): the last estimate corrects the next step.
    "multistep": Solver(lambda steps: steps, False),
}


def solve(
    solver: str, denoise: Denoise, path: Path, x: Tensor, grid: Tensor, seed: Tensor
) -> Tensor:
    """Carries x (B, H, W, C) from the grid's first time to its last.

    Args:
        solver: a key of `SOLVERS`.
        denoise: estimates data and noise of x at a time, a scalar.
        path: noising path.
        x: at the first time.
        grid: times (S + 1,).
        seed: scalar, of the noise that "ancestral" adds.
    """
    last = grid.shape[0] - 1

    def at(index: Any) -> Tensor:
        return ops.take(grid, index)

    def go_on(index: Any, *_: Tensor) -> Tensor:
        return index < last

    def ddim(index: Any, x: Tensor) -> Any:
        t, s = at(index), at(index + 1)
        data, noise = denoise(x, t)
        return index + 1, path.alpha(s) * data + path.sigma(s) * noise

    def ancestral(index: Any, x: Tensor) -> Any:
        t, s = at(index), at(index + 1)
        data, noise = denoise(x, t)
        sigma = path.sigma(s)
        ratio = sigma * path.alpha(t)
        ratio = ratio / ops.maximum(path.sigma(t) * path.alpha(s), LEAST)
        fresh = sigma * ops.sqrt(ops.maximum(1.0 - ops.square(ratio), 0.0))
        kept = ops.sqrt(ops.maximum(ops.square(sigma) - ops.square(fresh), 0.0))
        drawn = DrawnSeed(ops.cast(ops.stack([seed, index]), "uint32"))
        added = keras.random.normal(ops.shape(x), dtype="float32", seed=drawn)
        return index + 1, path.alpha(s) * data + kept * noise + fresh * added

    def heun(index: Any, x: Tensor) -> Any:
        t, s = at(index), at(index + 1)

        def slope(x: Tensor, t: Tensor) -> Tensor:
            data, noise = denoise(x, t)
            return path.d_alpha(t) * data + path.d_sigma(t) * noise

        first = slope(x, t)
        second = slope(x + (s - t) * first, s)
        return index + 1, x + (s - t) * 0.5 * (first + second)

    def multistep(index: Any, x: Tensor, before: Tensor, width: Tensor) -> Any:
        t, s = at(index), at(index + 1)
        data, _ = denoise(x, t)
        step = _log_snr(path, s) - _log_snr(path, t)
        # The first step has no earlier estimate, and the last would overshoot.
        first = ops.logical_or(index == 0, index == last - 1)
        share = ops.where(first, 0.0, 0.5 * step / width)
        mixed = (1.0 + share) * data - share * before
        ratio = path.sigma(s) / ops.maximum(path.sigma(t), LEAST)
        gain = path.alpha(s) - path.alpha(t) * ratio
        return index + 1, ratio * x + gain * mixed, data, step

    index = ops.convert_to_tensor(0, "int32")
    if solver == "multistep":
        state = (index, x, ops.zeros_like(x), ops.ones_like(at(0)))
        return ops.while_loop(go_on, multistep, state)[1]
    if solver == "heun":
        index, x = ops.while_loop(lambda i, x: i < last - 1, heun, (index, x))
        return ddim(index, x)[1]
    body = {"ddim": ddim, "ancestral": ancestral}[solver]
    return ops.while_loop(go_on, body, (index, x))[1]


def _log_snr(path: Path, t: Tensor) -> Tensor:
    """Half the logarithm of the signal-to-noise ratio, lambda in Lu et al. 2022."""
    return ops.log(ops.maximum(path.alpha(t), LEAST)) - ops.log(
        ops.maximum(path.sigma(t), LEAST)
    )
