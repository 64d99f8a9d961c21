"""The likelihood under a probability flow, with its error.

Along dx/dt = v(x, t), log p(x_t) falls by the trace of v's Jacobian (Chen et al. 2018,
arXiv 1806.07366, theorem 1), so that the density of data follows from that of the noise
that they are carried to (Song et al. 2021, arXiv 2011.13456, appendix D.2). The trace
is exact from one product with the Jacobian per dimension, or estimated without bias
from random probes (Hutchinson 1990; Grathwohl et al. 2019, arXiv 1810.01367).

Shapes: N examples, B at a time, D dimensions of an example, P probes, C traces: one if
they are exact, else P; Y = D + C numbers that are integrated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from zoo.engine.base import Variables
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.noising.path import NoisingPath
from zoo.likelihood.importance import batches, check_counts, checked_examples

# Maps x (B, ...), times (B,) and further arrays (B, ...) to dx/dt (B, ...).
Velocity = Callable[..., Tensor]

TRACES = ("exact", "rademacher", "gaussian")

# Dormand & Prince 1980, "A family of embedded Runge-Kutta formulae", table 2: places in
# the step, weights of earlier slopes, and weights of the error. The last row of weights
# is the step itself.
PLACES = np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1], "float32")
WEIGHTS = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [1 / 5, 0, 0, 0, 0, 0, 0],
        [3 / 40, 9 / 40, 0, 0, 0, 0, 0],
        [44 / 45, -56 / 15, 32 / 9, 0, 0, 0, 0],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0, 0],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0, 0],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
    ],
    "float32",
)
ERRORS = np.array(
    [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40],
    "float32",
)
# As in scipy's RK45.
SAFETY, SLOWEST, FASTEST = 0.9, 0.2, 10.0
# A step this small no longer changes the time in float32.
SHORTEST = 1e-8
FIRST_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class FlowLikelihood:
    """Log-densities under a flow, in nats per example, and how wrong they may be.

    Attributes:
        log_likelihood: (N,) log p(x).
        solver_error: (N,) an estimate of the solver's error, not a bound. For fixed
            steps, the difference from half as many, which is larger than the error; for
            adaptive steps, the sum of their local errors, of the error's order of
            magnitude.
        probe_error: (N,) the standard error of the mean over probes; 0 if the trace is
            exact, and NaN for a single probe, which shows no spread.
        noise: (N, ...) what the data are carried to, at time 1.
        evaluations: the evaluations of the velocity; for the adaptive solver, those of
            the slowest example of all batches.
    """

    log_likelihood: np.ndarray
    solver_error: np.ndarray
    probe_error: np.ndarray
    noise: np.ndarray
    evaluations: int


class ProbabilityFlow:
    """Integrates a flow from data to noise, in one compiled loop a batch.

    Compiled functions are kept for the next call, which sees new values of `variables`.

    Args:
        velocity: maps x (B, ...), times (B,) and further arrays with one row per
            example to dx/dt (B, ...). It must not draw random numbers, nor let one
            example depend on another.
        path: the noising path.
        trace: "exact", which evaluates D rows per example at once; or the law of
            Hutchinson's probes, "rademacher" (random signs) or "gaussian".
        probes: P, per example; not used if the trace is exact.
        steps: an even number of Runge-Kutta steps, four evaluations each, and half as
            many again for the error; None for adaptive steps by Dormand & Prince's
            method, each example with its own.
        rtol: of adaptive steps: the error allowed in a step, relative to the values.
        atol: of adaptive steps: the same, absolute.
        max_steps: the most adaptive steps, rejected ones among them.
        start: the time that data are taken to be at; by default the path's first, since
            slopes may be unbounded before.
        data_mean: of the data, a number or an array like one example. The path may
            leave a rest of the data in the noise, which then counts.
        data_stddev: of the data, alike.
        batch_size: B.
        variables: the variables that `velocity` reads, such as a model's. JAX treats
            all others as constants.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        velocity: Velocity,
        path: NoisingPath,
        *,
        trace: str = "rademacher",
        probes: int = 1,
        steps: int | None = None,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        max_steps: int = 1000,
        start: float | None = None,
        data_mean: Any = 0.0,
        data_stddev: Any = 0.0,
        batch_size: int = 100,
        variables: Variables = (),
    ) -> None:
        if trace not in TRACES:
            raise ValueError(f"trace must be one of {TRACES}, got {trace!r}.")
        check_counts(probes=probes, max_steps=max_steps, batch_size=batch_size)
        if steps is not None:
            check_counts(steps=steps)
            if steps % 2:
                raise ValueError(
                    "steps must be even, since the error is found by half as many, got "
                    f"{steps!r}."
                )
        for name, value in (("rtol", rtol), ("atol", atol)):
            if not 1e-7 <= value < 1:
                raise ValueError(
                    f"{name} must be from 1e-7, which is float32's precision, to 1, "
                    f"got {value!r}."
                )
        start = path.first if start is None else start
        if not 0 <= start < 1:
            raise ValueError(f"start must be in [0, 1), got {start!r}.")
        data_mean, data_stddev = np.asarray(data_mean), np.asarray(data_stddev)
        if not np.all(data_stddev >= 0):
            raise ValueError("data_stddev must be at least 0, got smaller values.")
        if not (np.isfinite(data_mean).all() and np.isfinite(data_stddev).all()):
            raise ValueError("data_mean and data_stddev must be finite.")
        self.velocity, self.path, self.trace = velocity, path, trace
        self.probes, self.steps, self.start = probes, steps, start
        self.rtol, self.atol, self.max_steps = rtol, atol, max_steps
        self.data_mean, self.data_stddev = data_mean, data_stddev
        self.batch_size = batch_size
        self._slopes = engine().capture(self._differentiated)
        run = self._adaptive if steps is None else self._fixed
        self._run = engine().compile(run, lambda: variables)

    def log_likelihood(self, x: Any, *arrays: Any, seed: int = 0) -> FlowLikelihood:
        """The log-density of data (N, ...) at time `start`.

        Args:
            x: (N, ...) data, in the units of the path.
            arrays: (N, ...) what `velocity` takes beside x and times.
            seed: of the probes.

        Raises:
            ValueError: x is empty or not finite, arrays have not N rows, or the solver
                does not converge.
        """
        x = checked_examples(x)
        arrays = tuple(np.asarray(a) for a in arrays)
        for array in arrays:
            if array.ndim < 1 or len(array) != len(x):
                raise ValueError(
                    f"Arrays must have {len(x)} rows, as x, got shape {array.shape}."
                )
        rng = np.random.default_rng(seed)
        parts, evaluations = [], 0
        for rows in batches(np.arange(len(x)), self.batch_size):
            probes = self._probes(x[rows], rng)
            given = [array[rows] for array in arrays]
            *columns, times, count = self._integrated(x[rows], probes, given)
            self._check(columns, times, rows)
            evaluations = max(evaluations, self._evaluations(int(count)))
            parts.append(columns)
        end, traces, error = (
            np.concatenate(p)[: len(x)] for p in zip(*parts, strict=True)
        )
        log_p = self._of_noise(end, x.shape[1:])[:, None] + traces.astype("float64")
        spread = np.zeros(len(x))
        if self.trace != "exact":
            spread = np.full(len(x), np.nan)
            if self.probes > 1:
                spread = log_p.std(axis=1, ddof=1) / math.sqrt(self.probes)
        return FlowLikelihood(
            log_likelihood=log_p.mean(axis=1),
            solver_error=self._solver_error(error, log_p, x.shape[1:]),
            probe_error=spread,
            noise=end.reshape(x.shape),
            evaluations=evaluations,
        )

    def _probes(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vectors (P, B, ...) that the Jacobian is multiplied by from both sides."""
        if self.trace == "exact":
            one = np.eye(x[0].size, dtype="float32").reshape(-1, 1, *x.shape[1:])
            return np.ascontiguousarray(np.broadcast_to(one, (len(one), *x.shape)))
        shape = (self.probes, *x.shape)
        if self.trace == "gaussian":
            return rng.standard_normal(shape, "float32")
        return rng.choice(np.array([-1, 1], "float32"), shape)

    def _integrated(
        self, x: np.ndarray, probes: np.ndarray, arrays: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """What `_adaptive` returns; for fixed steps, the error is the coarse result."""
        if self.steps is None:
            return [engine().numpy(a) for a in self._run(x, probes, *arrays)]
        fine, coarse = (
            [engine().numpy(a) for a in self._run(x, probes, np.int32(n), *arrays)]
            for n in (1, 2)
        )
        times, count = np.ones(len(x)), np.asarray(self.steps)
        return [*fine, np.concatenate(coarse, axis=1), times, count]

    def _of_noise(self, end: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The log-density (N,) of what is at time 1 (N, D), in float64."""
        alpha, sigma = (
            float(engine().numpy(f(1.0))) for f in (self.path.alpha, self.path.sigma)
        )
        scale = np.hypot(alpha * self.data_stddev, sigma)
        end = end.astype("float64").reshape(-1, *shape)
        z = (end - alpha * self.data_mean) / scale
        constant = np.log(scale) + 0.5 * math.log(2 * math.pi)
        return (-0.5 * z**2 - constant).reshape(len(end), -1).sum(axis=1)

    def _solver_error(
        self, error: np.ndarray, log_p: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray:
        if self.steps is None:
            return error[:, 0]
        size = log_p.shape[1]
        coarse = self._of_noise(error[:, :-size], shape) + error[:, -size:].mean(axis=1)
        return np.abs(log_p.mean(axis=1) - coarse)

    def _evaluations(self, count: int) -> int:
        if self.steps is not None:
            return 6 * self.steps
        return 1 + 6 * count

    def _check(
        self, columns: Sequence[np.ndarray], times: np.ndarray, rows: np.ndarray
    ) -> None:
        """Raises ValueError unless all examples have arrived at finite values."""
        finite = [np.isfinite(a).all(axis=1) for a in columns]
        bad = np.flatnonzero((times < 1) | ~np.logical_and.reduce(finite))
        if not bad.size:
            return
        if self.steps is None:
            way = f"stopped at time {times[bad[0]]:.6g} of 1 after {self.max_steps} "
            way += "steps or at the shortest step"
            hint = "Give more max_steps, a larger rtol and atol, or a later start"
        else:
            way = f"is not finite after {self.steps} steps"
            hint = "Give more steps, a later start, or steps=None"
        raise ValueError(
            f"The solver did not converge: example {rows[bad[0]]} {way} "
            f"({len(bad)} of {len(rows)} in its batch). {hint}."
        )

    # === Compiled ===

    def _differentiated(
        self, x: Tensor, times: Tensor, probes: Tensor, *arrays: Tensor
    ) -> list[Tensor]:
        """dx/dt (B, D) and traces (B, C)."""
        count, batch = probes.shape[:2]
        probes = ops.reshape(probes, (-1, *probes.shape[2:]))

        def repeated(a: Tensor) -> Tensor:
            return ops.tile(a, (count, *(1,) * (len(a.shape) - 1)))

        many = [repeated(a) for a in arrays]
        times = repeated(times)

        def projected(x: Tensor) -> tuple[Tensor, Tensor]:
            v = ops.cast(self.velocity(x, times, *many), "float32")
            return ops.sum(v * probes), v

        v, _, (gradient,) = engine().gradients(projected, [], [repeated(x)])
        axes = tuple(range(1, len(x.shape)))
        traces = ops.reshape(ops.sum(gradient * probes, axis=axes), (count, batch))
        if self.trace == "exact":
            traces = ops.sum(traces, axis=0, keepdims=True)
        return [ops.reshape(v[:batch], (batch, -1)), ops.transpose(traces)]

    def _begin(self, x: Tensor, probes: Tensor) -> tuple[Tensor, int]:
        """What is integrated, (B, Y), before the first step, and D."""
        batch, dims = x.shape[0], math.prod(x.shape[1:])
        traces = 1 if self.trace == "exact" else probes.shape[0]
        flat = ops.reshape(ops.cast(x, "float32"), (batch, dims))
        return ops.concatenate([flat, ops.zeros((batch, traces))], axis=1), dims

    def _slope(
        self, like: Tensor, dims: int, probes: Tensor, arrays: Sequence[Tensor]
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The slope (B, Y) of what is integrated, at y (B, Y) and times (B,)."""

        def slope(y: Tensor, times: Tensor) -> Tensor:
            x = ops.reshape(y[:, :dims], like.shape)
            return ops.concatenate(self._slopes(x, times, probes, *arrays), axis=1)

        return slope

    def _fixed(
        self, x: Tensor, probes: Tensor, stride: Tensor, *arrays: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The noise (B, D) and the traces (B, C), by every `stride`-th grid time."""
        steps = self.steps
        assert steps is not None
        y, dims = self._begin(x, probes)
        slope = self._slope(x, dims, probes, arrays)
        ones = ops.ones_like(y[:, 0])
        # Where slopes are unbounded at time 0 they are those of a square root.
        power = 2 if self.path.first > 0 else 1
        grid = np.linspace(self.start ** (1 / power), 1, steps + 1) ** power
        grid = ops.convert_to_tensor(grid.astype("float32"))
        places, shares = (
            ops.convert_to_tensor(np.array(row, "float32"))
            for row in ([0, 0.5, 0.5, 1], [1 / 6, 1 / 3, 1 / 3, 1 / 6])
        )

        def step(index: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            t = ops.take(grid, index)
            width = ops.take(grid, index + stride) - t

            # A loop, so that the velocity is compiled once.
            def stage(number: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
                moved, before = state
                ahead = width * ops.take(places, number)
                found = slope(y + ahead * before, (t + ahead) * ones)
                return moved + width * ops.take(shares, number) * found, found

            return index + stride, ops.fori_loop(0, 4, stage, (y, ops.zeros_like(y)))[0]

        start = ops.convert_to_tensor(0, "int32")
        y = ops.while_loop(lambda index, _: index < steps, step, (start, y))[1]
        return y[:, :dims], y[:, dims:]

    def _adaptive(
        self, x: Tensor, probes: Tensor, *arrays: Tensor
    ) -> tuple[Tensor, ...]:
        """The noise, the traces, the error (B, 1), the times reached, and the steps."""
        y, dims = self._begin(x, probes)
        slope = self._slope(x, dims, probes, arrays)
        ones = ops.ones_like(y[:, 0])
        places, weights, errors = map(ops.convert_to_tensor, (PLACES, WEIGHTS, ERRORS))
        stages = ops.arange(7)

        def combined(row: Tensor, slopes: Tensor) -> Tensor:
            return ops.sum(row[:, None, None] * slopes, axis=0)

        def more(count: Tensor, t: Tensor, width: Tensor, *rest: Tensor) -> Tensor:
            del rest
            going = ops.logical_and(t < 1.0, width > SHORTEST)
            return ops.logical_and(count < self.max_steps, ops.any(going))

        def step(
            count: Tensor,
            t: Tensor,
            width: Tensor,
            y: Tensor,
            first: Tensor,
            total: Tensor,
        ) -> tuple[Tensor, ...]:
            ends = t + width >= 1.0 - 1e-6
            width = ops.where(ends, 1.0 - t, width)
            wide = width[:, None]

            def stage(number: Tensor, slopes: Tensor) -> Tensor:
                moved = y + wide * combined(ops.take(weights, number, axis=0), slopes)
                found = slope(moved, t + width * ops.take(places, number))
                return ops.where((stages == number)[:, None, None], found, slopes)

            rest = ops.zeros((6, *y.shape), dtype="float32")
            slopes = ops.concatenate([first[None], rest], axis=0)
            slopes = ops.fori_loop(1, 7, stage, slopes)
            after = y + wide * combined(weights[6], slopes)
            error = wide * combined(errors, slopes)
            scale = self.atol + self.rtol * ops.maximum(ops.abs(y), ops.abs(after))
            square = ops.square(error / scale)
            parts = [ops.mean(s, axis=1) for s in (square[:, :dims], square[:, dims:])]
            size = ops.sqrt(ops.maximum(*parts))
            size = ops.where(ops.isfinite(size), size, 1e10)
            moving = t < 1.0
            accepted = ops.logical_and(moving, size <= 1.0)
            faster = SAFETY * ops.power(ops.maximum(size, 1e-10), -0.2)
            faster = ops.clip(faster, SLOWEST, FASTEST)
            kept = accepted[:, None]
            total = total + ops.where(accepted, _in_nats(y, error, dims), 0.0)
            return (
                count + 1,
                ops.where(accepted, ops.where(ends, ones, t + width), t),
                ops.where(moving, width * faster, width),
                ops.where(kept, after, y),
                ops.where(kept, slopes[6], first),
                total,
            )

        t = self.start * ones
        width = ops.minimum(FIRST_STEP, 1.0 - t)
        state = (ops.convert_to_tensor(0, "int32"), t, width, y, slope(y, t), 0.0 * t)
        count, t, _, y, _, total = ops.while_loop(more, step, state)
        return y[:, :dims], y[:, dims:], total[:, None], t, count


def _in_nats(y: Tensor, error: Tensor, dims: int) -> Tensor:
    """What a step's error (B, Y) means for the log-density (B,).

    An error in x counts with the slope of the log-density of a normal of x's size.
    """
    x, wrong = y[:, :dims], error[:, :dims]
    variance = ops.maximum(ops.mean(ops.square(x), axis=1), 1e-6)
    moved = ops.abs(ops.sum(x * wrong, axis=1)) / variance
    return moved + ops.abs(ops.mean(error[:, dims:], axis=1))
