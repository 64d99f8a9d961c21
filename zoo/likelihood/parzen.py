"""Parzen window estimates of the log-likelihood from samples alone.

Breuleux, Bengio & Vincent 2011, "Quickly generating representative samples from an
RBM-derived process"; Goodfellow et al. 2014 report this figure for GANs, which have no
likelihood. It is provided only for comparison with published figures, since it is
misleading: Theis, van den Oord & Bethge 2016 (arXiv 1511.01844), section 3.2.

Shapes: N test examples, S samples, D dimensions per example.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from zoo.engine.tensors import Tensor
from zoo.likelihood.importance import check_counts, checked_examples

WARNING = (
    "A Parzen window estimate can be far from the log-likelihood, and can rank a model "
    "that memorised its training data, or plain cluster centres, above the true "
    "distribution (Theis et al. 2016, arXiv 1511.01844). Never compare models by it "
    "alone."
)
# The grid of Goodfellow's code: https://github.com/goodfeli/adversarial
BANDWIDTHS = tuple(np.logspace(-1.0, 0.0, 10).tolist())


@dataclass(frozen=True, eq=False)
class ParzenEstimate:
    """Log-density of test data under Gaussian kernels at samples, in nats.

    Attributes:
        log_likelihood: (N,), per example.
        bandwidth: the kernels' standard deviation.
        warning: the limits of the figure.
    """

    log_likelihood: np.ndarray
    bandwidth: float
    warning: str = WARNING

    @property
    def mean(self) -> float:
        """The mean over examples, the figure that papers report."""
        return float(self.log_likelihood.mean())

    @property
    def standard_error(self) -> float:
        """The standard error of the mean, from the choice of test examples alone."""
        values = self.log_likelihood
        return float(values.std(ddof=1) / math.sqrt(len(values)))


def parzen_log_likelihood(
    x: np.ndarray,
    samples: np.ndarray,
    validation: np.ndarray,
    *,
    bandwidths: Sequence[float] = BANDWIDTHS,
    chunk: int = 500,
) -> ParzenEstimate:
    """Log-density of `x` under a mixture with one Gaussian per sample.

    It can be far from the log-likelihood and favour models that memorise (Theis et al.
    2016, arXiv 1511.01844). Never compare models by it alone.

    Args:
        x: (N, ...) test data.
        samples: (S, ...) samples of the model; 10000 in Goodfellow et al. 2014.
        validation: (V, ...) data on which the bandwidth is chosen by likelihood.
        bandwidths: candidates, in the data's units; a single one is used as it is.
        chunk: samples at a time; memory grows with chunk · (N + D).

    Raises:
        ValueError: shapes differ, values are not finite, or a bandwidth is not above 0.

    Warns:
        UserWarning: the best bandwidth is the smallest or the largest candidate.
    """
    check_counts(chunk=chunk)
    grid = np.sort(np.asarray(bandwidths, "float64").reshape(-1))
    if not grid.size or not (grid > 0).all() or not np.isfinite(grid).all():
        raise ValueError(f"bandwidths must be above 0 and finite, got {bandwidths!r}.")
    arrays = {"x": x, "samples": samples, "validation": validation}
    arrays = {name: checked_examples(value, name) for name, value in arrays.items()}
    shapes = {name: value.shape[1:] for name, value in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f"Examples and samples must have the same shape, got {shapes}."
        )
    x, samples, validation = (_rows(value) for value in arrays.values())
    best = 0
    if len(grid) > 1:
        scores = _log_densities(validation, samples, grid, chunk).mean(axis=1)
        best = int(scores.argmax())
        if best in (0, len(grid) - 1):
            warnings.warn(
                f"The best bandwidth, {grid[best]:g}, is at the end of those given, "
                f"{grid[0]:g} to {grid[-1]:g}. Widen their range.",
                stacklevel=2,
            )
    found = _log_densities(x, samples, grid[best : best + 1], chunk)[0]
    return ParzenEstimate(found, float(grid[best]))


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype("float64")


def _log_densities(x: Tensor, samples: Any, bandwidths: Any, chunk: int) -> Tensor:
    """Log-densities per bandwidth and row of x, (bandwidths, N)."""
    total = np.full((len(bandwidths), len(x)), -np.inf)
    norms = np.square(x).sum(axis=1)[:, None]
    for start in range(0, len(samples), chunk):
        part = samples[start : start + chunk]
        squares = norms + np.square(part).sum(axis=1) - 2 * x @ part.T
        for index, bandwidth in enumerate(bandwidths):
            exponents = -0.5 * squares / bandwidth**2
            total[index] = np.logaddexp(total[index], logsumexp(exponents, axis=1))
    normaliser = x.shape[1] * np.log(bandwidths * math.sqrt(2 * math.pi))
    return total - np.log(len(samples)) - normaliser[:, None]
