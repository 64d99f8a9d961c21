"""Scaling laws: the loss as a function of parameters, tokens and compute.

Three published forms and one way to fit them: robust least squares on the log of the
loss (Hoffmann et al. 2022, section 3.3 and appendix D.3). Losses are in nats, compute
in FLOPs, C = 6·N·D for N parameters and D tokens (Kaplan et al. 2020, section 2.1).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

# Huber's loss is linear for log-losses further than this from the law (Hoffmann et
# al., D.3).
HUBER_DELTA = 1e-3
EXPONENTS = (0.1, 0.3, 0.6)
FLOPS_PER_TOKEN_AND_PARAMETER = 6


def compute(parameters: ArrayLike, tokens: ArrayLike) -> Any:
    """The FLOPs of a training run, forward and backward: 6·N·D."""
    return FLOPS_PER_TOKEN_AND_PARAMETER * np.asarray(parameters) * np.asarray(tokens)


@dataclass(frozen=True)
class ScalingLaw:
    """A form of law that `fit_scaling_law` can fit.

    Attributes:
        inputs: the names of the quantities that the loss depends on.
        loss: computes the loss for these inputs, in nats per token.
        log_loss: computes the log of the loss for logs of the inputs, from the
            parameters that the fit searches.
        starts: the search's starting points, given the log of the lowest loss.
        from_logs: makes the law from the fitted parameters, with the inputs' logs
            shifted by `centres`.
    """

    inputs: ClassVar[tuple[str, ...]]
    loss: ClassVar[Callable[..., Any]]
    log_loss: ClassVar[Callable[..., Any]]
    starts: ClassVar[Callable[..., Any]]
    from_logs: ClassVar[Callable[..., Any]]


@dataclass(frozen=True)
class ChinchillaLaw(ScalingLaw):
    """L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, equation 2)."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float
    inputs: ClassVar[tuple[str, ...]] = ("parameters", "tokens")

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Any:
        """The loss in nats per token, given N parameters and D tokens."""
        n, d = np.asarray(parameters, "float64"), np.asarray(tokens, "float64")
        return self.E + self.A / n**self.alpha + self.B / d**self.beta

    def optimal(self, flops: ArrayLike) -> tuple[Any, Any]:
        """The compute-optimal numbers of parameters and tokens (equation 4)."""
        exponent = self.alpha + self.beta
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1 / exponent)
        budget = np.asarray(flops, "float64") / FLOPS_PER_TOKEN_AND_PARAMETER
        parameters = ratio * budget ** (self.beta / exponent)
        return parameters, budget / parameters

    @staticmethod
    def from_logs(theta: Sequence[float], centres: Sequence[float]) -> "ChinchillaLaw":
        """The law of the fitted parameters."""
        e, a, alpha, b, beta = theta
        n, d = centres
        return ChinchillaLaw(
            math.exp(e),
            math.exp(a + alpha * n),
            float(alpha),
            math.exp(b + beta * d),
            float(beta),
        )

    @staticmethod
    def log_loss(theta: Sequence[float], n: Any, d: Any) -> Any:
        """Log L, given log N and log D."""
        e, a, alpha, b, beta = theta
        return np.logaddexp(np.logaddexp(a - alpha * n, b - beta * d), e)

    @staticmethod
    def starts(lowest: float) -> Iterator[tuple[float, ...]]:
        """Starting points of the search, given the log of the lowest loss."""
        for share, alpha, beta in itertools.product((0.2, 0.8), EXPONENTS, EXPONENTS):
            part = lowest + math.log((1 - share) / 2)
            yield lowest + math.log(share), part, alpha, part, beta


