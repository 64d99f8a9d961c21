"""What a trained diffusion model is asked for: images, ways between them, likelihoods.

Shapes: N images, (H, W, C) of an image, F frames, S steps.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from zoo.configs.checks import check_count
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.generation.diffusion.sampler import padded
from zoo.generation.diffusion.solvers import SOLVERS, check_solver, solve
from zoo.generation.interpolation import interpolated
from zoo.likelihood.probability_flow import FlowLikelihood, ProbabilityFlow
from zoo.models.diffusion.noising import Noising
from zoo.models.diffusion.prompts import TakesPrompts
from zoo.models.diffusion.units import Units
from zoo.training.batched import Batched

STEPS, SOLVER = 50, "ddim"


class Draws(TakesPrompts):
    """A mixin: sampling, inpainting, latents and likelihoods of a denoising model.

    The model has `estimate`, `guided`, `velocity` and `check_images`.
    """

    noising: Noising
    units: Units
    condition: Any
    variables: Any
    estimate: Callable[..., tuple[Tensor, Tensor]]
    guided: Callable[..., tuple[Tensor, Tensor]]
    velocity: Callable[..., Tensor]
    check_images: Callable[[np.ndarray], np.ndarray]

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
        steps: int | None = 26,
        trace: str = "rademacher",
        probes: int = 1,
        batch_size: int = 100,
    ) -> np.ndarray:
        """Estimates of log p(image), or of log p(image | condition), (N,) in nats.

        Those of `likelihood`, which also says how wrong they may be; its arguments.
        """
        return self.likelihood(
            images,
            seed=seed,
            labels=labels,
            prompts=prompts,
            steps=steps,
            trace=trace,
            probes=probes,
            batch_size=batch_size,
        ).log_likelihood

    def likelihood(
        self,
        images: np.ndarray,
        *,
        seed: int = 0,
        labels: np.ndarray | None = None,
        prompts: Sequence[Any] | None = None,
        steps: int | None = 26,
        trace: str = "rademacher",
        probes: int = 1,
        batch_size: int = 100,
    ) -> FlowLikelihood:
        """Log-likelihoods of images by the probability flow, with their errors.

        Images are dequantised uniformly: the mean over jitter of log-densities is a
        lower bound on the discrete image's log-probability.

        Args:
            images: (N, H, W, C) in [0, 1].
            seed: of the jitter and the probes.
            labels: classes (N,), for models with classes; None for any.
            prompts: N texts or classes; None for any.
            steps: an even number of Runge-Kutta steps, or None for adaptive ones; see
                `zoo.likelihood.ProbabilityFlow`, as for the further arguments.
            trace: "exact", "rademacher" or "gaussian".
            probes: random vectors that estimate the trace, per image.
            batch_size: images computed at once.

        Raises:
            ValueError: images do not fit the model, an argument is out of range, or
                the solver does not converge.
        """
        images = self.check_images(images)
        given = self._told(len(images), labels, prompts)
        key = ("likelihood", steps, trace, probes, batch_size)
        kept = self.__dict__.setdefault("_carriers", {})
        path = self.noising.path
        # There is no noise to tell in data, so the way starts at the path's first time.
        start = float(path.first)
        if key not in kept:
            kept[key] = ProbabilityFlow(
                self.velocity,
                path,
                trace=trace,
                probes=probes,
                steps=steps,
                start=start,
                batch_size=batch_size,
                variables=self.variables,
            )
        rng = np.random.default_rng(seed)
        jitter = rng.random(images.shape, dtype="float32")
        data = np.asarray(engine().numpy(self.units.to_data(images, jitter)))
        x = data
        if start:
            alpha, sigma = (engine().numpy(f(start)) for f in (path.alpha, path.sigma))
            noise = rng.normal(size=images.shape).astype("float32")
            x = np.float32(alpha) * data + np.float32(sigma) * noise
        found: FlowLikelihood = kept[key].log_likelihood(x, given, seed=seed)
        nats = found.log_likelihood + self.units.log_volume(data)
        return dataclasses.replace(found, log_likelihood=nats)

    def _told(self, count: int, labels: Any, prompts: Any) -> np.ndarray:
        """Conditions for `count` images; where none are given, "anything"."""
        if self.condition is None or labels is not None or prompts is not None:
            return self.conditions(count, labels, prompts)
        shape = (count, *((self.config.text_length,) * bool(self.config.vocab_size)))
        return np.full(shape, self.condition.nothing, "int32")

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
        seeds = rng.integers(2**30, size=len(x), dtype="int32")
        rows = (x, conditions, seeds, *(held or ()))
        return carry(*rows, whole=(*padded(grid), np.float32(how.guidance)))

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
        """Solves along a grid; `rest` is known data, where, grid, steps, guidance."""
        *held, grid, count, guidance = rest
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

        return solve(solver, denoise, path, x, grid, seeds[0], count=count)

    @staticmethod
    def evaluations(steps: int, solver: str = SOLVER) -> int:
        """How often the network is evaluated per image, at most.

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

    def check(self, model: Draws) -> None:
        """Raises for what is out of range."""
        check_count("steps", self.steps)
        check_count("batch_size", self.batch_size)
        check_solver(self.solver, falls=not self.backwards)
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
