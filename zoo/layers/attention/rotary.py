"""Rotary positions (Su et al. 2021, RoPE), and their scaling to longer texts.

Each pair of a head's features is rotated by an angle proportional to the position, so
that scores between queries and keys depend only on the distance of their positions.

Shapes: B batch, T tokens, N heads, H head width, R rotated features of a head.
"""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops

from zoo.configs.checks import check_choice, check_fields, check_whole
from zoo.engine.tensors import Tensor

PAIRS = ("halves", "neighbours")
SCALINGS = ("none", "linear", "ntk", "yarn", "llama3")


@dataclass(frozen=True)
class Rotary:
    """How queries and keys are rotated.

    Attributes:
        theta: base of the frequencies, theta^(-2i/R) for pair i.
        share: share of a head's features that are rotated, the first ones (Black et
            al. 2022, GPT-NeoX: 0.25).
        pairs: "halves" pairs feature i with i + R/2 (GPT-NeoX, Hugging Face's LLaMA);
            "neighbours" pairs 2i with 2i + 1 (the paper, GPT-J, Meta's LLaMA).
        unrotated_every: every so many layers, one has no positions (SmolLM3: 4); 0 for
            none.
        scaling: how the frequencies are changed for texts longer than those trained on:
            "none"; "linear", all divided by `factor` (Chen et al. 2023); "ntk", theta
            raised so that the slowest are (bloc97 2023); "yarn", slow ones divided,
            fast ones kept (Peng et al. 2023); "llama3", the same with other limits
            (Grattafiori et al. 2024).
        factor: how many times longer the texts are.
        original_length: tokens of the texts trained on; needed by "yarn" and "llama3".
        slow: frequencies with fewer turns than this over `original_length` are divided
            by `factor`.
        fast: those with more turns are kept; between the two, they are interpolated.
            The papers have 1 and 32 for "yarn", 1 and 4 for "llama3".
        gain: what cosines and sines are multiplied with; 0 for the scaling's own, which
            is 0.1 ln(factor) + 1 for "yarn" and 1 for the others.
    """

    theta: float = 10000.0
    share: float = 1.0
    pairs: str = "halves"
    unrotated_every: int = 0
    scaling: str = "none"
    factor: float = 1.0
    original_length: int = 0
    slow: float = 1.0
    fast: float = 32.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_whole(self, "unrotated_every", "original_length", least=0)
        check_fields(self)
        check_choice(self, "pairs", PAIRS)
        check_choice(self, "scaling", SCALINGS)
        if not self.theta > 1:
            raise ValueError(f"theta must be more than 1, got {self.theta}.")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], got {self.share}.")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, got {self.factor}.")
        if self.gain < 0:
            raise ValueError(f"gain must be at least 0, got {self.gain}.")
        if not 0 < self.slow < self.fast:
            raise ValueError(
                "slow must be above 0 and less than fast, got "
                f"slow={self.slow}, fast={self.fast}."
            )
        if self.scaling == "none" and self.factor != 1:
            raise ValueError(
                f"factor={self.factor} needs a scaling, one of {SCALINGS[1:]}."
            )
        if self.scaling in ("yarn", "llama3") and not self.original_length:
            raise ValueError(
                f"scaling={self.scaling!r} needs original_length, the tokens of the "
                "texts that the model was trained on."
            )

    def rotates(self, layer: int) -> bool:
        """Whether the layer with this number, from 0, has positions."""
        return not self.unrotated_every or (layer + 1) % self.unrotated_every != 0

    def width(self, head_width: int) -> int:
        """The number of a head's features that are rotated, R.

        Raises:
            ValueError: it is not even.
        """
        width = int(head_width * self.share)
        if width % 2 or not width:
            raise ValueError(
                "Rotary positions rotate pairs: the rotated part of a head must have "
                f"an even width, got {width} of {head_width} (share={self.share})."
            )
        return width

    def frequencies(self, head_width: int) -> np.ndarray:
        """The angle per position of each pair, in radians, (R/2,) float64."""
        width, theta = self.width(head_width), self.theta
        if self.scaling == "ntk" and width > 2:
            theta *= self.factor ** (width / (width - 2))
        own = theta ** (-np.arange(0, width, 2) / width)
        if self.scaling in ("none", "ntk"):
            return own
        divided = own / self.factor
        if self.scaling == "linear":
            return divided
        kept = self._kept(own, width)
        return kept * own + (1 - kept) * divided

    def _kept(self, frequencies: np.ndarray, width: int) -> np.ndarray:
        """How far each frequency is kept, from 0 to 1."""
        if self.scaling == "llama3":
            turns = self.original_length * frequencies / (2 * math.pi)
            return np.clip((turns - self.slow) / (self.fast - self.slow), 0, 1)
        # YaRN interpolates by the number of the pair, between whole numbers.
        first, last = (
            width
            * math.log(self.original_length / (2 * math.pi * turns))
            / (2 * math.log(self.theta))
            for turns in (self.fast, self.slow)
        )
        first, last = max(math.floor(first), 0), min(math.ceil(last), width - 1)
        span = max(last - first, 0.001)
        return 1 - np.clip((np.arange(width // 2) - first) / span, 0, 1)

    def turns(self, positions: Tensor, head_width: int) -> "Turns":
        """The rotations of tokens at these positions.

        Args:
            positions: (T,) or (B, T).
            head_width: H.
        """
        frequencies = ops.convert_to_tensor(self.frequencies(head_width), "float32")
        angles = ops.cast(positions, "float32")[..., None, None] * frequencies
        gain = self.gain
        if not gain:
            gain = 0.1 * math.log(self.factor) + 1 if self.scaling == "yarn" else 1.0
        cos, sin = ops.cos(angles), ops.sin(angles)
        if gain != 1:
            cos, sin = gain * cos, gain * sin
        return Turns(cos, sin, self.pairs)


@dataclass(frozen=True)
class Turns:
    """The rotations of some tokens, which all layers share.

    An object of its own, not a tuple: Keras would cast arrays among a layer's arguments
    to the layer's precision, and 16 bits do not tell far positions apart.

    Attributes:
        cos: (..., T, 1, R/2) in float32.
        sin: the same.
        pairs: as `Rotary.pairs`.
    """

    cos: Tensor
    sin: Tensor
    pairs: str


def turned(x_BTNH: Tensor, turns: Turns) -> Tensor:
    """Rotates queries or keys (B, T, N, H), in float32."""
    cos, sin = turns.cos, turns.sin
    width = 2 * cos.shape[-1]
    x = ops.cast(x_BTNH, "float32")
    x, rest = x[..., :width], x_BTNH[..., width:]
    if turns.pairs == "halves":
        a, b = x[..., : width // 2], x[..., width // 2 :]
        x = ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)
    else:
        shape = ops.shape(x)
        x = ops.reshape(x, (*shape[:-1], width // 2, 2))
        a, b = x[..., 0], x[..., 1]
        x = ops.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)
        x = ops.reshape(x, shape)
    x = ops.cast(x, x_BTNH.dtype)
    return x if not rest.shape[-1] else ops.concatenate([x, rest], axis=-1)


def rotate(x_BTNH: Tensor, positions: Tensor, rotary: Rotary | None = None) -> Tensor:
    """Rotates queries or keys by their positions.

    Args:
        x_BTNH: queries or keys.
        positions: (T,) or (B, T).
        rotary: how; by default `Rotary()`.
    """
    rotary = rotary or Rotary()
    return turned(x_BTNH, rotary.turns(positions, x_BTNH.shape[-1]))
