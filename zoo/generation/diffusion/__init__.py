"""From noise to data along a noising path: grids of times, and solvers."""

from zoo.generation.diffusion.grids import GRIDS, grid
from zoo.generation.diffusion.sampler import Sampler
from zoo.generation.diffusion.solvers import SOLVERS, solve

__all__ = ["GRIDS", "SOLVERS", "Sampler", "grid", "solve"]