@dataclass(frozen=True)
class KaplanLaw(ScalingLaw):
    """L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D (Kaplan et al., eq. 1.5).

    Kaplan et al. count parameters without embeddings.
    """

    N_c: float
    alpha_N: float
    D_c: float
    alpha_D: float
    inputs: ClassVar[tuple[str, ...]] = ("parameters", "tokens")

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Any:
        """The loss in nats per token, given N parameters and D tokens."""
        n, d = np.asarray(parameters, "float64"), np.asarray(tokens, "float64")
        ratio = self.alpha_N / self.alpha_D
        return ((self.N_c / n) ** ratio + self.D_c / d) ** self.alpha_D

    def optimal(self, flops: ArrayLike) -> tuple[Any, Any]:
        """The compute-optimal numbers of parameters and tokens."""
        ratio = self.alpha_N / self.alpha_D
        budget = np.asarray(flops, "float64") / FLOPS_PER_TOKEN_AND_PARAMETER
        # Where both terms have the same derivative by log N, with D = budget / N.
        parameters = (ratio * self.N_c**ratio * budget / self.D_c) ** (1 / (1 + ratio))
        return parameters, budget / parameters

    @staticmethod
    def from_logs(theta: Sequence[float], centres: Sequence[float]) -> "KaplanLaw":
        """The law of the fitted parameters."""
        n_c, alpha_n, d_c, alpha_d = theta
        n, d = centres
        return KaplanLaw(
            math.exp(n_c + n), float(alpha_n), math.exp(d_c + d), float(alpha_d)
        )

    @staticmethod
    def log_loss(theta: Sequence[float], n: Any, d: Any) -> Any:
        """Log L, given log N and log D."""
        n_c, alpha_n, d_c, alpha_d = theta
        return alpha_d * np.logaddexp(alpha_n / alpha_d * (n_c - n), d_c - d)

    @staticmethod
    def starts(lowest: float) -> Iterator[tuple[float, ...]]:
        """Starting points of the search, given the log of the lowest loss."""
        for alpha_n, alpha_d in itertools.product(EXPONENTS, EXPONENTS):
            half = lowest / alpha_d - math.log(2)
            yield half * alpha_d / alpha_n, alpha_n, half, alpha_d


@dataclass(frozen=True)
class ComputeLaw(ScalingLaw):
    """L(C) = a·C^b + c with b below 0: the lowest loss for a compute budget.

    Kaplan et al. (equation 1.3) have c = 0; Henighan et al. 2020 (equation 1.1) add
    the irreducible loss.
    """

    a: float
    b: float
    c: float
    inputs: ClassVar[tuple[str, ...]] = ("flops",)

    def loss(self, flops: ArrayLike) -> Any:
        """The loss in nats per token, after this many FLOPs spent optimally."""
        return self.a * np.asarray(flops, "float64") ** self.b + self.c

    @staticmethod
    def from_logs(theta: Sequence[float], centres: Sequence[float]) -> "ComputeLaw":
        """The law of the fitted parameters."""
        a, b, c = theta
        return ComputeLaw(math.exp(a - b * centres[0]), float(b), math.exp(c))

    @staticmethod
    def log_loss(theta: Sequence[float], flops: Any) -> Any:
        """Log L, given log C."""
        a, b, c = theta
        return np.logaddexp(a + b * flops, c)

    @staticmethod
    def starts(lowest: float) -> Iterator[tuple[float, ...]]:
        """Starting points of the search, given the log of the lowest loss."""
        for share, exponent in itertools.product((0.2, 0.5, 0.8), EXPONENTS):
            yield lowest + math.log(1 - share), -exponent, lowest + math.log(share)


L = TypeVar("L", bound=ScalingLaw)


@dataclass(frozen=True)
class Prediction:
    """A predicted loss with its prediction interval.

    Attributes:
        loss: the law's loss, in nats per token.
        low: the interval's lower end.
        high: the interval's upper end.
        level: how often such an interval contains the measured loss.
    """

    loss: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.loss:.4f} ({self.low:.4f} to {self.high:.4f}, {self.level:.0%})"


@dataclass(frozen=True)
class Fit(Generic[L]):
    """A fitted law and its bootstrap.

    Attributes:
        law: the best fit.
        resampled: the fits to bootstrap samples.
        residuals: log of each measured loss minus the law's, scaled up for the degrees
            of freedom that the fit used.
    """

    law: L
    resampled: tuple[L, ...]
    residuals: np.ndarray

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """The confidence interval of each constant of the law, by name."""
        draws = np.array([astuple(law) for law in self.resampled])
        ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        names = (field.name for field in fields(self.law))
        return {name: (low, high) for name, low, high in zip(names, *ends, strict=True)}

    def predict(self, *inputs: float, level: float = 0.95, seed: int = 0) -> Prediction:
        """Predicts the loss of one more run, including the noise of a run.

        Args:
            inputs: the law's inputs.
            level: the confidence level of the interval.
            seed: the seed of the noise.
        """
        losses = np.array([float(law.loss(*inputs)) for law in self.resampled])
        noise = np.random.default_rng(seed).choice(self.residuals, len(losses))
        ends = np.quantile(losses * np.exp(noise), [(1 - level) / 2, (1 + level) / 2])
        loss = float(self.law.loss(*inputs))
        return Prediction(loss, float(ends[0]), float(ends[1]), level)


