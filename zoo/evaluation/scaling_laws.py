"""Scaling laws: the loss as a function of parameters, tokens and compute.

Three published forms and one way to fit them: a robust least-squares fit of the log of
the loss (Hoffmann et al. 2022, section 3.3 and appendix D.3). Losses are in nats,
compute in FLOPs, C = 6·N·D for N parameters and D tokens (Kaplan et al. 2020,
section 2.1).
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from scipy.optimize import least_squares

# Log-losses further than this from the law count linearly (Hoffmann et al., D.3).
HUBER_DELTA = 1e-3
EXPONENTS = (0.1, 0.3, 0.6)
FLOPS_PER_TOKEN_AND_PARAMETER = 6


def compute(parameters, tokens):
    """The FLOPs of a training, forward and backward: 6·N·D."""
    return FLOPS_PER_TOKEN_AND_PARAMETER * np.asarray(parameters) * np.asarray(tokens)


@dataclass(frozen=True)
class ScalingLaw:
    """A form that `fit_scaling_law` can fit.

    Attributes:
        inputs: what the loss depends on.
        loss: the loss for these, in nats a token.
        log_loss: its log for logs of the inputs, by the parameters that are searched.
        starts: where the search begins, given the log of the lowest loss.
        from_logs: the law, from what was found with the inputs' logs less `centres`.
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

    def loss(self, parameters, tokens):
        """Nats a token, of a model of so many parameters after so many tokens."""
        n, d = np.asarray(parameters, "float64"), np.asarray(tokens, "float64")
        return self.E + self.A / n**self.alpha + self.B / d**self.beta

    def optimal(self, flops):
        """Parameters and tokens of the lowest loss for a compute (equation 4)."""
        exponent = self.alpha + self.beta
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1 / exponent)
        budget = np.asarray(flops, "float64") / FLOPS_PER_TOKEN_AND_PARAMETER
        parameters = ratio * budget ** (self.beta / exponent)
        return parameters, budget / parameters

    @staticmethod
    def from_logs(theta, centres) -> "ChinchillaLaw":
        """See `ScalingLaw`."""
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
    def log_loss(theta, n, d):
        """Log L of log N and log D."""
        e, a, alpha, b, beta = theta
        return np.logaddexp(np.logaddexp(a - alpha * n, b - beta * d), e)

    @staticmethod
    def starts(lowest: float) -> Iterator[tuple[float, ...]]:
        """See `ScalingLaw`."""
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

    def loss(self, parameters, tokens):
        """Nats a token, of a model of so many parameters after so many tokens."""
        n, d = np.asarray(parameters, "float64"), np.asarray(tokens, "float64")
        ratio = self.alpha_N / self.alpha_D
        return ((self.N_c / n) ** ratio + self.D_c / d) ** self.alpha_D

    def optimal(self, flops):
        """Parameters and tokens of the lowest loss for a compute."""
        ratio = self.alpha_N / self.alpha_D
        budget = np.asarray(flops, "float64") / FLOPS_PER_TOKEN_AND_PARAMETER
        # Where the derivative of both terms to log N is the same, with D = budget / N.
        parameters = (ratio * self.N_c**ratio * budget / self.D_c) ** (1 / (1 + ratio))
        return parameters, budget / parameters

    @staticmethod
    def from_logs(theta, centres) -> "KaplanLaw":
        """See `ScalingLaw`."""
        n_c, alpha_n, d_c, alpha_d = theta
        n, d = centres
        return KaplanLaw(
            math.exp(n_c + n), float(alpha_n), math.exp(d_c + d), float(alpha_d)
        )

    @staticmethod
    def log_loss(theta, n, d):
        """Log L of log N and log D."""
        n_c, alpha_n, d_c, alpha_d = theta
        return alpha_d * np.logaddexp(alpha_n / alpha_d * (n_c - n), d_c - d)

    @staticmethod
    def starts(lowest: float) -> Iterator[tuple[float, ...]]:
        """See `ScalingLaw`."""
        for alpha_n, alpha_d in itertools.product(EXPONENTS, EXPONENTS):
            half = lowest / alpha_d - math.log(2)
            yield half * alpha_d / alpha_n, alpha_n, half, alpha_d


@dataclass(frozen=True)
class ComputeLaw(ScalingLaw):
    """L(C) = a·C^b + c, with b below 0: the best that a compute can buy.

    Kaplan et al. (equation 1.3) have c = 0; Henighan et al. 2020 (equation 1.1) add
    the irreducible loss.
    """

    a: float
    b: float
    c: float
    inputs: ClassVar[tuple[str, ...]] = ("flops",)

    def loss(self, flops):
        """Nats a token, after so many FLOPs well spent."""
        return self.a * np.asarray(flops, "float64") ** self.b + self.c

    @staticmethod
    def from_logs(theta, centres) -> "ComputeLaw":
        """See `ScalingLaw`."""
        a, b, c = theta
        return ComputeLaw(math.exp(a - b * centres[0]), float(b), math.exp(c))

    @staticmethod
    def log_loss(theta, flops):
        """Log L of log C."""
        a, b, c = theta
        return np.logaddexp(a + b * flops, c)

    @staticmethod
    def starts(lowest: float) -> Iterator[tuple[float, ...]]:
        """See `ScalingLaw`."""
        for share, exponent in itertools.product((0.2, 0.5, 0.8), EXPONENTS):
            yield lowest + math.log(1 - share), -exponent, lowest + math.log(share)


