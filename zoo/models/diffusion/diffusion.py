"""Diffusion: a network that takes noise out of images, in many small steps.

Ho et al. 2020 (DDPM), Nichol & Dhariwal 2021 (the cosine schedule), Song et al. 2021
(scores and the probability flow), Salimans & Ho 2022 (velocity), Karras et al. 2022
(EDM), Lipman et al. 2023 and Liu et al. 2023 (flow matching, rectified flow) differ in
the noising path, in what the network predicts and in how its errors weigh; each is a
configuration here. Ho & Salimans 2022 (classifier-free guidance).

Data are noised as x_t = alpha(t)·data + sigma(t)·noise, from t = 0, the data, to t = 1,
the noise. A network that estimates both parts from x_t also gives the direction of the
probability flow, an ODE that carries noise to data and back.

Shapes: B images, (H, W, C) of an image, L tokens of a text, D condition dimensions.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import check_count
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.generation.interpolation import interpolated
from zoo.models.autoencoders.autoencoder import check_image_shape, check_images, pixels
from zoo.models.diffusion import flow_likelihood
from zoo.models.diffusion.conditions import ClassCondition, TextCondition
from zoo.models.diffusion.config import PRESETS, DiffusionConfig
from zoo.models.diffusion.dit import LAYOUT as DIT_LAYOUT
from zoo.models.diffusion.dit import DiT
from zoo.models.diffusion.prompts import TakesPrompts
from zoo.models.diffusion.solvers import SOLVERS, solve
from zoo.models.diffusion.unet import LAYOUT as UNET_LAYOUT
from zoo.models.diffusion.unet import UNet
from zoo.models.diffusion.units import Units
from zoo.presets.inference import BATCH, Array, Served
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase
from zoo.training.batched import Batched
from zoo.training.checks.example_weights import mean_of, parts, total_of
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch, Terms, same_shape, shape_of

STEPS, SOLVER = 50, "ddim"


@keras.saving.register_keras_serializable("zoo")
class Diffusion(TakesPrompts, FromPreset, Model):
    """A diffusion model or flow of images.

    `fit` takes images (B, H, W, C) in [0, 1]; with classes, (images, labels); with
    texts, (images, token ids), see `tokens`. Or a dict of `images` and `conditions`
    and, unless they are to be drawn, `times` (B,) in [0, 1], `noise` and `jitter` (the
    dequantisation's) of the images' shape, and `drops` (B,), 1 where the condition is
    left out. It logs `loss`, the weighted squared error per value, and `noise_error`,
    the squared error of the estimated noise.
    """

    Config = DiffusionConfig
    class_targets = False
    divided = ("width",)
    layout = (
        (r"condition/(table|tokens)/embeddings$", (None, "model")),
        *UNET_LAYOUT,
        *DIT_LAYOUT,
    )

    def __init__(self, config: DiffusionConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.units = Units(config.levels, config.space)
        self.noising = config.noising
        self.condition: ClassCondition | TextCondition | None = None
        if config.num_classes:
            self.condition = ClassCondition(
                config.num_classes, config.condition_dim, name="condition", **dtype
            )
        elif config.vocab_size:
            self.condition = TextCondition(
                config.vocab_size,
                config.text_length,
                config.condition_dim,
                config.text_layers,
                config.num_heads,
                name="condition",
                **dtype,
            )
        if self.condition is not None:
            self.condition.build()
        network = {"unet": UNet, "dit": DiT}[config.network]
        self.network = network(config.network_config, name="network", **dtype)
        self.network.build()
        self.seed = keras.random.SeedGenerator(name="noise")
        self.built = True

    def estimate(
        self,
        noised: Tensor,
        times: Tensor,
        conditions: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Data and noise, float32, as the network estimates them.

        Args:
            noised: (B, H, W, C).
            times: (B,) from 0 to 1.
            conditions: classes (B,) or token ids (B, L), for models that take them.
            training: whether dropout is on.
        """
        predicted = self._predicted(noised, times, conditions, training)
        return self.noising.prediction.estimates(noised, predicted, times)

    def _predicted(
        self, noised: Tensor, times: Tensor, conditions: Tensor | None, training: bool
    ) -> Tensor:
        """What the network gives, in the units of the configuration's prediction."""
        vectors = None
        if self.condition is not None:
            vectors = self.condition(conditions, training=training)
        x, places = self.noising.prediction.inputs(noised, times)
        if self.config.network == "dit":
            return self.network(x, places, vectors, training=training)
        x = folded(x, self.config.patch_size)
        x = self.network(x, places, vectors, training=training)
        return unfolded(x, self.config.patch_size)

    def guided(
        self, noised: Tensor, times: Tensor, conditions: Tensor, guidance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Data and noise with classifier-free guidance: u + g·(c - u).

        c is the estimate given the condition and u that given none (Ho & Salimans 2022,
        equation 6, whose w is g - 1).
        """
        assert self.condition is not None
        nothing = ops.full_like(conditions, self.condition.nothing)
        found = self.estimate(
            ops.concatenate([noised, noised]),
            ops.concatenate([times, times]),
            ops.concatenate([conditions, nothing]),
        )
        pairs = [ops.split(x, 2) for x in found]
        data, noise = (u + guidance * (c - u) for c, u in pairs)
        return data, noise

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """The estimated data (B, H, W, C) of `noised`, `times` and `conditions`."""
        return self.estimate(
            inputs["noised"], inputs["times"], inputs.get("conditions"), training
        )[0]

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: to estimate the parts of a noised image."""
        return (
            Phase("denoising", self.denoising_loss, [self], weights=self.loss_weights),
        )

    def prepare(self, batch: Batch) -> Batch:
        """A batch as a dict; draws the times, noise, jitter and drops that it lacks."""
        images, conditions, weights = _split(batch)
        given = _given(batch)
        given["images"] = images = ops.cast(images, "float32")
        shape = ops.shape(images)
        if "times" not in given:
            # One offset and equal steps: every batch covers the whole range, so the
            # loss varies less (Kingma et al. 2021, appendix I.1).
            offset = engine().uniform((1,), self.seed)
            places = ops.cast(ops.arange(shape[0]), "float32")
            places = places / ops.cast(shape[0], "float32")
            given["times"] = ops.mod(offset + places, 1.0)
        if "noise" not in given:
            given["noise"] = engine().normal(shape, self.seed)
        if "jitter" not in given and self.config.dequantise:
            given["jitter"] = engine().uniform(shape, self.seed)
        if self.condition is not None:
            given["conditions"] = ops.cast(conditions, "int32")
            if "drops" not in given and self.config.condition_drop:
                chances = engine().uniform(shape[:1], self.seed)
                drops = chances < self.config.condition_drop
                given["drops"] = ops.cast(drops, "float32")
        return given if weights is None else {**given, "weights": weights}

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The images' total weight."""
        return total_of(batch, "loss")

    def denoising_loss(self, batch: Batch, training: bool) -> Terms:
        """The weighted squared error of what the network predicts."""
        data = self.units.to_data(batch["images"], batch.get("jitter", 0.5))
        noise, conditions = batch["noise"], batch.get("conditions")
        times = self.noising.training_times(batch["times"])
        if conditions is not None and "drops" in batch:
            assert self.condition is not None
            dropped = ops.reshape(
                batch["drops"] > 0.5, (-1, *(1,) * (len(conditions.shape) - 1))
            )
            conditions = ops.where(dropped, self.condition.nothing, conditions)
        prediction = self.noising.prediction
        noised = self.noising.path.noised(data, noise, times)
        predicted = self._predicted(noised, times, conditions, training)
        target = prediction.target(data, noise, times)
        error = _mean(ops.square(predicted - target))  # (B,)
        _, found = prediction.estimates(noised, predicted, times)
        terms = {
            "loss": error * self.noising.weight(times),
            "noise_error": _mean(ops.square(found - noise)),
        }
        weights = batch.get("weights")
        return {name: mean_of(values, weights) for name, values in terms.items()}

    def form(self, batch: Batch) -> None:
        """Raises for arrays that are missing or of another shape."""
        images, conditions, _ = _split(batch)
        check_image_shape(images, self.config.image_shape)
        name, rows = type(self).__name__, shape_of(images)[:1]
        if extra := _given(batch):
            shapes = dict.fromkeys(("noise", "jitter"), shape_of(images))
            shapes |= dict.fromkeys(("times", "drops"), rows)
            for key, shape in shapes.items():
                if key in extra and not same_shape(shape_of(extra[key]), shape):
                    raise ValueError(
                        f"{key} must be of shape {shape}, got {shape_of(extra[key])}."
                    )
        if self.condition is None:
            return
        texts = bool(self.config.vocab_size)
        shape = (*rows, self.config.text_length) if texts else rows
        kind = "token ids" if texts else "labels"
        if conditions is None:
            raise ValueError(
                f"This {name} is trained with (images, {kind}), got images alone."
            )
        dtype = ops.dtype(conditions)
        if "int" not in dtype or not same_shape(shape_of(conditions), shape):
            raise ValueError(
                f"{kind.capitalize()} must be integers of shape {shape}, got {dtype} "
                f"of shape {shape_of(conditions)}."
            )

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of pixels, of conditions and, where given, of times."""
        images, conditions, _ = _split(batch)
        found = [pixels(images)]
        if self.config.num_classes:
            classes = self.config.num_classes
            field = f"num_classes={classes}"
            found.append(Range("Labels", conditions, 0, classes - 1, field=field))
        elif self.config.vocab_size:
            size = self.config.vocab_size
            field = f"vocab_size={size}, the last one padding"
            found.append(Range("Token ids", conditions, 0, size, field=field))
        if "times" in (extra := _given(batch)):
            found.append(Range("times", extra["times"], 0, 1, whole=False))
        return found

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per image."""
        return [shape_of(_split(batch)[0])[:1]]

    def check_images(self, images: np.ndarray) -> np.ndarray:
        """Images as float32; raises for another shape or values outside [0, 1]."""
        check_images(images, self.config.image_shape)
        return np.asarray(images, "float32")

    # === Generation ===

    def sample(
        self,
        count: int | None = None,
        *,
        seed: int | None = None,
        labels: np.ndarray | None = None,
        prompts: Sequence[Any] | None = None,
        steps: int = STEPS,
        solver: str = SOLVER,
        guidance: float = 1.0,
        batch_size: int = 100,
    ) -> np.ndarray:
        """Draws images: noise, carried to data by a solver.

        Args:
            count: how many images to draw, N; by default one per label or prompt.
            seed: the same seed gives the same images on a backend; None draws anew.
            labels: classes (N,), drawn uniformly by default, for models with classes.
            prompts: N texts for models with texts, or N classes.
            steps: of the solver.
            solver: one of `zoo.generation.diffusion.SOLVERS`.
            guidance: how far to follow the condition: 0 ignores it, 1 takes the
                estimate as it is, more exaggerates it (see `guided`).
            batch_size: images computed at once.

        Returns:
            (N, H, W, C) in [0, 1], of the configured grey levels.

        Raises:
            ValueError: an argument is out of range, or the model does not take it.
        """
        if count is not None:
            check_count("count", count)
        rng = np.random.default_rng(seed)
        given = self.conditions(count, labels, prompts, rng)
        noise = self._noise(len(given), rng)
        how = _How(solver, steps, guidance, batch_size)
        return self._images(self._carried(noise, given, how, rng))

    def film(
        self,
        count: int | None = None,
        *,
        frames: int = 10,
        seed: int | None = None,
        labels: np.ndarray | None = None,
        prompts: Sequence[Any] | None = None,
        guidance: float = 1.0,
        steps: int = STEPS,
    ) -> np.ndarray:
        """The way from noise to images: what the model takes the image to be.

        Args:
            count: how many images, N; by default one per label or prompt.
            frames: moments to show, F, the first of pure noise.
            seed: see `sample`.
            labels: classes (N,), drawn uniformly by default.
            prompts: N texts or classes.
            guidance: how far to follow the condition.
            steps: of DDIM in all; at least one a frame is taken.

        Returns:
            The estimated images (N, F, H, W, C) in [0, 1]; the last are the samples.
        """
        check_count("frames", frames, 2)
        if count is not None:
            check_count("count", count)
        rng = np.random.default_rng(seed)
        given = self.conditions(count, labels, prompts, rng)
        each = -(-steps // (frames - 1))
        grid = self.noising.grid(each * (frames - 1))
        x = self._noise(len(given), rng) * self._spread
        how = _How("ddim", each, guidance, 100)
        how.check(self)
        found = []
        for frame in range(frames - 1):
            part = grid[frame * each : (frame + 1) * each + 1]
            # One step to the end shows the present estimate.
            to_end = np.array([part[0], grid[-1]], "float32")
            found.append(self._solved(x, given, how, rng, to_end))
            x = self._solved(x, given, how, rng, part)
        return np.stack([self._images(data) for data in (*found, x)], axis=1)

    def inpaint(
        self,
        images: np.ndarray,
        known: np.ndarray,
        *,
        seed: int | None = None,
        labels: np.ndarray | None = None,
        prompts: Sequence[Any] | None = None,
        steps: int = STEPS,
        solver: str = SOLVER,
        guidance: float = 1.0,
        batch_size: int = 100,
    ) -> np.ndarray:
        """Draws the unknown part of images; the known pixels stay as they are.

        In each evaluation the known pixels take the place of their estimates (Song et
        al. 2021, appendix I.2), so that the rest is drawn to fit them.

        Args:
            images: (N, H, W, C) in [0, 1].
            known: booleans, True for pixels that stay: (H, W), (N, H, W) or (N, H, W,
                C).
            seed: see `sample`, as the further arguments.
            labels: classes (N,), drawn uniformly by default.
            prompts: N texts or classes.
            steps: of the solver.
            solver: one of `zoo.generation.diffusion.SOLVERS`.
            guidance: how far to follow the condition.
            batch_size: images computed at once.

        Returns:
            (N, H, W, C) in [0, 1].

        Raises:
            ValueError: images or `known` do not fit the model, or see `sample`.
        """
        images = self.check_images(images)
        known = _known(known, images.shape)
        rng = np.random.default_rng(seed)
        given = self.conditions(len(images), labels, prompts, rng)
        noise = self._noise(len(images), rng)
        how = _How(solver, steps, guidance, batch_size)
        held = (self._data(images), known.astype("float32"))
        found = self._carried(noise, given, how, rng, held)
        return np.where(known, images, self._images(found))

    def encode(
        self,
        images: np.ndarray,
        *,
        labels: np.ndarray | None = None,
        prompts: Sequence[Any] | None = None,
        steps: int = STEPS,
        batch_size: int = 100,
    ) -> np.ndarray:
        """The noise that the probability flow carries to these images.

        Args:
            images: (N, H, W, C) in [0, 1].
            labels: classes (N,), for models with classes; None for any.
            prompts: N texts or classes; None for any.
            steps: of Heun's method, two evaluations each.
            batch_size: images computed at once.

        Returns:
            (N, H, W, C), close to standard normal noise.
        """
        images = self.check_images(images)
        given = self._told(len(images), labels, prompts)
        how = _How("heun", steps, 1.0, batch_size, backwards=True)
        return self._carried(self._data(images), given, how, np.random.default_rng(0))

    def decode(
        self,
        latents: np.ndarray,
        *,
        labels: np.ndarray | None = None,
        prompts: Sequence[Any] | None = None,
        steps: int = STEPS,
        guidance: float = 1.0,
        batch_size: int = 100,
    ) -> np.ndarray:
        """Images that the probability flow carries given noise to: undoes `encode`.

        Args:
            latents: noise (N, H, W, C).
            labels: classes (N,), for models with classes; None for any.
            prompts: N texts or classes; None for any.
            steps: of Heun's method, two evaluations each.
            guidance: how far to follow the condition.
            batch_size: images computed at once.

        Returns:
            (N, H, W, C) in [0, 1].
        """
        latents = np.asarray(latents, "float32")
        if latents.ndim != 4 or latents.shape[1:] != tuple(self.config.image_shape):
            raise ValueError(
                f"latents must be of shape (N, *{self.config.image_shape}), got "
                f"{latents.shape}."
            )
        given = self._told(len(latents), labels, prompts)
        how = _How("heun", steps, guidance, batch_size)
        rng = np.random.default_rng(0)
        return self._images(self._carried(latents, given, how, rng))

    def interpolate(
        self,
        a: np.ndarray,
        b: np.ndarray,
        steps: int,
        spherical: bool = True,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Images between two batches of images, by way of the noise they come from.

        Args:
            a: (N, H, W, C) in [0, 1].
            b: (N, H, W, C) in [0, 1].
            steps: points per path, both ends included.
            spherical: whether to follow the arc, on which points between noise are as
                long as noise, not the line.
            labels: classes (N,), for models with classes.

        Returns:
            (N, steps, H, W, C).
        """
        start, end = (self.encode(x, labels=labels).reshape(len(x), -1) for x in (a, b))
        ways = np.swapaxes(interpolated(start, end, steps, spherical), 0, 1)
        latents = ways.reshape(-1, *self.config.image_shape)
        repeated = None if labels is None else np.repeat(labels, steps)
        images = self.decode(latents, labels=repeated)
        return images.reshape(len(a), steps, *self.config.image_shape)

    # === Likelihood ===

    def log_likelihood(
        self,
        images: np.ndarray,
        *,
        seed: int = 0,
        labels: np.ndarray | None = None,
        prompts: Sequence[Any] | None = None,
        steps: int = 25,
        probes: int = 1,
        batch_size: int = 100,
    ) -> np.ndarray:
        """Estimates of log p(image), or of log p(image | condition), (N,) in nats.

        Of the probability flow, with uniform dequantisation: the mean over jitter of
        log-densities is a lower bound on the discrete image's log-probability. The
        trace of the flow's Jacobian is estimated by random signs, without bias, and
        the ODE is solved in fixed steps: compare numbers of steps.

        Args:
            images: (N, H, W, C) in [0, 1].
            seed: of the jitter and the signs.
            labels: classes (N,), for models with classes; None for no class.
            prompts: N texts or classes.
            steps: of the Runge-Kutta method, four evaluations each.
            probes: draws of jitter and signs per image, which are averaged.
            batch_size: images computed at once.

        Raises:
            ValueError: images do not fit the model, or an argument is out of range.
        """
        images = self.check_images(images)
        for name, count in (("steps", steps), ("probes", probes)):
            check_count(name, count)
        given = self._told(len(images), labels, prompts)
        rng = np.random.default_rng(seed)
        key = ("likelihood", batch_size)
        kept = self.__dict__.setdefault("_carriers", {})
        if key not in kept:
            slopes = flow_likelihood.slopes(self.velocity)

            def run(x: Tensor, signs: Tensor, given: Tensor, *rest: Tensor) -> Tensor:
                return flow_likelihood.log_density(slopes, x, signs, *rest, given)

            kept[key] = Batched(run, lambda: self.variables, batch_size)
        noising = self.noising
        grid = noising.grid(steps, float(noising.path.first) or 1e-9)[::-1].copy()
        first = ops.convert_to_tensor(grid[0])
        alpha, sigma = (
            float(engine().numpy(f(first)))
            for f in (noising.path.alpha, noising.path.sigma)
        )
        found = np.zeros(len(images))
        for _ in range(probes):
            jitter = rng.random(images.shape, dtype="float32")
            data = engine().numpy(self.units.to_data(images, jitter))
            noise = rng.normal(size=images.shape).astype("float32")
            signs = np.where(rng.random(images.shape) < 0.5, -1, 1).astype("float32")
            x = np.float32(alpha) * data + np.float32(sigma) * noise
            log_p = kept[key](x, signs, given, whole=(grid, self._spread))
            found += log_p + self.units.log_volume(data)
        return found / probes

    def _told(self, count: int, labels: Any, prompts: Any) -> np.ndarray:
        """Conditions for `count` images; where none are given, "anything"."""
        if self.condition is None or labels is not None or prompts is not None:
            return self.conditions(count, labels, prompts)
        shape = (count, *((self.config.text_length,) * bool(self.config.vocab_size)))
        return np.full(shape, self.condition.nothing, "int32")

    def velocity(self, x: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """The probability flow dx/dt (B, H, W, C) at x and times (B,)."""
        predicted = self._predicted(x, times, conditions, training=False)
        return self.noising.flow(x, predicted, times)

    # === Solvers ===

    def _noise(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(size=(count, *self.config.image_shape)).astype("float32")

    def _data(self, images: np.ndarray) -> np.ndarray:
        """Data in the middle of the images' grey levels."""
        return np.asarray(engine().numpy(self.units.to_data(images, 0.5)))

    def _images(self, data: np.ndarray) -> np.ndarray:
        return np.asarray(engine().numpy(self.units.to_images(data)))

    def _carried(
        self,
        x: np.ndarray,
        conditions: np.ndarray,
        how: "_How",
        rng: np.random.Generator,
        held: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Carries noise to data, or back; `held` are known data and where they are."""
        how.check(self)
        grid = self.noising.grid(how.steps)
        if how.backwards:
            # There is no noise to tell in data, so the way starts at the first time.
            grid = self.noising.grid(how.steps, float(self.noising.path.first))
            found = self._solved(x, conditions, how, rng, grid[::-1].copy(), held)
            return found / self._spread
        return self._solved(x * self._spread, conditions, how, rng, grid, held)

    def _solved(
        self,
        x: np.ndarray,
        conditions: np.ndarray,
        how: "_How",
        rng: np.random.Generator,
        grid: np.ndarray,
        held: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Carries x along a grid of times."""
        guided = how.guidance != 1 and self.condition is not None
        carry = self._carrier(how.solver, guided, held is not None, how.batch_size)
        seeds = rng.integers(2**31, size=len(x), dtype="int32")
        rows = (x, conditions, seeds, *(held or ()))
        return carry(*rows, whole=(grid, np.float32(how.guidance)))

    @property
    def _spread(self) -> np.float32:
        """Standard deviation of the noise at the end of the path."""
        return np.float32(engine().numpy(self.noising.path.sigma(1.0)))

    def _carrier(
        self, solver: str, guided: bool, holds: bool, batch_size: int
    ) -> Batched:
        """The compiled function for these options, kept for the next call."""
        key = (solver, guided, holds, batch_size)
        kept = self.__dict__.setdefault("_carriers", {})
        if key not in kept:
            capture = engine().capture(self._denoiser(guided))
            run = functools.partial(self._carry, solver, capture)
            kept[key] = Batched(run, lambda: self.variables, batch_size)
        return kept[key]

    def _denoiser(self, guided: bool) -> Callable[..., list[Tensor]]:
        """One evaluation, as a function of arrays alone."""

        def run(
            x: Tensor, times: Tensor, conditions: Tensor, guidance: Tensor
        ) -> list[Tensor]:
            if guided:
                return list(self.guided(x, times, conditions, guidance))
            return list(self.estimate(x, times, conditions))

        return run

    def _carry(
        self,
        solver: str,
        evaluate: Callable[..., list[Tensor]],
        x: Tensor,
        conditions: Tensor,
        seeds: Tensor,
        *rest: Tensor,
    ) -> Tensor:
        """Solves along a grid; `rest` is known data, where, grid and guidance."""
        *held, grid, guidance = rest
        path = self.noising.path

        def denoise(x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
            times = time * ops.ones_like(x[:, 0, 0, 0])
            data, noise = evaluate(x, times, conditions, guidance)
            if not held:
                return data, noise
            values, known = held
            implied = (x - path.alpha(time) * values) / ops.maximum(
                path.sigma(time), 1e-6
            )
            return (
                known * values + (1.0 - known) * data,
                known * implied + (1.0 - known) * noise,
            )

        return solve(solver, denoise, path, x, grid, seeds[0])

    @staticmethod
    def evaluations(steps: int, solver: str = SOLVER) -> int:
        """How often the network is evaluated per image, without guidance.

        Guidance takes twice as many.
        """
        return SOLVERS[solver].evaluations(steps)


class _How(NamedTuple):
    """How to carry noise to data: see `Diffusion.sample`."""

    solver: str
    steps: int
    guidance: float
    batch_size: int
    backwards: bool = False

    def check(self, model: Diffusion) -> None:
        """Raises for what is out of range."""
        check_count("steps", self.steps)
        check_count("batch_size", self.batch_size)
        if self.solver not in SOLVERS:
            raise ValueError(
                f"solver must be one of {tuple(SOLVERS)}, got {self.solver!r}."
            )
        if self.backwards and not SOLVERS[self.solver].reverses:
            raise ValueError(f"solver={self.solver!r} can't carry images to noise.")
        if not math.isfinite(self.guidance) or self.guidance < 0:
            raise ValueError(
                f"guidance must be a number from 0 up, got {self.guidance}."
            )
        if self.guidance != 1 and model.condition is None:
            raise ValueError(
                f"guidance must be 1 for a {type(model).__name__} without classes or "
                f"texts, got {self.guidance}."
            )
        if self.guidance != 1 and not model.config.condition_drop:
            raise ValueError(
                "guidance needs a model that was trained with condition_drop above 0."
            )


def _split(batch: Any) -> tuple[Any, Any, Any]:
    """Images, conditions and weights of a batch; None for those that it lacks."""
    x, conditions, weights = parts(batch)
    if isinstance(x, dict):
        return x["images"], x.get("conditions", conditions), weights
    return x, conditions, weights


def _given(batch: Any) -> dict[str, Any]:
    """The arrays of a batch by name; none if its images are all it has."""
    x, _, _ = parts(batch)
    return dict(x) if isinstance(x, dict) else {}


def _mean(x: Tensor) -> Tensor:
    """The mean over all axes but the first."""
    return ops.mean(x, axis=tuple(range(1, len(x.shape))))


def _known(known: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Which values of images (N, H, W, C) are known, as booleans of that shape."""
    known = np.asarray(known)
    if known.dtype != bool:
        raise ValueError(f"known must be booleans, got an array of {known.dtype}.")
    if known.shape in (shape[1:3], shape[:3]):
        known = known[..., None]
    try:
        return np.broadcast_to(known, shape)
    except ValueError:
        raise ValueError(
            f"known must be of shape {shape[1:3]}, {shape[:3]} or {shape}, got "
            f"{known.shape}."
        ) from None


def folded(x: Tensor, size: int) -> Tensor:
    """Squares of `size` pixels as channels: (B, H, W, C) to (B, h, w, size²·C)."""
    if size == 1:
        return x
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, height // size, size, width // size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height // size, width // size, size * size * channels))


def unfolded(x: Tensor, size: int) -> Tensor:
    """Undoes `folded`."""
    if size == 1:
        return x
    _, height, width, channels = x.shape
    channels //= size * size
    x = ops.reshape(x, (-1, height, width, size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height * size, width * size, channels))


def served_step(model: Any) -> Served:
    """Exports one denoising step: data and noise of noised data, times, conditions."""
    config = model.config
    arrays = [
        Array("noised", (BATCH, *config.image_shape), "normal"),
        Array("times", (BATCH,), "pictures"),
    ]
    if config.num_classes:
        arrays.append(Array("labels", (BATCH,), "ids", config.num_classes))
    elif config.vocab_size:
        shape = (BATCH, config.text_length)
        arrays.append(Array("token_ids", shape, "ids", config.vocab_size))

    def function(inputs: Any) -> list[Any]:
        return list(model.estimate(*(inputs[array.name] for array in arrays)))

    return Served(model, function, arrays, ["data", "noise"])


register(Diffusion, presets=PRESETS, measured="samples", served=served_step)
