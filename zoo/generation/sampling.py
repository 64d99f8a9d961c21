"""Chooses the next token from a distribution over the vocabulary.

Shapes: B batch, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from zoo.engine.tensors import Tensor
from zoo.generation.arguments import real, whole

# The score of impossible tokens; disallowed ids get minus infinity, so that even
# impossible tokens are preferred to them.
NEVER = -1e30
# Limits on divisors in float32; temperatures and shares are clipped to them.
LEAST, MOST = float(np.finfo("float32").tiny), 1e20
PENALTIES = (1e-3, 1e3)


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token.

    Attributes:
        temperature: divides the logits; 0 takes the most probable token (greedy).
        top_k: choose only among the k most probable tokens; 0 or None for all (Fan et
            al. 2018).
        top_p: choose among the fewest tokens that together have this probability; 1 or
            None for all (nucleus sampling, Holtzman et al. 2020).
        repetition_penalty: above 1 makes tokens that have occurred less probable
            (Keskar et al. 2019, section 4.1).
        allowed: the only ids that may be chosen, such as `range(10, 20)`; None for
            all.

    Raises:
        ValueError: an option is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = 0
    top_p: float | None = 1.0
    repetition_penalty: float = 1.0
    allowed: range | None = None

    def __post_init__(self) -> None:
        """Checks the range of each option."""
        checked = {
            "temperature": real("temperature", self.temperature),
            "top_k": 0 if self.top_k is None else whole("top_k", self.top_k, 0),
            "top_p": 1.0 if self.top_p is None else real("top_p", self.top_p),
            "repetition_penalty": real("repetition_penalty", self.repetition_penalty),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.temperature < 0:
            raise ValueError(f"temperature must be 0 or more, got {self.temperature}.")
        if not 0 < checked["top_p"] <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}.")
        if not self.repetition_penalty > 0:
            raise ValueError(
                f"repetition_penalty must be above 0, got {self.repetition_penalty}."
            )
        if not PENALTIES[0] <= self.repetition_penalty <= PENALTIES[1]:
            raise ValueError(
                f"repetition_penalty must be from {PENALTIES[0]} to {PENALTIES[1]}, "
                f"beyond which scores overflow, got {self.repetition_penalty}."
            )
        if self.allowed is not None and not (
            isinstance(self.allowed, range)
            and self.allowed.step == 1
            and 0 <= self.allowed.start < self.allowed.stop
        ):
            raise ValueError(
                "allowed must be a range of ids without gaps, such as range(10, 20), "
                f"got {self.allowed!r}."
            )

    @property
    def steps(self) -> tuple:
        """The options that compiled code depends on; `knobs` are its arguments."""
        penalise = self.repetition_penalty != 1
        greedy, nucleus = self.temperature == 0, self.top_p != 1
        return (greedy, self.top_k, nucleus, penalise, self.allowed)

    @property
    def knobs(self) -> list[float]:
        """The values that may change without recompilation."""
        temperature = min(max(self.temperature, LEAST), MOST)
        return [temperature, max(self.top_p or 1.0, LEAST), self.repetition_penalty]


def choose(
    logits_BV: Tensor, steps: Any, knobs: Any, seen_BV: Tensor, noise_BV: Tensor
) -> Tensor:
    """The next token ids (B,).

    Args:
        logits_BV: the model's scores.
        steps: `Sampling.steps`.
        knobs: `Sampling.knobs` as an array.
        seen_BV: True for tokens that have occurred; used only for the penalty.
        noise_BV: returns uniform noise (B, V) in (0, 1); not called when greedy.
    """
    greedy, top_k, nucleus, penalise, allowed = steps
    temperature, top_p, penalty = knobs[0], knobs[1], knobs[2]
    if penalise:
        punished = ops.where(logits_BV > 0, logits_BV / penalty, logits_BV * penalty)
        logits_BV = ops.where(seen_BV, punished, logits_BV)
    if allowed is not None:
        logits_BV = ops.where(inside(allowed, logits_BV), logits_BV, -np.inf)
    if greedy:
        return ops.argmax(logits_BV, axis=-1)
    # Relative to the largest, so that a small temperature makes none infinite.
    logits_BV = logits_BV - ops.max(logits_BV, axis=-1, keepdims=True)
    logits_BV = logits_BV / temperature
    if top_k:
        logits_BV = keep_top_k(logits_BV, top_k)
    if nucleus:
        logits_BV = keep_top_p(logits_BV, top_p)
    # The argmax of logits plus Gumbel noise is distributed as their softmax.
    return ops.argmax(logits_BV - ops.log(-ops.log(noise_BV())), axis=-1)


def inside(allowed: range, logits_BV: Tensor) -> Tensor:
    """Whether each id is allowed, (V,)."""
    ids = ops.arange(logits_BV.shape[-1])
    return ops.logical_and(ids >= allowed.start, ids < allowed.stop)


def keep_top_k(logits_BV: Tensor, k: int) -> Tensor:
    """Makes all but the k largest logits impossible."""
    k = min(k, logits_BV.shape[-1])
    least = ops.top_k(logits_BV, k)[0][:, -1:]
    return ops.where(logits_BV < least, NEVER, logits_BV)


def keep_top_p(logits_BV: Tensor, p: Any) -> Tensor:
    """Keeps the fewest most probable tokens whose total probability reaches p."""
    descending = ops.flip(ops.sort(logits_BV, axis=-1), axis=-1)
    probabilities = ops.softmax(descending, axis=-1)
    before = ops.cumsum(probabilities, axis=-1) - probabilities
    # The token that crosses p is kept, so the most probable one always is.
    kept = ops.where(before < p, descending, -NEVER)
    least = ops.min(kept, axis=-1, keepdims=True)
    return ops.where(logits_BV < least, NEVER, logits_BV)