L = TypeVar("L", bound=ScalingLaw)


@dataclass(frozen=True)
class Prediction:
    """A loss, and between which losses it should come out.

    Attributes:
        loss: of the law, in nats.
        low: the interval's lower end.
        high: its upper end.
        level: how often such an interval holds what is then measured.
    """

    loss: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.loss:.4f} ({self.low:.4f} to {self.high:.4f}, {self.level:.0%})"


@dataclass(frozen=True)
class Fit(Generic[L]):
    """A law, and what the same trainings with other noise would have given.

    Attributes:
        law: the best fit.
        resampled: fits of the bootstrap.
        residuals: log of each measured loss less the law's, widened for the degrees
            of freedom that the fit took.
    """

    law: L
    resampled: tuple[L, ...]
    residuals: np.ndarray

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Between what each constant of the law lies."""
        draws = np.array([astuple(law) for law in self.resampled])
        ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        names = (field.name for field in fields(self.law))
        return {name: (low, high) for name, low, high in zip(names, *ends, strict=True)}

    def predict(self, *inputs: float, level: float = 0.95, seed: int = 0) -> Prediction:
        """What one more training will come to, the noise of a training included."""
        losses = np.array([float(law.loss(*inputs)) for law in self.resampled])
        noise = np.random.default_rng(seed).choice(self.residuals, len(losses))
        ends = np.quantile(losses * np.exp(noise), [(1 - level) / 2, (1 + level) / 2])
        loss = float(self.law.loss(*inputs))
        return Prediction(loss, float(ends[0]), float(ends[1]), level)


def fit_scaling_law(
    form: type[L], losses, *inputs, resamples: int = 200, seed: int = 0
) -> Fit[L]:
    """Fits a law to trainings.

    The uncertainty is that of a residual bootstrap: the trainings keep their sizes, and
    are given losses of the law with residuals drawn anew. (Drawing whole trainings, as
    is done with hundreds of them, would leave sizes out where there are six.)

    Args:
        form: `ChinchillaLaw`, `KaplanLaw` or `ComputeLaw`.
        losses: (R,) nats a token, of R trainings.
        inputs: what the form's `inputs` name, (R,) each.
        resamples: fits of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: there are fewer trainings than constants, or a figure is not above 0
            and finite.
    """
    named = dict(zip(("losses", *form.inputs), (losses, *inputs), strict=True))
    arrays = [_positive(name, values) for name, values in named.items()]
    count, constants = len(arrays[0]), len(fields(form))
    if any(len(values) != count for values in arrays) or count <= constants:
        raise ValueError(
            f"{form.__name__} has {constants} constants and needs more trainings than "
            f"that, with a figure of each kind. Received: "
            f"{ {name: len(values) for name, values in named.items()} }"
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


def isoflop_minimum(parameters, losses) -> tuple[float, float]:
    """The best size for a compute, and its loss, from trainings that spent it.

    The lowest point of a parabola in log N (Hoffmann et al. 2022, section 3.2).

    Raises:
        ValueError: there are fewer than three sizes, or their losses have no lowest
            point between them.
    """
    n = np.log(_positive("parameters", parameters))
    values = _positive("losses", losses)
    if len(set(n)) < 3:
        raise ValueError(
            "A lowest point needs three sizes that spent the same compute. Received "
            f"parameters={np.asarray(parameters).tolist()}"
        )
    centre = n.mean()
    quadratic, linear, constant = np.polyfit(n - centre, values, 2)
    lowest = -linear / (2 * quadratic) if quadratic > 0 else math.inf
    if not n.min() <= centre + lowest <= n.max():
        raise ValueError(
            "The lowest loss lies outside the sizes that were trained: train "
            f"{'smaller' if values[n.argmin()] < values[n.argmax()] else 'larger'} "
            f"ones too. Received parameters={np.asarray(parameters).tolist()}, "
            f"losses={values.tolist()}"
        )
    return math.exp(centre + lowest), float(constant - linear**2 / (4 * quadratic))


def _robust_fit(
    expected: Callable[..., Any], log_losses, logs, starts
) -> tuple[float, ...]:
    """The best of searches from several starts, by Huber's loss."""
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


def _positive(name: str, values) -> np.ndarray:
    array = np.asarray(values, "float64")
    if array.ndim != 1 or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(
            f"{name} must be a list of finite numbers above 0. Received: {values!r}"
        )
    return array
