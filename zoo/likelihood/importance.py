"""Likelihood of latent-variable models by importance sampling from the encoder.

Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", equation 8. The
prior is a standard normal. An encoder maps data to the mean and log-variance of a
diagonal Gaussian, a decoder maps latents to the parameters of an observation model
(`zoo.layers.latent.observations`); both are made of Keras's operations and layers.

Shapes: N examples, K samples of a latent, L latent dimensions.
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
    """What K draws from the encoder say about log p(x), in nats an example.

    Attributes:
        bound: (N,) log of the mean weight: in expectation a lower bound of log p(x),
            tighter with more samples.
        elbo: (N,) mean of the log-weights, the bound of one sample.
        effective_sample_size: (N,) from 1 to K. Near 1, one draw decided the bound,
            which is then far too low: take `annealed_importance_sampling`.
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
        encode: see `ImportanceSampler`; so `decode`, `observation` and `options`.
        decode: likewise.
        observation: likewise.
        num_samples: K, for each example.
        seed: of the draws.
        progress: whether to show a bar.
        options: batch_size, chunk, variables.
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
    """The evidence lower bound in nats, (N,); as `importance_weighted_bound`."""
    sampler = ImportanceSampler(encode, decode, observation, **options)
    return sampler(x, num_samples, seed=seed, progress=progress).elbo


class ImportanceSampler:
    """Weighs draws from an encoder's posterior by p(x, z) / q(z | x).

    It keeps what was compiled for the next call, which sees new values of `variables`.

    Args:
        encode: from data to mean and log-variance, (N, L) each.
        decode: from latents (N, L) to the observation model's parameters (N, ...).
        observation: gives log p(x | parameters).
        batch_size: examples at a time.
        chunk: samples of each of them at a time: chunk · batch_size latents are
            decoded at once, however many samples are drawn.
        variables: those that `encode` and `decode` read, such as a model's. JAX
            compiles the values of others in.
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
            num_samples: K, for each example.
            seed: of the draws, which depend on `batch_size` and `chunk` too.
            progress: whether to show a bar.

        Raises:
            ValueError: num_samples is below 1; x is empty, not finite, or not of the
                shape that the decoder gives; or a bound came out NaN or infinite.
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

    def _summed(self, noise, count, x, mean, log_variance):
        """Log of the sum of a chunk's weights, of their squares, and sum of the logs.

        The first `count` of the chunk's samples are meant.
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
        noise: (K, N, L), the place of z under a standard normal.
        x: (N, ...).
        mean: of q, (N, L).
        log_variance: of q, (N, L).
        decode: from latents to parameters.
        observation: gives log p(x | parameters).
    """
    samples, examples, latent_dim = noise.shape
    z = reparameterised(mean, log_variance, noise)
    parameters = keras.tree.map_structure(
        lambda p: ops.reshape(p, (samples, examples, *p.shape[1:])),
        decode(ops.reshape(z, (samples * examples, latent_dim))),
    )
    likelihood = ops.cast(observation.log_prob(x, parameters), "float32")
    # q's density is that of the noise, over the stddevs.
    prior = standard_normal_log_prob(z) - standard_normal_log_prob(noise)
    return likelihood + prior + 0.5 * ops.sum(log_variance, axis=-1)


# === Batches ===


def batches(x: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Batches of one size, the last filled up with the last example."""
    size = min(batch_size, len(x))
    for start in range(0, len(x), size):
        yield x[np.minimum(np.arange(start, start + size), len(x) - 1)]


def drawn_seed(rng: np.random.Generator) -> int:
    """A seed for one draw of `keras.random`."""
    return int(rng.integers(2**31))


def standard_normal(shape: Sequence[int], rng: np.random.Generator) -> Tensor:
    """Noise for a compiled function.

    Drawn outside of it: JAX and TensorFlow would take longer to compile the generator
    than most decoders, for each function anew.
    """
    return keras.random.normal(shape, dtype="float32", seed=drawn_seed(rng))


def progress_bar(target: int, unit: str, shown: bool) -> keras.utils.Progbar:
    """Keras's bar, or one that prints nothing."""
    return keras.utils.Progbar(target, unit_name=unit, verbose=int(shown))


# === Checks ===


def check_counts(**counts: int) -> None:
    """Raises for what isn't a whole number from 1."""
    for name, value in counts.items():
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1, got {value!r}")


def checked_examples(x: Any, name: str = "x") -> np.ndarray:
    """Examples (N, ...) in float32; raises if there are none, or NaN among them."""
    x = np.asarray(x, "float32", order="C")
    if x.ndim < 2 or not x.size:
        raise ValueError(
            f"{name} must hold examples of at least one value, (N, D) or (N, H, W, C). "
            f"Received shape {x.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{name} must be finite, but {bad.size} of its {len(x)} examples are not; "
            f"the first is {name}[{bad[0]}]."
        )
    return x


def checked_posterior(mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """What an encoder gave, in float32, if it is one row of latents an example."""
    if len(mean.shape) != 2 or mean.shape != log_variance.shape:
        raise ValueError(
            "An encoder gives a mean and a log-variance, (N, L) each. Received shapes "
            f"{tuple(mean.shape)} and {tuple(log_variance.shape)}."
        )
    return ops.cast(mean, "float32"), ops.cast(log_variance, "float32")


def check_decoder(
    x: np.ndarray, latent_dim: int, decode: Decode, observation: Observation
) -> None:
    """Raises unless data is decoded in the shape of x: others might broadcast."""
    decoded = observation.mean(decode(ops.zeros((1, latent_dim))))
    if tuple(decoded.shape[1:]) != x.shape[1:]:
        raise ValueError(
            f"The decoder gives examples of shape {tuple(decoded.shape[1:])}, but "
            f"those of x have shape {x.shape[1:]}."
        )


def checked_finite(log_likelihood: np.ndarray) -> np.ndarray:
    """Log-likelihoods (N,), none of them NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(log_likelihood))
    if bad.size:
        raise ValueError(
            f"The log-likelihood of {bad.size} of {len(log_likelihood)} examples is "
            f"not finite; that of x[{bad[0]}] is {log_likelihood[bad[0]]}. The "
            "encoder or the decoder gives NaN or overflows."
        )
    return log_likelihood


def likelihood_metrics(
    vae: Any, images: np.ndarray, num_samples: int, seed: int = 0
) -> dict[str, float]:
    """The importance-weighted bound on images' -log p(x), with its error, as a record.

    Args:
        vae: a `zoo.VAE`.
        images: (N, H, W, C), as the observation model takes them.
        num_samples: of each bound.
        seed: of the samples.
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
