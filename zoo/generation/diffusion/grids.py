"""The times at which a solver stops, from noise to data.

Shapes: S steps, one evaluation each for solvers of one evaluation a step.
"""

import numpy as np

from zoo.engine.current import engine
from zoo.generation.arguments import real, whole
from zoo.layers.noising.path import NoisingPath

GRIDS = ("uniform", "quadratic", "karras")
# The levels of noise beyond which "karras" takes one step, as in EDM's table 1.
LEVELS = (0.002, 80.0)


def grid(
    path: NoisingPath, steps: int, spacing: str = "uniform", *, rho: float = 7.0
) -> np.ndarray:
    """Falling times (S + 1,) in float32, from 1 to 0.

    The last step goes from the earliest time at which the path lets a network be asked
    to the data.

    Args:
        path: the noising path.
        steps: S.
        spacing: "uniform" in time; "quadratic", closer near the data (Song et al. 2021,
            arXiv 2010.02502, appendix D.2); or "karras", in which sigma / alpha to the
            power 1 / rho falls evenly (Karras et al. 2022, arXiv 2206.00364, equation
            5). On a path of discrete steps, the first two give times of steps.
        rho: of "karras"; larger is closer near the data.

    Raises:
        ValueError: there are more steps than the path has, the spacing is unknown, or
            an argument is out of range.
    """
    steps = whole("steps", steps, 1)
    if spacing not in GRIDS:
        raise ValueError(f"spacing must be one of {GRIDS}, got {spacing!r}.")
    if real("rho", rho) < 1:
        raise ValueError(f"rho must be at least 1, got {rho!r}.")
    if path.num_steps is not None and steps > path.num_steps:
        raise ValueError(
            f"The path {path.name!r} has {path.num_steps} steps, got steps={steps}. "
            f"Use at most {path.num_steps}, or a continuous path."
        )
    if spacing == "karras":
        return _karras(path, steps, rho)
    power = 2 if spacing == "quadratic" else 1
    if path.num_steps is not None:
        places = path.num_steps * np.linspace(0, 1, steps + 1) ** power
        return (_distinct(places, path.num_steps)[::-1] / path.num_steps).astype("f4")
    if path.first == 0:
        return np.linspace(1, 0, steps + 1).astype("float32") ** np.float32(power)
    low = path.first ** (1 / power)
    return _ended(np.linspace(1, low, steps) ** power)


def _karras(path: NoisingPath, steps: int, rho: float) -> np.ndarray:
    ends = [float(engine().numpy(path.ratio(t))) for t in (path.first, 1.0)]
    low, high = np.clip(ends, *LEVELS) ** (1 / rho)
    # Some paths end at a level above 0, at time 0.
    ends_there = path.first == 0 and ends[0] >= LEVELS[0]
    levels = np.linspace(high, low, steps + 1 if ends_there else steps) ** rho
    found = np.array(engine().numpy(path.time(levels.astype("float32"))), "float64")
    found[0] = 1.0
    if ends_there:
        return np.append(found[:-1], 0.0).astype("float32")
    return _ended(np.clip(found, path.first, 1.0))


def _ended(times: np.ndarray) -> np.ndarray:
    return np.append(times, 0.0).astype("float32")


def _distinct(places: np.ndarray, most: int) -> np.ndarray:
    """Rising places rounded to different integers from 0 to `most`."""
    order = np.arange(len(places))
    rounded = np.maximum.accumulate(np.round(places) - order) + order
    return np.minimum(rounded, most - order[::-1])
