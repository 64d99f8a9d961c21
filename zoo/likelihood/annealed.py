"""Likelihood of any decoder by annealed importance sampling, and bounds on its error.

Neal 2001, "Annealed importance sampling"; with Hamiltonian transitions as in Wu et
al. 2017 (arXiv 1611.04273), "On the Quantitative Analysis of Decoder-Based Generative
Models"; bounded from both sides as in Grosse et al. 2015 (arXiv 1511.02543),
"Sandwiching the marginal likelihood using bidirectional Monte Carlo".

Chains move in the space of the noise u of z = mean + stddev · u, in which the initial
distribution, the prior or an encoder's posterior, is a standard normal. With the
importance weight w(u) = p(x, z) / q(z), the path is N(u; 0, 1) · w(u)^beta, from q to
the posterior.

Shapes: C chains, N examples, L latent dimensions, T temperatures.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from scipy.special import expit, logsumexp

from zoo.engine.base import Variables
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.latent.gaussian import standard_normal_log_prob
from zoo.layers.latent.observations import Observation
from zoo.likelihood.importance import (
    Decode,
    Encode,
    batches,
    check_counts,
    check_decoder,
    checked_examples,
    checked_finite,
    checked_posterior,
    drawn_seed,
    log_weights,
    progress_bar,
    standard_normal,
)

# As in the code of Wu et al.: https://github.com/tonywu95/eval_gen
TARGET_ACCEPTANCE = 0.65
SMOOTHING = 0.9
FASTER, SLOWER = 1.02, 0.98
STEP_SIZES = (1e-4, 0.5)
SIGMOID_REACH = 4.0


@dataclass(frozen=True, eq=False)
class AnnealedEstimate:
    """The chains' estimate of log p(x), in nats per example.

    Attributes:
        log_likelihood: (N,) log of the chains' mean weight: in expectation a lower
            bound.
        effective_sample_size: (N,) from 1 to C; near 1, use more temperatures.
        acceptance: (N,) the fraction of accepted trajectories.
        step_sizes: (C, N) the final step sizes.
    """

    log_likelihood: np.ndarray
    effective_sample_size: np.ndarray
    acceptance: np.ndarray
    step_sizes: np.ndarray


@dataclass(frozen=True, eq=False)
class BidirectionalBounds:
    """Bounds on log p(x) for data sampled from the model, in nats per example.

    Attributes:
        lower: (N,) from chains that start at the initial distribution; a lower bound in
            expectation.
        upper: (N,) from chains that start at exact posterior samples; an upper bound in
            expectation.
        x: (N, ...) the data.
    """

    lower: np.ndarray
    upper: np.ndarray
    x: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """The gap (N,) in nats; its mean bounds the mean error of either bound."""
        return self.upper - self.lower


def annealed_importance_sampling(
    x: np.ndarray,
    decode: Decode,
    observation: Observation,
    latent_dim: int,
    *,
    num_temperatures: int = 1000,
    schedule: str = "sigmoid",
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> AnnealedEstimate:
    """Estimates log p(x) by chains from the prior to the posterior.

    Unlike `importance_weighted_bound`, it needs no encoder, and finds the posterior
    even if the encoder's is poor.

    Args:
        x: (N, ...) data.
        decode: see `AnnealedSampler`.
        observation: see `AnnealedSampler`.
        latent_dim: see `AnnealedSampler`.
        num_temperatures: T; more make the bound tighter.
        schedule: schedule of beta: "sigmoid", slow at both ends, or "linear".
        seed: seed of the chains.
        progress: whether to show a progress bar.
        options: encode, num_chains, num_leapfrog, step_size, adapt, batch_size and
            variables of `AnnealedSampler`.

    Raises:
        ValueError: see `AnnealedSampler.estimate`.
    """
    sampler = AnnealedSampler(decode, observation, latent_dim, **options)
    return sampler.estimate(x, num_temperatures, schedule, seed=seed, progress=progress)


def bidirectional_bounds(
    decode: Decode,
    observation: Observation,
    latent_dim: int,
    num_examples: int,
    *,
    num_temperatures: int = 1000,
    schedule: str = "sigmoid",
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> BidirectionalBounds:
    """Measures how tight annealing is for a decoder, by `AnnealedSampler.bounds`.

    Args:
        decode: see `AnnealedSampler`.
        observation: see `AnnealedSampler`; also samples the data.
        latent_dim: L.
        num_examples: N, the number of examples to sample.
        num_temperatures: T.
        schedule: schedule of beta, "sigmoid" or "linear".
        seed: seed of the data and the chains.
        progress: whether to show progress bars, one per direction.
        options: options of `AnnealedSampler`.

    Raises:
        ValueError: see `AnnealedSampler.bounds`.
    """
    sampler = AnnealedSampler(decode, observation, latent_dim, **options)
    return sampler.bounds(
        num_examples, num_temperatures, schedule, seed=seed, progress=progress
    )


def temperatures(count: int, schedule: str = "sigmoid") -> np.ndarray:
    """The inverse temperatures beta (T + 1,) from 0 to 1, for T = `count` steps."""
    check_counts(num_temperatures=count)
    even = np.linspace(0.0, 1.0, count + 1)
    match schedule:
        case "linear":
            return even
        case "sigmoid":
            ends = expit([-SIGMOID_REACH, SIGMOID_REACH])
            return (expit(SIGMOID_REACH * (2 * even - 1)) - ends[0]) / np.ptp(ends)
        case _:
            raise ValueError(f"schedule must be sigmoid or linear, got {schedule!r}.")


class _State(NamedTuple):
    """The chains of a batch.

    Attributes:
        u: (C, N, L) the chains' positions.
        log_w: (C, N) importance log-weights at u.
        gradient: (C, N, L) gradient of `log_w` for u.
        log_weight: (C, N) the chains' accumulated log-weights.
        step_size: (C, N) step sizes.
        acceptance: (C, N) moving average of the acceptance.
        accepted: (C, N) number of accepted trajectories.
    """

    u: Any
    log_w: Any
    gradient: Any
    log_weight: Any
    step_size: Any
    acceptance: Any
    accepted: Any


class AnnealedSampler:
    """Chains for one decoder, in either direction.

    Compiled functions are kept for the next call, which sees new values of `variables`.

    Args:
        decode: maps latents (N, L) to the observation model's parameters (N, ...).
        observation: computes log p(x | parameters).
        latent_dim: L; the prior is a standard normal.
        encode: maps data to mean and log-variance, (N, L) each, of the Gaussian to
            start from; None for the prior.
        num_chains: C, per example.
        num_leapfrog: leapfrog steps per Hamiltonian trajectory.
        step_size: initial step size of the leapfrog.
        adapt: whether each chain's step size follows its acceptance rate. The step size
            then depends on the chain's past, and the weights are only nearly unbiased.
        batch_size: examples at a time, with C chains each.
        variables: the variables that `decode` and `encode` read, such as a model's. JAX
            treats all others as constants.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        decode: Decode,
        observation: Observation,
        latent_dim: int,
        *,
        encode: Encode | None = None,
        num_chains: int = 16,
        num_leapfrog: int = 10,
        step_size: float = 0.1,
        adapt: bool = True,
        batch_size: int = 100,
        variables: Variables = (),
    ) -> None:
        check_counts(
            latent_dim=latent_dim,
            num_chains=num_chains,
            num_leapfrog=num_leapfrog,
            batch_size=batch_size,
        )
        if not step_size > 0:
            raise ValueError(f"step_size must be above 0, got {step_size!r}.")
        self.decode, self.observation = decode, observation
        self.latent_dim, self.encode = latent_dim, encode
        self.num_chains, self.num_leapfrog = num_chains, num_leapfrog
        self.step_size, self.adapt = step_size, adapt
        self.batch_size = batch_size
        # In eager loops, the decoder's Python code would take most of the time.
        self._slope = engine().capture(self._differentiated)
        self._initial = engine().compile(self._start, lambda: variables)
        self._begin = engine().compile(self._weighed, lambda: variables)
        self._step = engine().compile(self._moved, lambda: variables)
        self._decode = engine().compile(decode, lambda: variables)

    def estimate(
        self,
        x: np.ndarray,
        num_temperatures: int = 1000,
        schedule: str = "sigmoid",
        *,
        seed: int = 0,
        progress: bool = True,
    ) -> AnnealedEstimate:
        """Estimates log p(x) of data (N, ...).

        Raises:
            ValueError: an option is out of range; x is empty, not finite, or not of the
                decoder's output shape; or an estimate is NaN or infinite.
        """
        betas = temperatures(num_temperatures, schedule)
        x = checked_examples(x)
        check_decoder(x, self.latent_dim, self.decode, self.observation)
        end = self._run(x, betas, np.random.default_rng(seed), progress)
        log_likelihood = checked_finite(_log_mean_exp(end.log_weight))
        concentration = _log_mean_exp(2 * end.log_weight) - 2 * log_likelihood
        return AnnealedEstimate(
            log_likelihood=log_likelihood,
            effective_sample_size=self.num_chains * np.exp(-concentration),
            acceptance=end.accepted.mean(axis=0) / max(num_temperatures - 1, 1),
            step_sizes=end.step_size,
        )

    def bounds(
        self,
        num_examples: int,
        num_temperatures: int = 1000,
        schedule: str = "sigmoid",
        *,
        seed: int = 0,
        progress: bool = True,
    ) -> BidirectionalBounds:
        """Bidirectional Monte Carlo on `num_examples` samples of the model itself.

        The z that generated an example is an exact sample of its posterior. Reverse
        chains from it estimate 1 / p(x), and so give an upper bound. A small mean gap
        means that the same options can be trusted on data like the model's samples (Wu
        et al. 2017, section 4.2).

        Raises:
            ValueError: an option is out of range, or a bound is NaN or infinite.
        """
        check_counts(num_examples=num_examples)
        betas = temperatures(num_temperatures, schedule)
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((num_examples, self.latent_dim), "float32")
        parts = []
        for rows in batches(z, self.batch_size):
            parameters = self._decode(rows)
            parts.append(
                engine().numpy(self.observation.sample(parameters, drawn_seed(rng)))
            )
        x = np.concatenate(parts)[:num_examples]
        forward = self._run(x, betas, rng, progress)
        reverse = self._run(x, betas[::-1], rng, progress, z)
        return BidirectionalBounds(
            lower=checked_finite(_log_mean_exp(forward.log_weight)),
            upper=checked_finite(-_log_mean_exp(reverse.log_weight)),
            x=x,
        )

    def _run(
        self,
        x: Tensor,
        betas: Any,
        rng: np.random.Generator,
        progress: Any,
        latents: Tensor | None = None,
    ) -> _State:
        """The chains' final state along `betas`, as NumPy arrays over all examples.

        They start at `latents` (N, L), or at random.
        """
        steps = (len(betas) - 1) * -(-len(x) // self.batch_size)
        bar = progress_bar(steps, "temperature", progress)
        changes = list(np.diff(betas).astype("float32")[:, None])
        betas = list(betas.astype("float32")[:, None])
        parts = []
        for rows in batches(np.arange(len(x)), self.batch_size):
            batch = ops.convert_to_tensor(x[rows])
            mean, log_variance = checked_posterior(*self._initial(batch))
            shape = (self.num_chains, *mean.shape)
            if latents is None:
                u = standard_normal(shape, rng)
            else:
                stddev = np.exp(0.5 * engine().numpy(log_variance))
                u = (latents[rows] - engine().numpy(mean)) / stddev
                u = np.repeat(u[None], self.num_chains, axis=0)
            data = (batch, mean, log_variance)
            state = self._begin(u, changes[0], *data)
            bar.add(1)
            for beta, change in zip(betas[1:-1], changes[1:], strict=True):
                momentum = standard_normal(shape, rng)
                uniform = keras.random.uniform(shape[:2], seed=drawn_seed(rng))
                state = self._step(state, beta, change, momentum, uniform, *data)
                bar.add(1)
            parts.append([engine().numpy(value) for value in state])
        joined = [np.concatenate(p, axis=1) for p in zip(*parts, strict=True)]
        return _State(*(value[:, : len(x)] for value in joined))

    # === Compiled ===

    def _start(self, x: Tensor) -> Any:
        """Mean and log-variance of the initial distribution."""
        if self.encode is not None:
            return self.encode(x)
        zeros = ops.zeros((x.shape[0], self.latent_dim))
        return zeros, zeros

    def _weigh(self, u: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor) -> Any:
        return log_weights(u, x, mean, log_variance, self.decode, self.observation)

    def _differentiated(self, u: Tensor, *data: Any) -> list[Any]:
        return [engine().input_gradient(lambda u: self._weigh(u, *data), u)]

    def _weighed(self, u: Tensor, change: Tensor, *data: Any) -> tuple[Tensor, ...]:
        log_w = self._weigh(u, *data)
        ones = ops.ones_like(log_w)
        return tuple(
            _State(
                u=u,
                log_w=log_w,
                gradient=self._slope(u, *data)[0],
                log_weight=change * log_w,
                step_size=self.step_size * ones,
                acceptance=TARGET_ACCEPTANCE * ones,
                accepted=0.0 * ones,
            )
        )

    def _moved(
        self,
        state: Any,
        beta: Any,
        change: Tensor,
        momentum: Any,
        uniform: Tensor,
        *data: Any,
    ) -> tuple[Tensor, ...]:
        """A Hamiltonian transition that leaves beta's distribution invariant.

        Then adds the next temperature's log-weight.
        """
        state = _State(*state)
        size = state.step_size[..., None]

        def kick(u: Tensor, gradient: Tensor) -> Tensor:
            return 0.5 * size * (beta * gradient - u)

        def leapfrog(_: Any, moving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            u, p, gradient = moving
            p = p + kick(u, gradient)
            u = u + size * p
            gradient = self._slope(u, *data)[0]
            return u, p + kick(u, gradient), gradient

        u, p, gradient = ops.fori_loop(
            0, self.num_leapfrog, leapfrog, (state.u, momentum, state.gradient)
        )
        log_w = self._weigh(u, *data)

        def log_density(u: Tensor, log_w: Tensor, p: Any) -> Tensor:
            return (
                standard_normal_log_prob(u) + beta * log_w + standard_normal_log_prob(p)
            )

        gain = log_density(u, log_w, p) - log_density(state.u, state.log_w, momentum)
        accept = ops.log(uniform) < gain
        accepted = ops.cast(accept, "float32")
        log_w = ops.where(accept, log_w, state.log_w)
        acceptance = SMOOTHING * state.acceptance + (1 - SMOOTHING) * accepted
        step_size = state.step_size
        if self.adapt:
            factor = ops.where(acceptance > TARGET_ACCEPTANCE, FASTER, SLOWER)
            step_size = ops.clip(step_size * factor, *STEP_SIZES)
        return tuple(
            _State(
                u=ops.where(accept[..., None], u, state.u),
                log_w=log_w,
                gradient=ops.where(accept[..., None], gradient, state.gradient),
                log_weight=state.log_weight + change * log_w,
                step_size=step_size,
                acceptance=acceptance,
                accepted=state.accepted + accepted,
            )
        )


def _log_mean_exp(values: np.ndarray) -> np.ndarray:
    """The log of the mean of exp over the first axis, in float64."""
    return logsumexp(values.astype("float64"), axis=0) - np.log(len(values))
