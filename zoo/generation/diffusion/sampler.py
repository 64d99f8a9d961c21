"""A solver, compiled once for all grids."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.engine.base import Variables
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.generation.arguments import whole
from zoo.generation.diffusion.solvers import Known, check_solver, solve
from zoo.layers.noising.path import NoisingPath

# Grids are padded to a multiple of this many steps, so that few lengths are compiled.
BUCKET = 64


def padded(grid: np.ndarray) -> tuple[np.ndarray, np.int32]:
    """A grid (S + 1,) padded to few lengths, and S."""
    count = len(grid) - 1
    return np.pad(grid, (0, -count % BUCKET), mode="edge"), np.int32(count)


class Sampler:
    """Carries noise to data, or back, in one compiled loop a call.

    Args:
        denoise: maps x (B, ...), a scalar time and further arrays to data and noise,
            (B, ...) each. It must not draw random numbers.
        path: the noising path.
        solver: a key of `zoo.generation.diffusion.SOLVERS`.
        eta: of "ddim", see `solve`.
        variables: the variables that `denoise` reads, such as a model's.

    Raises:
        ValueError: there is no such solver, or eta is out of range.
    """

    def __init__(
        self,
        denoise: Callable[..., Sequence[Tensor]],
        path: NoisingPath,
        solver: str = "ddim",
        *,
        eta: float = 0.0,
        variables: Variables = (),
    ) -> None:
        check_solver(solver, eta)
        self.path, self.solver, self.eta = path, solver, eta
        self._denoise = engine().capture(lambda *arrays: list(denoise(*arrays)))
        self._run = engine().compile(self._solved, lambda: variables)
        self._kept = engine().compile(self._solved_with_known, lambda: variables)

    def __call__(
        self,
        x: Any,
        grid: np.ndarray,
        *arrays: Any,
        seed: int = 0,
        known: Any = None,
        mask: Any = None,
    ) -> np.ndarray:
        """X (B, ...) at the grid's last time.

        Args:
            x: (B, ...) at the grid's first time.
            grid: times (S + 1,), see `zoo.generation.diffusion.grid`.
            arrays: what `denoise` takes beside x and the time.
            seed: of the noise that is added on the way.
            known: data (B, ...) to keep where `mask` is 1.
            mask: (B, ...) of 0 and 1, or what broadcasts to it.

        Raises:
            ValueError: the grid does not go one way between 0 and 1, the solver does
                not go that way, known and mask don't fit x, or the result is not
                finite.
        """
        grid = self._checked(grid)
        first = np.random.default_rng(whole("seed", seed, 0)).integers(2**30)
        whole_call = (np.asarray(x, "float32"), *padded(grid))
        if known is None and mask is None:
            found = self._run(*whole_call, np.int32(first), *arrays)
        else:
            held = self._checked_known(np.shape(x), known, mask)
            found = self._kept(*whole_call, np.int32(first), *held, *arrays)
        found = np.asarray(engine().numpy(found))
        if not np.isfinite(found).all():
            raise ValueError(
                f"The solver {self.solver!r} did not converge in {len(grid) - 1} "
                "steps: some values are not finite. Take more steps, or another "
                "solver or grid."
            )
        return found

    def _checked(self, grid: Any) -> np.ndarray:
        grid = np.asarray(grid, "float32")
        if grid.ndim != 1 or len(grid) < 2 or not np.isfinite(grid).all():
            raise ValueError(
                f"grid must be at least 2 finite times, got the shape {grid.shape}."
            )
        widths = np.diff(grid)
        if grid.min() < 0 or grid.max() > 1 or np.ptp(np.sign(widths)) or not widths[0]:
            raise ValueError(
                "grid must rise or fall without pause between 0 and 1, got "
                f"{len(grid)} times from {grid[0]:g} to {grid[-1]:g}."
            )
        check_solver(self.solver, self.eta, bool(widths[0] < 0))
        return grid

    def _checked_known(
        self, shape: tuple[int, ...], known: Any, mask: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        if known is None or mask is None:
            raise ValueError("known and mask are given together, or neither is.")
        known, mask = np.asarray(known, "float32"), np.asarray(mask, "float32")
        try:
            mask = np.broadcast_to(mask, shape)
        except ValueError:
            raise ValueError(
                f"mask must fit the shape {shape}, got {mask.shape}."
            ) from None
        if known.shape != shape:
            raise ValueError(f"known must have the shape {shape}, got {known.shape}.")
        if not np.isin(mask, (0, 1)).all():
            raise ValueError("mask must hold only 0 and 1, got other values.")
        # What is not known may be NaN.
        return np.where(mask == 1, known, 0), np.ascontiguousarray(mask)

    # === Compiled ===

    def _solved(
        self, x: Tensor, grid: Tensor, count: Tensor, seed: Tensor, *arrays: Tensor
    ) -> Tensor:
        return self._along(x, grid, count, seed, None, arrays)

    def _solved_with_known(
        self,
        x: Tensor,
        grid: Tensor,
        count: Tensor,
        seed: Tensor,
        data: Tensor,
        mask: Tensor,
        *arrays: Tensor,
    ) -> Tensor:
        return self._along(x, grid, count, seed, Known(data, mask), arrays)

    def _along(
        self,
        x: Tensor,
        grid: Tensor,
        count: Tensor,
        seed: Tensor,
        known: Known | None,
        arrays: Sequence[Tensor],
    ) -> Tensor:
        def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            data, noise = self._denoise(x, t, *arrays)
            return data, noise

        options: dict[str, Any] = {"eta": self.eta, "known": known, "count": count}
        return solve(self.solver, denoise, self.path, x, grid, seed, **options)
