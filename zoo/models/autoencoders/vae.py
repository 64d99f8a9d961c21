"""VAE: an autoencoder with a distribution over codes.

Kingma & Welling 2014 (the bound, section 2.2; the networks, appendix C), Burda et al.
2016 (IWAE), Higgins et al. 2017 (beta), Kingma et al. 2016 (free bits), Sønderby et al.
2016 (warm-up of the KL term).

Shapes: B images, K samples of a latent, (H, W, C) of an image, L latent dimensions.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from zoo.configs.checks import (
    KERAS_ACTIVATIONS,
    check_choice,
    check_count,
    check_fields,
)
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.generation.interpolation import decoded_ways
from zoo.layers.convolution.coders import check_coders, decode_samples
from zoo.layers.latent.gaussian import (
    DiagonalGaussian,
    kl_to_standard_normal,
    reparameterised,
)
from zoo.layers.latent.observations import OBSERVATIONS, observation_model
from zoo.layers.latent.warmup import Warmup
from zoo.likelihood.importance import importance_weighted_bound
from zoo.models.autoencoders.autoencoder import ImageCoder, served_decoder
from zoo.moved import old_arguments
from zoo.presets.registration import register
from zoo.training import Phase
from zoo.training.checks.example_weights import mean_of
from zoo.training.phases import Batch, Terms

OBJECTIVES = ("elbo", "iwae")


@dataclass(frozen=True)
class VAEConfig:
    """Configuration of a VAE and its objective.

    Attributes:
        image_shape: (height, width, channels).
        latent_dim: dimensions of the code, L.
        body: "mlp" or "convolutional".
        hidden: widths, or channels, of the encoder's layers; the decoder mirrors them.
        activation: Keras name of the activation after each hidden layer.
        observation: "bernoulli", "gaussian", "learned_gaussian" or
            "discretized_logistic"; see `zoo.layers.latent.observations`.
        stddev: standard deviation of the "gaussian" observation, in units of the data.
        objective: "elbo", or "iwae", a tighter bound from `num_samples` codes.
        num_samples: codes drawn per image in training, K.
        beta: coefficient of the KL term; at 1 the objective is a bound.
        free_bits: nats per latent dimension and image that are exempt from the KL term.
        kl_warmup: updates over which the KL coefficient increases from 0.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    latent_dim: int = 50
    body: str = "mlp"
    hidden: tuple[int, ...] = (200, 200)
    activation: str = "tanh"
    observation: str = "bernoulli"
    stddev: float = 0.1
    objective: str = "elbo"
    num_samples: int = 1
    beta: float = 1.0
    free_bits: float = 0.0
    kl_warmup: int = 0

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        check_coders(self.image_shape, self.body, self.hidden)
        check_count("latent_dim", self.latent_dim)
        check_count("num_samples", self.num_samples)
        check_choice(self, "activation", KERAS_ACTIVATIONS)
        for name, choices in (
            ("observation", OBSERVATIONS),
            ("objective", OBJECTIVES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {choices}, got {getattr(self, name)!r}."
                )
        for name in ("beta", "free_bits", "kl_warmup"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} must be at least 0, got {getattr(self, name)!r}."
                )
        if self.objective == "iwae" and self.free_bits:
            raise ValueError(
                "free_bits must be 0 with objective='iwae', which has no KL term, got "
                f"{self.free_bits}. Use objective='elbo'."
            )


PRESETS: dict[str, VAEConfig] = {
    # Burda et al. 2016, section 5: one stochastic layer.
    "vae_mlp": VAEConfig(),
    "vae_convolutional": VAEConfig(
        body="convolutional", hidden=(32, 64), activation="relu"
    ),
    "vae_convolutional_64": VAEConfig(
        image_shape=(64, 64, 3),
        latent_dim=128,
        body="convolutional",
        hidden=(32, 64, 128, 256),
        activation="relu",
        observation="discretized_logistic",
    ),
}


