"""Likelihood of latent-variable models by importance sampling from the encoder.

Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", equation 8. The
prior is a standard normal. An encoder maps data to the mean and log-variance of a
diagonal Gaussian; a decoder maps latents to the parameters of an observation model
(`zoo.layers.latent.observations`). Both consist of Keras operations and layers.

Shapes: N examples, K latent samples per example, L latent dimensions.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.engine.base import Tensor, Variables
from zoo.engine.current import engine
from zoo.layers.latent.gaussian import reparameterised, standard_normal_log_prob
from zoo.layers.latent.observations import Observation

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
Decode = Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class ImportanceEstimate:
    """Bounds on log p(x) from K samples of the encoder, in nats per example.

    Attributes:
        bound: (N,) log of the mean weight: in expectation a lower bound of log p(x),
            tighter with more samples.
        elbo: (N,) mean of the log-weights, the bound with one sample.
        effective_sample_size: (N,) from 1 to K. Near 1, a single sample dominates the
            bound, which is then far too low: use `annealed_importance_sampling`.
    """

    bound: np.ndarray
    elbo: np.ndarray
    effective_sample_size: np.ndarray


def importance_weighted_bound(
    x: np.ndarray,
    encode: Encode,
    decode: Decode,
    observation: Observation,
    num_samples: int = 5000,
    *,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> np.ndarray:
    """Estimates log p(x) in nats, (N,).

    Args:
        x: (N, ...) data.
        encode: see `ImportanceSampler`.
        decode: see `ImportanceSampler`.
        observation: see `ImportanceSampler`.
        num_samples: K.
        seed: seed of the samples.
        progress: whether to show a progress bar.
        options: batch_size, chunk and variables of `ImportanceSampler`.

    Raises:
        ValueError: see `ImportanceSampler`.
    """
    sampler = ImportanceSampler(encode, decode, observation, **options)
    return sampler(x, num_samples, seed=seed, progress=progress).bound


def elbo(
    x: np.ndarray,
    encode: Encode,
    decode: Decode,
    observation: Observation,
    num_samples: int = 50,
    *,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> np.ndarray:
    """The evidence lower bound in nats, (N,).

    The arguments are those of `importance_weighted_bound`.
    """
    sampler = ImportanceSampler(encode, decode, observation, **options)
    return sampler(x, num_samples, seed=seed, progress=progress).elbo


class ImportanceSampler:
    """Weights samples from an encoder's posterior by p(x, z) / q(z | x).

    Compiled functions are kept for the next call, which sees new values of `variables`.

    Args:
        encode: maps data to mean and log-variance, (N, L) each.
        decode: maps latents (N, L) to the observation model's parameters (N, ...).
        observation: computes log p(x | parameters).
        batch_size: examples at a time.
        chunk: samples per example at a time: chunk · batch_size latents are decoded at
            once, whatever the number of samples.
        variables: the variables that `encode` and `decode` read, such as a model's.
            JAX treats all others as constants.
    """

    def __init__(
        self,
        encode: Encode,
        decode: Decode,
        observation: Observation,
        *,
        batch_size: int = 100,
        chunk: int = 50,
        variables: Variables = (),
    ) -> None:
        check_counts(batch_size=batch_size, chunk=chunk)
        self.decode, self.observation = decode, observation
        self.batch_size, self.chunk = batch_size, chunk
        self._posterior = engine().compile(encode, lambda: variables)
        self._sums = engine().compile(self._summed, lambda: variables)

    def __call__(
        self,
        x: np.ndarray,
        num_samples: int = 5000,
        *,
        seed: int = 0,
        progress: bool = True,
    ) -> ImportanceEstimate:
        """Estimates log p(x).

        Args:
            x: (N, ...) data.
            num_samples: K.
            seed: seed of the samples, which also depend on `batch_size` and `chunk`.
            progress: whether to show a progress bar.

        Raises:
            ValueError: num_samples is below 1; x is empty, not finite, or not of the
                decoder's output shape; or a bound is NaN or infinite.
        """
        check_counts(num_samples=num_samples)
        x = checked_examples(x)
        starts = range(0, num_samples, self.chunk)
        target = len(starts) * -(-len(x) // self.batch_size)
        bar = progress_bar(target, "chunk", progress)
        rng = np.random.default_rng(seed)
        parts: list[Any] = []
        for rows in batches(x, self.batch_size):
            batch = ops.convert_to_tensor(rows)
            posterior = checked_posterior(*self._posterior(batch))
            if not parts:
                latent_dim = posterior[0].shape[1]
                check_decoder(x, latent_dim, self.decode, self.observation)
            shape = (self.chunk, *posterior[0].shape)
            log_sum = log_squares = np.full(len(rows), -np.inf)
            total = np.zeros(len(rows))
            for start in starts:
                noise = standard_normal(shape, rng)
                count = np.asarray(min(self.chunk, num_samples - start), "int32")
                found = self._sums(noise, count, batch, *posterior)
                found = [engine().numpy(value).astype("float64") for value in found]
                with np.errstate(invalid="ignore"):  # NaN raises below
                    log_sum = np.logaddexp(log_sum, found[0])
                    log_squares = np.logaddexp(log_squares, found[1])
                total = total + found[2]
                bar.add(1)
            parts.append((log_sum, log_squares, total))
        log_sum, log_squares, total = np.concatenate(parts, axis=1)[:, : len(x)]
        return ImportanceEstimate(
            bound=checked_finite(log_sum - np.log(num_samples)),
            elbo=total / num_samples,
            effective_sample_size=np.exp(2 * log_sum - log_squares),
        )

    def _summed(
        self, noise: Tensor, count: int, x: Tensor, mean: Tensor, log_variance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-sums of a chunk's weights and squared weights, and sum of log-weights.

        Only the first `count` samples of the chunk are used.
        """
        weights = log_weights(
            noise, x, mean, log_variance, self.decode, self.observation
        )
        counts = (ops.arange(self.chunk) < count)[:, None]
        kept = ops.where(counts, weights, -np.inf)
        return (
            ops.logsumexp(kept, axis=0),
            ops.logsumexp(2 * kept, axis=0),
            ops.sum(ops.where(counts, weights, 0.0), axis=0),
        )