def fit_scaling_law(
    form: type[L],
    losses: Sequence[float] | np.ndarray,
    *inputs: Sequence[float] | np.ndarray,
    resamples: int = 200,
    seed: int = 0,
) -> Fit[L]:
    """Fits a law to training runs.

    The uncertainty comes from a residual bootstrap: the runs keep their sizes and get
    the law's losses with resampled residuals. (Resampling whole runs, as is done with
    hundreds of them, would leave out sizes if there are six.)

    Args:
        form: `ChinchillaLaw`, `KaplanLaw` or `ComputeLaw`.
        losses: losses (R,) of R runs, in nats per token.
        inputs: the inputs that the form's `inputs` name, (R,) each.
        resamples: the number of bootstrap fits.
        seed: the seed of the bootstrap.

    Raises:
        ValueError: there are not more runs than constants, or a value is not finite
            and above 0.
    """
    named = dict(zip(("losses", *form.inputs), (losses, *inputs), strict=True))
    arrays = [_positive(name, values) for name, values in named.items()]
    count, constants = len(arrays[0]), len(fields(form))
    if any(len(values) != count for values in arrays) or count <= constants:
        raise ValueError(
            f"{form.__name__} has {constants} constants and needs more training runs "
            f"than that, with a value of each kind, got "
            f"{ {name: len(values) for name, values in named.items()} }."
        )
    log_losses, *logs = (np.log(values) for values in arrays)
    centres = [float(values.mean()) for values in logs]
    logs = [values - centre for values, centre in zip(logs, centres, strict=True)]
    expected = form.log_loss
    starts = list(form.starts(float(log_losses.min())))
    theta = _robust_fit(expected, log_losses, logs, starts)
    fitted = expected(theta, *logs)
    residuals = (log_losses - fitted) * math.sqrt(count / (count - constants))
    rng = np.random.default_rng(seed)
    resampled = (
        _robust_fit(expected, fitted + rng.choice(residuals, count), logs, [theta])
        for _ in range(resamples)
    )
    return Fit(
        form.from_logs(theta, centres),
        tuple(form.from_logs(again, centres) for again in resampled),
        residuals,
    )


def isoflop_minimum(parameters: ArrayLike, losses: ArrayLike) -> tuple[float, float]:
    """The best model size for a compute budget, and its loss, from runs that spent it.

    This is the minimum of a parabola in log N (Hoffmann et al. 2022, section 3.2).

    Args:
        parameters: N of each run, (R,).
        losses: the loss of each run, (R,), in nats per token.

    Raises:
        ValueError: there are fewer than three sizes, or the losses have no minimum
            between them.
    """
    n = np.log(_positive("parameters", parameters))
    values = _positive("losses", losses)
    if len(set(n)) < 3:
        raise ValueError(
            "parameters must have at least three sizes that spent the same compute, "
            f"got {np.asarray(parameters).tolist()}."
        )
    centre = n.mean()
    quadratic, linear, constant = np.polyfit(n - centre, values, 2)
    lowest = -linear / (2 * quadratic) if quadratic > 0 else math.inf
    if not n.min() <= centre + lowest <= n.max():
        raise ValueError(
            "The lowest loss must lie between the trained sizes, got parameters="
            f"{np.asarray(parameters).tolist()}, losses={values.tolist()}. Also train "
            f"{'smaller' if values[n.argmin()] < values[n.argmax()] else 'larger'} "
            "models."
        )
    return math.exp(centre + lowest), float(constant - linear**2 / (4 * quadratic))


def _robust_fit(
    expected: Callable[..., Any],
    log_losses: np.ndarray,
    logs: Sequence[np.ndarray],
    starts: Sequence[Sequence[float]],
) -> tuple[float, ...]:
    """The parameters of the lowest Huber loss over searches from several starts."""
    found = [
        least_squares(
            lambda theta: expected(theta, *logs) - log_losses,
            start,
            loss="huber",
            f_scale=HUBER_DELTA,
            x_scale="jac",
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
        )
        for start in starts
    ]
    return tuple(min(found, key=lambda result: result.cost).x)


def _positive(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, "float64")
    if array.ndim != 1 or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(
            f"{name} must be a list of finite numbers above 0, got {values!r}."
        )
    return array
