"""Learning-rate schedules; they advance once per update, also with micro-batches."""

import math
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule


def _check_steps(warmup_steps: int, total_steps: int) -> None:
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            "A schedule must have 0 <= warmup_steps < total_steps, got "
            f"warmup_steps={warmup_steps}, total_steps={total_steps}."
        )


@keras.saving.register_keras_serializable("zoo")
class WarmupCosine(LearningRateSchedule):
    """Linear warm-up to `peak`, then half a cosine down to `final`.

    The schedule of GPT-3 (Brown et al. 2020, appendix B). Update `i` (from 0) of the
    warm-up uses `peak * (i + 1) / (warmup_steps + 1)`, as nanoGPT does, so that the
    first update has a non-zero rate. After `total_steps` the rate stays at `final`.

    Args:
        peak: the highest rate.
        total_steps: updates until the rate is `final`, including the warm-up.
        warmup_steps: updates of the warm-up.
        final: the last rate.
    """

    def __init__(
        self, peak: float, total_steps: int, warmup_steps: int = 0, final: float = 0.0
    ) -> None:
        _check_steps(warmup_steps, total_steps)
        self.peak, self.final = peak, final
        self.total_steps, self.warmup_steps = total_steps, warmup_steps

    def __call__(self, step: Any) -> Any:
        """The rate for update `step`, counted from 0."""
        step = ops.cast(step, "float32")
        warm = self.peak * (step + 1) / (self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        cosine = 0.5 * (1 + ops.cos(math.pi * ops.clip(progress, 0.0, 1.0)))
        decayed = self.final + (self.peak - self.final) * cosine
        return ops.where(step < self.warmup_steps, warm, decayed)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "final": self.final,
        }


@keras.saving.register_keras_serializable("zoo")
class WarmupInverseSqrt(LearningRateSchedule):
    """Linear warm-up to `peak`, then decay with the inverse square root of the updates.

    The schedule of Vaswani et al. 2017, section 5.3: update `i`, from 1, has the rate
    `peak * min(i / warmup_steps, sqrt(warmup_steps / i))`. The paper's peak is
    `width**-0.5 * warmup_steps**-0.5`, given by `of_width`.

    Args:
        peak: the highest rate.
        warmup_steps: updates of the warm-up.
    """

    def __init__(self, peak: float, warmup_steps: int) -> None:
        if not (isinstance(warmup_steps, int) and warmup_steps >= 1):
            raise ValueError(
                f"warmup_steps must be a whole number from 1, got {warmup_steps!r}."
            )
        self.peak, self.warmup_steps = peak, warmup_steps

    @classmethod
    def of_width(cls, width: int, warmup_steps: int = 4000) -> "WarmupInverseSqrt":
        """The schedule of equation 3 of the paper, for a model of width `width`."""
        return cls((width * warmup_steps) ** -0.5, warmup_steps)

    def __call__(self, step: Any) -> Any:
        """The rate for update `step`, counted from 0."""
        progress = (ops.cast(step, "float32") + 1) / self.warmup_steps
        return self.peak * ops.minimum(progress, ops.rsqrt(progress))

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


@keras.saving.register_keras_serializable("zoo")
class ConstantThenLinear(LearningRateSchedule):
    """`peak` for `constant_steps` updates, then linearly to zero at `total_steps`.

    If `constant_steps` is half of `total_steps`, this is the schedule of CycleGAN (Zhu
    et al. 2017, section 4); with a warm-up and no constant part, that of BERT.

    Args:
        peak: the highest rate.
        total_steps: updates until the rate is 0, including warm-up and constant part.
        constant_steps: updates at `peak`.
        warmup_steps: updates of a linear warm-up.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        constant_steps: int = 0,
        warmup_steps: int = 0,
    ) -> None:
        _check_steps(warmup_steps, total_steps)
        if warmup_steps + constant_steps > total_steps:
            raise ValueError(
                "warmup_steps + constant_steps must be at most total_steps, got "
                f"warmup_steps={warmup_steps}, "
                f"constant_steps={constant_steps}, total_steps={total_steps}."
            )
        self.peak, self.total_steps = peak, total_steps
        self.constant_steps, self.warmup_steps = constant_steps, warmup_steps

    def __call__(self, step: Any) -> Any:
        """The rate for update `step`, counted from 0."""
        step = ops.cast(step, "float32")
        warm = (step + 1) / (self.warmup_steps + 1)
        decay_steps = self.total_steps - self.constant_steps - self.warmup_steps
        left = (self.total_steps - step) / max(decay_steps, 1)
        return self.peak * ops.minimum(warm, ops.clip(left, 0.0, 1.0))

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "constant_steps": self.constant_steps,
            "warmup_steps": self.warmup_steps,
        }


@keras.saving.register_keras_serializable("zoo")
class Scaled(LearningRateSchedule):
    """A schedule times a variable, by which callbacks scale a rate they can't set."""

    def __init__(self, schedule: LearningRateSchedule, scale: float = 1.0) -> None:
        self.schedule = schedule
        self.scale = keras.Variable(
            scale, dtype="float32", trainable=False, name="learning_rate_scale"
        )

    def __call__(self, step: Any) -> Any:
        """The wrapped schedule's rate for update `step`, scaled."""
        return self.schedule(step) * ops.convert_to_tensor(self.scale)

    def get_config(self) -> dict:
        """The wrapped schedule and the current scale."""
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "scale": float(ops.convert_to_numpy(self.scale))}

    @classmethod
    def from_config(cls, config: dict) -> "Scaled":
        """Rebuilds the schedule and the schedule that it wraps."""
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["scale"])
