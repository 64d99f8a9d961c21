"""Solvers of the probability flow, and samplers that add noise on the way.

A solver follows a grid of times in a loop that a backend can compile. It knows a path
and a function `denoise(x, t) -> (data, noise)` for a time t, and nothing of networks;
guidance is that function's concern. Solvers without noise of their own also follow
rising grids, from data to noise.

Shapes: x, data and noise (B, ...); S steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from zoo.engine.drawn_seed import DrawnSeed
from zoo.engine.tensors import Tensor
from zoo.layers.noising.path import SMALLEST, NoisingPath

Denoise = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Solver(NamedTuple):
    """What is known of a solver.

    Attributes:
        stages: evaluations of the network a step; the step below the path's first time
            takes one.
        reverses: whether it carries data to noise too.
    """

    stages: int
    reverses: bool

    def evaluations(self, steps: int) -> int:
        """Evaluations of the network in this many steps, at most."""
        return self.stages * steps


SOLVERS = {
    # Ho et al. 2020 (arXiv 2006.11239), with the smaller of their two variances.
    "ancestral": Solver(1, False),
    # Song et al. 2021 (arXiv 2010.02502).
    "ddim": Solver(1, True),
    "euler": Solver(1, True),
    # Karras et al. 2022 (arXiv 2206.00364), algorithm 1.
    "heun": Solver(2, True),
    # DPM-Solver++ 2M: Lu et al. 2022 (arXiv 2211.01095), algorithm 2.
    "multistep": Solver(1, False),
    # The classical Runge-Kutta method.
    "rk4": Solver(4, True),
}


class Known(NamedTuple):
    """Data that are known in part.

    Attributes:
        data: (B, ...), anything where they are not known.
        mask: of the same shape, 1 where they are known and 0 elsewhere.
    """

    data: Tensor
    mask: Tensor


def check_solver(solver: str, eta: float = 0.0, falls: bool = True) -> None:
    """Raises ValueError if there is no such solver, or it can't do what is asked.

    Args:
        solver: a key of `SOLVERS`.
        eta: see `solve`.
        falls: whether the grid falls, from noise to data.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {tuple(SOLVERS)}, got {solver!r}.")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be from 0 to 1, got {eta!r}.")
    if eta and solver != "ddim":
        raise ValueError(f"eta is an option of the solver 'ddim', got {solver!r}.")
    if not falls and (eta or not SOLVERS[solver].reverses):
        able = [name for name, known in SOLVERS.items() if known.reverses]
        raise ValueError(
            f"From data to noise, solver must be one of {able} and eta 0, got "
            f"{solver!r} and {eta!r}."
        )


