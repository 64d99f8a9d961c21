"""At which times a network is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from zoo.configs.checks import check_choice, check_fields
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.noising.path import NoisingPath, times

TIME_LAWS = ("uniform", "log_normal", "logit_normal")


@dataclass(frozen=True)
class TimeLaw:
    """The distribution of times in training.

    `kind` is one of

    - "uniform": over the path's range; on a path of discrete steps, over the steps;
    - "log_normal": log(sigma / alpha) is normal (Karras et al. 2022, arXiv 2206.00364,
      table 1: mean -1.2, stddev 1.2);
    - "logit_normal": log(t / (1 - t)) is normal (Esser et al. 2024, arXiv 2403.03206,
      section 3.1: mean 0, stddev 1).

    Attributes:
        kind: the law.
        mean: of the normal.
        stddev: of the normal.

    Raises:
        ValueError: the kind is unknown, or stddev is not above 0.
    """

    kind: str = "uniform"
    mean: float = 0.0
    stddev: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice(self, "kind", TIME_LAWS)
        if not self.stddev > 0:
            raise ValueError(f"stddev must be above 0, got {self.stddev!r}.")

    def draw(self, path: NoisingPath, shape: Sequence[Any], seed: Any) -> Tensor:
        """Times of this shape, at which the path determines data and noise.

        Args:
            path: the noising path.
            shape: of the times.
            seed: a model's `SeedGenerator`.
        """
        if self.kind == "uniform":
            return self.of_uniform(path, engine().uniform(shape, seed))
        return self.of_normal(path, engine().normal(shape, seed))

    def of_uniform(self, path: NoisingPath, uniform: Tensor) -> Tensor:
        """The times of uniform noise in [0, 1], for "uniform"."""
        if path.num_steps is None:
            return path.first + (1.0 - path.first) * times(uniform)
        step = ops.floor(times(uniform) * path.num_steps)
        return (ops.minimum(step, path.num_steps - 1.0) + 1.0) / path.num_steps

    def of_normal(self, path: NoisingPath, normal: Tensor) -> Tensor:
        """The times of standard normal noise, for the other laws."""
        level = self.mean + self.stddev * times(normal)
        if self.kind == "log_normal":
            t = path.time(ops.exp(level))
        else:
            t = ops.sigmoid(level)
        t = ops.clip(t, path.first, 1.0)
        if path.num_steps is None:
            return t
        return (
            ops.clip(ops.round(t * path.num_steps), 1.0, path.num_steps)
            / path.num_steps
        )