def log_weights(
    noise: Tensor,
    x: Tensor,
    mean: Tensor,
    log_variance: Tensor,
    decode: Decode,
    observation: Observation,
) -> Tensor:
    """Log p(x, z) - log q(z) at z = mean + stddev · noise, (K, N) in nats.

    Args:
        noise: (K, N, L), standard normal.
        x: data (N, ...).
        mean: mean of q, (N, L).
        log_variance: log-variance of q, (N, L).
        decode: maps latents to parameters.
        observation: computes log p(x | parameters).
    """
    samples, examples, latent_dim = noise.shape
    z = reparameterised(mean, log_variance, noise)
    parameters = keras.tree.map_structure(
        lambda p: ops.reshape(p, (samples, examples, *p.shape[1:])),
        decode(ops.reshape(z, (samples * examples, latent_dim))),
    )
    likelihood = ops.cast(observation.log_prob(x, parameters), "float32")
    # q's density is the noise's density divided by the stddevs.
    prior = standard_normal_log_prob(z) - standard_normal_log_prob(noise)
    return likelihood + prior + 0.5 * ops.sum(log_variance, axis=-1)


# === Batches ===


def batches(x: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yields batches of one size; the last is padded with the last example."""
    size = min(batch_size, len(x))
    for start in range(0, len(x), size):
        yield x[np.minimum(np.arange(start, start + size), len(x) - 1)]


def drawn_seed(rng: np.random.Generator) -> int:
    """Draws a seed for one call of `keras.random`."""
    return int(rng.integers(2**31))


def standard_normal(shape: Sequence[int], rng: np.random.Generator) -> Tensor:
    """Noise for a compiled function, float32.

    Drawn outside the function: for each function, JAX and TensorFlow would take longer
    to compile the generator than most decoders.
    """
    return keras.random.normal(shape, dtype="float32", seed=drawn_seed(rng))


def progress_bar(target: int, unit: str, shown: bool) -> keras.utils.Progbar:
    """Keras's progress bar; it prints nothing unless `shown`."""
    return keras.utils.Progbar(target, unit_name=unit, verbose=int(shown))


# === Checks ===


def check_counts(**counts: int) -> None:
    """Raises a ValueError for counts that are not whole numbers from 1."""
    for name, value in counts.items():
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1, got {value!r}.")


def checked_examples(x: Any, name: str = "x") -> np.ndarray:
    """Examples (N, ...) in float32.

    Raises:
        ValueError: there are none, or some are not finite.
    """
    x = np.asarray(x, "float32", order="C")
    if x.ndim < 2 or not x.size:
        raise ValueError(
            f"{name} must hold examples of at least one value, (N, D) or (N, H, W, C), "
            f"got shape {x.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{name} must be finite, but {bad.size} of its {len(x)} examples are not; "
            f"the first is {name}[{bad[0]}]."
        )
    return x


def checked_posterior(mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """An encoder's mean and log-variance in float32.

    Raises:
        ValueError: they are not (N, L) each.
    """
    if len(mean.shape) != 2 or mean.shape != log_variance.shape:
        raise ValueError(
            "An encoder must return a mean and a log-variance, (N, L) each, got shapes "
            f"{tuple(mean.shape)} and {tuple(log_variance.shape)}."
        )
    return ops.cast(mean, "float32"), ops.cast(log_variance, "float32")


def check_decoder(
    x: np.ndarray, latent_dim: int, decode: Decode, observation: Observation
) -> None:
    """Raises a ValueError unless decoded data have x's shape; others may broadcast."""
    decoded = observation.mean(decode(ops.zeros((1, latent_dim))))
    if tuple(decoded.shape[1:]) != x.shape[1:]:
        raise ValueError(
            f"The decoder returns examples of shape {tuple(decoded.shape[1:])}, but "
            f"those of x have shape {x.shape[1:]}. Reshape x."
        )


def checked_finite(log_likelihood: np.ndarray) -> np.ndarray:
    """Log-likelihoods (N,) as they are.

    Raises:
        ValueError: one is NaN or infinite.
    """
    bad = np.flatnonzero(~np.isfinite(log_likelihood))
    if bad.size:
        raise ValueError(
            f"The log-likelihood of {bad.size} of {len(log_likelihood)} examples is "
            f"not finite; that of x[{bad[0]}] is {log_likelihood[bad[0]]}. The "
            "encoder or the decoder returns NaN or overflows."
        )
    return log_likelihood


def likelihood_metrics(
    vae: Any, images: np.ndarray, num_samples: int, seed: int = 0
) -> dict[str, float]:
    """The importance-weighted bound on images' -log p(x), with its standard error.

    Args:
        vae: a `zoo.VAE`.
        images: (N, H, W, C), in the range of the observation model.
        num_samples: samples per image.
        seed: seed of the samples.

    Returns:
        The figures by name: in nats, per image, and in bits per dimension.
    """
    log_likelihoods = vae.log_likelihood(images, num_samples=num_samples, seed=seed)
    nll = -float(log_likelihoods.mean())
    return {
        "nll": nll,
        "nll_standard_error": float(log_likelihoods.std() / len(images) ** 0.5),
        "nll_bits_per_dim": nll / math.prod(images.shape[1:]) / math.log(2),
        "nll_samples": num_samples,
        "nll_images": len(images),
    }