def solve(
    solver: str,
    denoise: Denoise,
    path: NoisingPath,
    x: Tensor,
    grid: Tensor,
    seed: Tensor = 0,
    *,
    eta: float = 0.0,
    known: Known | None = None,
    count: Tensor | None = None,
) -> Tensor:
    """Carries x from the grid's first time to its last; to be compiled by the caller.

    Args:
        solver: a key of `SOLVERS`.
        denoise: estimates data and noise (B, ...) of x (B, ...) at a time, a scalar.
        path: the noising path.
        x: (B, ...) at the grid's first time.
        grid: times (S + 1,), falling or rising.
        seed: a whole number below 2**30, of the noise that is added on the way.
        eta: of "ddim": 0 adds no noise, 1 as much as "ancestral".
        known: data to keep. After each step, x is replaced there by the data, noised to
            the step's time (Lugmayr et al. 2022, arXiv 2201.09865, without resampling).
        count: how many of the grid's steps to take; None for all.

    Returns:
        x (B, ...) at the last time.

    Raises:
        ValueError: see `check_solver`.
    """
    check_solver(solver, eta)
    x, grid = ops.convert_to_tensor(x), ops.convert_to_tensor(grid)
    last = ops.convert_to_tensor(grid.shape[0] - 1 if count is None else count, "int32")
    seed = ops.cast(seed, "int32")

    def fresh(index: Tensor, use: int) -> Tensor:
        # Far apart, since torch adds the two numbers.
        drawn = ops.stack([seed + use * 2**30, index])
        drawn = DrawnSeed(ops.cast(drawn, "uint32"))
        return keras.random.normal(ops.shape(x), dtype="float32", seed=drawn)

    def kept(index: Tensor, s: Tensor, x: Tensor) -> Tensor:
        if known is None:
            return x
        # At the end, without noise even where the path has some.
        sigma = ops.where(index + 1 < last, path.sigma(s), 0.0)
        there = path.alpha(s) * known.data + sigma * fresh(index, 1)
        return known.mask * there + (1.0 - known.mask) * x

    def loop(until: Tensor, step: Callable[..., Any], state: tuple[Tensor, ...]) -> Any:
        """Steps `(t, s, index, x, *rest) -> (x, *rest)`."""

        def body(index: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            t, s = ops.take(grid, index), ops.take(grid, index + 1)
            x, *rest = step(t, s, index, *state)
            return (index + 1, kept(index, s, x), *rest)

        return ops.while_loop(lambda index, *_: index < until, body, state)

    def ddim(t: Tensor, s: Tensor, index: Tensor, x: Tensor) -> tuple[Tensor]:
        data, noise = denoise(x, t)
        amount = 1.0 if solver == "ancestral" else eta
        if not amount:
            return (path.alpha(s) * data + path.sigma(s) * noise,)
        return (stochastic_step(path, data, noise, t, s, amount, fresh(index, 0)),)

    def multistep(
        t: Tensor, s: Tensor, index: Tensor, x: Tensor, before: Tensor, width: Tensor
    ) -> tuple[Tensor, ...]:
        data, _ = denoise(x, t)
        next_width = _log_ratio(path, t) - _log_ratio(path, s)
        # The first step has no earlier estimate; the last goes to where the ratio is
        # unbounded.
        single = ops.logical_or(index == 0, index == last - 1)
        share = ops.where(single, 0.0, 0.5 * next_width / width)
        mixed = (1.0 + share) * data - share * before
        left = path.sigma(s) / ops.maximum(path.sigma(t), SMALLEST)
        gain = path.alpha(s) - path.alpha(t) * left
        return left * x + gain * mixed, data, next_width

    def stepped(t: Tensor, s: Tensor, index: Tensor, x: Tensor) -> tuple[Tensor]:
        def slope(x: Tensor, t: Tensor) -> Tensor:
            data, noise = denoise(x, t)
            return path.d_alpha(t) * data + path.d_sigma(t) * noise

        return (STEPS[solver](slope, x, t, s),)

    state = (ops.convert_to_tensor(0, "int32"), x)
    if solver == "multistep":
        rest = (ops.zeros_like(x), ops.ones_like(ops.take(grid, 0)))
        return loop(last, multistep, (*state, *rest))[1]
    if solver in STEPS:
        # Slopes may be unbounded below the path's first time; there, one step of DDIM
        # goes to the data.
        below = ops.take(grid, last) < path.first * (1.0 - 1e-4)
        state = loop(last - ops.cast(below, "int32"), stepped, state)
    return loop(last, ddim, state)[1]


# === Single steps ===


def stochastic_step(
    path: NoisingPath,
    data: Tensor,
    noise: Tensor,
    t: Tensor,
    s: Tensor,
    eta: Tensor,
    fresh: Tensor,
) -> Tensor:
    """From time t to s with noise of its own: DDIM's equation 12, on any path.

    With eta = 1 it is DDPM's posterior.

    Args:
        path: the noising path.
        data: estimate (B, ...) at t.
        noise: estimate (B, ...) at t.
        t: the time.
        s: the next, smaller time.
        eta: share of the posterior's standard deviation, from 0 to 1.
        fresh: standard normal noise (B, ...).
    """
    sigma = path.sigma(s)
    correlation = path.alpha(t) * sigma
    correlation = correlation / ops.maximum(path.alpha(s) * path.sigma(t), SMALLEST)
    share = ops.square(eta) * ops.maximum(1.0 - ops.square(correlation), 0.0)
    kept = sigma * ops.sqrt(1.0 - share)
    return path.alpha(s) * data + kept * noise + sigma * ops.sqrt(share) * fresh


Slope = Callable[[Tensor, Tensor], Tensor]


def euler(slope: Slope, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Euler's step of dx/dt = slope(x, t) from t to s."""
    return x + (s - t) * slope(x, t)


def heun(slope: Slope, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Heun's step, the mean of the slopes at both ends."""
    first = slope(x, t)
    second = slope(x + (s - t) * first, s)
    return x + (s - t) * 0.5 * (first + second)


def rk4(slope: Slope, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The classical Runge-Kutta step."""
    width, middle = s - t, 0.5 * (t + s)
    first = slope(x, t)
    second = slope(x + 0.5 * width * first, middle)
    third = slope(x + 0.5 * width * second, middle)
    fourth = slope(x + width * third, s)
    return x + width / 6.0 * (first + 2.0 * (second + third) + fourth)


STEPS = {"euler": euler, "heun": heun, "rk4": rk4}


def _log_ratio(path: NoisingPath, t: Tensor) -> Tensor:
    """Log(sigma / alpha), which is -lambda in DPM-Solver; finite at both ends."""
    alpha = ops.maximum(path.alpha(t), SMALLEST)
    return ops.log(ops.maximum(path.sigma(t), SMALLEST)) - ops.log(alpha)