@keras.saving.register_keras_serializable("zoo")
class VAE(ImageCoder):
    """A variational autoencoder of images.

    `fit` takes images (B, H, W, C) in [0, 1], or a dict with `images` and the codes'
    `noise` (B, K, L). It logs `loss`, the objective; `reconstruction` and `kl`, in nats
    per image; and `bits_per_dim`, the bound per image value, without beta, free bits
    and warm-up. `encode` gives the posterior means.

    Args:
        config: the configuration.
        encoder: your own network in place of `body`, from images to a pair of mean and
            log-variance, (B, L) each, or both in one array (B, 2·L).
        decoder: your own network from codes (B, L) to the observation's parameters
            (B, H, W, C); "learned_gaussian" and "discretized_logistic" have two for
            each value, (B, H, W, 2·C).
        kwargs: of `keras.Model`.
    """

    Config = VAEConfig
    gaussian = True

    def __init__(
        self,
        config: VAEConfig,
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        own = {"encoder": encoder, "decoder": decoder}
        observation = observation_model(config.observation, config.stddev)
        super().__init__(config, config.latent_dim, observation, own, **kwargs)
        self.head = None
        if encoder is None:
            self.head = DiagonalGaussian(
                config.latent_dim, name="posterior", dtype=self.dtype_policy
            )
            self.head.build(self.encoder.output_shape)
        self.seed = keras.random.SeedGenerator(name="noise")
        self.kl_warmup = None
        if config.kl_warmup:
            self.kl_warmup = Warmup(config.kl_warmup, name="kl_warmup")
            self.kl_warmup.build()
        self.built = True

    def posterior(self, images: Tensor, training: bool = False) -> tuple[Tensor, ...]:
        """Mean and log-variance (B, L) of q(z | image), in float32."""
        found = self.encoder(images, training=training)
        if self.head is not None:
            return self.head(found)
        parts = tree.flatten(found)
        if len(parts) == 1:
            parts = ops.split(parts[0], 2, axis=-1)
        return tuple(ops.cast(part, "float32") for part in parts)

    def codes(self, images: Tensor) -> Tensor:
        """The mean of q(z | image), (B, L)."""
        return self.posterior(images)[0]

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: the bound."""
        return (Phase("bound", self.bound_loss, [self], weights=self.loss_weights),)

    def prepare(self, batch: Batch) -> Batch:
        """Adds noise (B, K, L) to a batch that has none."""
        batch = super().prepare(batch)
        if "noise" in batch:
            return batch
        shape = (
            ops.shape(batch["images"])[0],
            self.config.num_samples,
            self.config.latent_dim,
        )
        return {**batch, "noise": engine().normal(shape, self.seed)}

    def bound_loss(self, batch: Batch, training: bool) -> Terms:
        """The negative bound on log p(image), and its terms."""
        images, noise = batch["images"], batch["noise"]
        mean, log_variance = self.posterior(images, training)
        mean_, log_variance_ = mean[:, None], log_variance[:, None]  # (B, 1, L)
        latents = reparameterised(mean_, log_variance_, noise)  # (B, K, L)
        parameters = decode_samples(  # (B, K, H, W, P)
            functools.partial(self.decoder, training=training), latents
        )
        log_probs = self.observation.log_probs(images[:, None], parameters)
        log_likelihood = ops.sum(log_probs, axis=(2, 3, 4))  # (B, K)
        kl = kl_to_standard_normal(mean, log_variance)  # (B, L)
        reconstruction = -ops.mean(log_likelihood, axis=1)  # (B,)
        weight = self._kl_weight(training)
        if self.config.objective == "iwae":
            # log p(z) - log q(z | x); their constants cancel.
            log_ratio = 0.5 * ops.sum(
                ops.square(noise) + log_variance_ - ops.square(latents), axis=-1
            )
            loss = -_log_mean_exp(log_likelihood + weight * log_ratio)
            bound = -_log_mean_exp(log_likelihood + log_ratio)
        else:
            charged = ops.maximum(kl, self.config.free_bits)
            loss = reconstruction + weight * ops.sum(charged, axis=-1)
            bound = reconstruction + ops.sum(kl, axis=-1)
        per_bit = math.prod(self.config.image_shape) * math.log(2)
        terms = {
            "loss": loss,
            "reconstruction": reconstruction,
            "kl": ops.sum(kl, axis=-1),
            "bits_per_dim": bound / per_bit,
        }
        weights = batch.get("weights")
        return {name: mean_of(values, weights) for name, values in terms.items()}

    def _kl_weight(self, training: bool) -> Tensor:
        """Beta, scaled in training by the warm-up."""
        if self.kl_warmup is None:
            return self.config.beta
        return self.config.beta * self.kl_warmup(training=training)

    def log_likelihood(
        self, images: np.ndarray, num_samples: int = 5000, seed: int = 0, **kwargs: Any
    ) -> np.ndarray:
        """Importance-weighted bounds on log p(image), (N,) in nats.

        Args:
            images: (N, H, W, C) in [0, 1].
            num_samples: codes drawn per image; more give a tighter bound.
            seed: the same seed gives the same codes.
            kwargs: further arguments of `zoo.evaluation.importance_weighted_bound`.
        """
        self.check(images)
        return importance_weighted_bound(
            images,
            self.posterior,
            self.decoder,
            self.observation,
            num_samples,
            variables=self.variables,
            seed=seed,
            **kwargs,
        )

    # === Generation ===

    @old_arguments("num_images", "seed")
    def sample(self, count: int, *, seed: int | None = None) -> np.ndarray:
        """Decodes codes drawn from the prior.

        Args:
            count: how many images to draw, N.
            seed: the same seed gives the same images on a backend; None draws anew.

        Returns:
            The observation's means, (N, H, W, C).
        """
        check_count("count", count)
        shape = (count, self.config.latent_dim)
        return self.decode(np.random.default_rng(seed).normal(size=shape))

    def interpolate(
        self, a: np.ndarray, b: np.ndarray, steps: int, spherical: bool = False
    ) -> np.ndarray:
        """Decodes the path between the codes of two batches of images.

        Args:
            a: (N, H, W, C) in [0, 1].
            b: (N, H, W, C) in [0, 1].
            steps: points per path, both ends included.
            spherical: whether to follow the arc between the codes, not the line.

        Returns:
            (N, steps, H, W, C).
        """
        ends = self.encode(a), self.encode(b)
        return decoded_ways(self.decode, *ends, steps, spherical)


def _log_mean_exp(log_weights: Tensor) -> Tensor:
    """Log 1/K sum_k w_k per image, (B,) (Burda et al. 2016, equation 8)."""
    num_samples = log_weights.shape[1]
    return ops.logsumexp(log_weights, axis=1) - math.log(num_samples)


register(VAE, presets=PRESETS, measured="likelihood", served=served_decoder)
