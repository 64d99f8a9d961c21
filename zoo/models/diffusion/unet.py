"""A U-Net that estimates the noise in images (Ho et al. 2020, appendix B).

With scale and shift by the time, and several heads, as in Dhariwal & Nichol 2021.
Channels are last on every backend: torch's convolutions, too, are faster on images that
lie in memory that way.

Shapes: B images, (H, W, C) of an image, D condition dimensions, E embedding width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import keras
from keras import ops

from zoo.configs.checks import (
    check_choice,
    check_count,
    check_fields,
    check_rate,
    check_whole,
)
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.convolution.convolution import Convolution
from zoo.layers.convolution.resampling import Downsampling, Upsampling
from zoo.layers.denoising.timed_residual import ImageAttention, TimedResidualBlock
from zoo.layers.denoising.times import TimeEmbedding, TimeFeatures, conditioned
from zoo.layers.dense import Dense
from zoo.layers.layer import Layer
from zoo.layers.norm import GroupNorm

# Convolutions can't be computed in shards.
LAYOUT = (
    (r"last/kernel$", (None, None, "model", None), GATHERED),
    (
        r"(convolution|image|first|second)/kernel$",
        (None, None, None, "model"),
        GATHERED,
    ),
    (
        r"(expand|query_key_value|embedding|condition|shortcut)/kernel$",
        (None, "model"),
        GATHERED,
    ),
    (r"(contract|output)/kernel$", ("model", None), GATHERED),
)
# The embedding is this many times as wide as the first feature map.
EMBEDDING = 4


@dataclass(frozen=True)
class UNetConfig:
    """Configuration of a U-Net.

    Attributes:
        image_shape: (height, width, channels); the sides are multiples of two to the
            number of halvings, one fewer than `multipliers`.
        out_channels: channels of the output; None for the image's.
        width: channels of the first feature map.
        multipliers: channels at each size as multiples of `width`, from the largest
            size to the smallest.
        num_residual_blocks: residual blocks at each size on the way down; on the way up
            there is one more.
        attention_sides: heights of the feature maps that have attention after each
            residual block. The middle of the network always has it.
        num_heads: attention heads.
        groups: groups of the norms.
        scale_shift: whether times scale and shift features, or are added to them.
        dropout: dropout rate within the residual blocks.
        condition_dim: D; 0 for none.
        time_features: "sinusoidal" or "fourier".
        time_scale: factor of the times, or standard deviation of the Fourier
            frequencies; see `zoo.layers.denoising.times.TimeEmbedding`.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    out_channels: int | None = None
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2)
    num_residual_blocks: int = 2
    attention_sides: tuple[int, ...] = (7,)
    num_heads: int = 4
    groups: int = 32
    scale_shift: bool = True
    dropout: float = 0.0
    condition_dim: int = 0
    time_features: str = "sinusoidal"
    time_scale: float = 1000.0

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        check_whole(self, "width", "num_residual_blocks", "num_heads", "groups")
        check_whole(self, "condition_dim", least=0)
        check_rate(self, "dropout")
        check_choice(self, "time_features", get_args(TimeFeatures))
        if len(self.image_shape) != 3 or min(self.image_shape) < 1:
            raise ValueError(
                "image_shape must be (height, width, channels), whole numbers from 1, "
                f"got {self.image_shape!r}."
            )
        if self.out_channels is not None:
            check_count("out_channels", self.out_channels)
        if not self.multipliers or min(self.multipliers) < 1:
            raise ValueError(
                "multipliers must hold whole numbers from 1, one per size of feature "
                f"maps, got {self.multipliers!r}."
            )
        step = 2 ** (len(self.multipliers) - 1)
        if any(side % step for side in self.image_shape[:2]):
            raise ValueError(
                f"{len(self.multipliers)} multipliers halve an image "
                f"{len(self.multipliers) - 1} times, so its sides must be multiples of "
                f"{step}, got image_shape={self.image_shape}. Give fewer multipliers, "
                "or pad the images."
            )
        if self.width % 2:
            raise ValueError(f"width must be even, got {self.width}.")
        missing = set(self.attention_sides) - set(self.sides)
        if missing:
            raise ValueError(
                f"attention_sides must be among the heights of the feature maps, "
                f"{self.sides}, got {self.attention_sides}."
            )
        for channels in self.widths:
            for name in ("groups", "num_heads"):
                if channels % getattr(self, name):
                    raise ValueError(
                        f"{name} must divide the channels at every size, "
                        f"{self.widths}, got {getattr(self, name)}."
                    )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the feature maps, from the largest size to the smallest."""
        return tuple(self.width * times for times in self.multipliers)

    @property
    def sides(self) -> tuple[int, ...]:
        """Heights of the feature maps, from the largest to the smallest."""
        return tuple(self.image_shape[0] >> i for i in range(len(self.multipliers)))

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, channels) of an output."""
        height, width, channels = self.image_shape
        return height, width, self.out_channels or channels


@keras.saving.register_keras_serializable("zoo")
class UNet(Layer):
    """Maps noisy images and their times to what they are trained to predict.

    Feature maps of each size on the way down are concatenated to those of the same size
    on the way up. The last convolution starts at zero, and so does the output.
    """

    layout = LAYOUT
    divided = ("width",)

    def __init__(self, config: UNetConfig, **kwargs: Any) -> None:
        # Times must not be cast to 16 bits on their way in; each part casts images.
        super().__init__(**{**kwargs, "autocast": False})
        self.config = config
        dtype = {"dtype": self.dtype_policy}
        units = EMBEDDING * config.width
        self.times = TimeEmbedding(
            config.width,
            units,
            config.time_features,
            config.time_scale,
            name="times",
        )
        self.condition: Dense | None = None
        if config.condition_dim:
            # Without a bias, so that zeros are no condition.
            self.condition = Dense(
                units, use_bias=False, name="condition", dtype="float32"
            )
        self.image = Convolution(config.width, 3, padding="same", name="image", **dtype)
        self.down = self._down()
        deepest = config.widths[-1]
        self.middle = [
            self._residual(deepest, "middle_0"),
            self._attention(deepest, "middle_attention"),
            self._residual(deepest, "middle_1"),
        ]
        self.up = self._up()
        self.last_norm = GroupNorm(config.groups, name="last_norm", **dtype)
        # In float32 at any precision.
        self.last = Convolution(
            config.output_shape[-1],
            3,
            padding="same",
            kernel_initializer="zeros",
            name="last",
            dtype="float32",
        )

    def _down(self) -> list[Layer]:
        """The way down, from the largest size to the smallest."""
        config, found = self.config, []
        for level, channels in enumerate(config.widths):
            for index in range(config.num_residual_blocks):
                found += self._stage(level, f"down_{level}_{index}")
            if level < len(config.widths) - 1:
                name = f"halve_{level}"
                found.append(Downsampling(channels, name=name, dtype=self.dtype_policy))
        return found

    def _up(self) -> list[Layer]:
        """The way up, from the smallest size to the largest."""
        config, found = self.config, []
        for level, channels in reversed(list(enumerate(config.widths))):
            for index in range(config.num_residual_blocks + 1):
                found += self._stage(level, f"up_{level}_{index}")
            if level:
                name = f"double_{level}"
                found.append(Upsampling(channels, name=name, dtype=self.dtype_policy))
        return found

    def _stage(self, level: int, name: str) -> list[Layer]:
        """A residual block and, at some sizes, attention."""
        channels = self.config.widths[level]
        found = [self._residual(channels, name)]
        if self.config.sides[level] in self.config.attention_sides:
            found.append(self._attention(channels, f"{name}_attention"))
        return found

    def _residual(self, channels: int, name: str) -> Layer:
        return TimedResidualBlock(
            channels,
            groups=self.config.groups,
            scale_shift=self.config.scale_shift,
            dropout=self.config.dropout,
            name=name,
            dtype=self.dtype_policy,
        )

    def _attention(self, channels: int, name: str) -> Layer:
        return ImageAttention(
            self.config.num_heads,
            channels,
            groups=self.config.groups,
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Shape | None = None, *_: Any) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        config = self.config
        self.times.build((None,))
        if self.condition is not None:
            self.condition.build((None, config.condition_dim))
        self.image.build((None, *config.image_shape))

        def run(part: Any, channels: int) -> int:
            embedding = ((None, EMBEDDING * config.width),)
            timed = isinstance(part, TimedResidualBlock)
            part.build((None, None, None, channels), *(embedding if timed else ()))
            return part.channels

        channels = self._walk(config.width, run, lambda one, other: one + other)
        self.last_norm.build((None, None, None, channels))
        self.last.build((None, None, None, channels))

    def call(
        self,
        x: Tensor,
        times: Tensor,
        condition: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        """Estimates (B, H, W, C_out), float32.

        Args:
            x: noisy images (B, H, W, C).
            times: (B,), float32.
            condition: (B, D); None or zeros for no condition.
            training: whether to apply dropout.

        Raises:
            ValueError: there is a condition, but no `condition_dim`.
        """
        embedding = ops.silu(conditioned(self.times(times), self.condition, condition))

        def run(part: Any, x: Tensor) -> Tensor:
            if isinstance(part, TimedResidualBlock):
                return part(x, embedding, training=training)
            return part(x)

        def join(one: Tensor, other: Tensor) -> Tensor:
            return ops.concatenate([one, other], axis=-1)

        x = self._walk(self.image(x), run, join)
        return self.last(ops.silu(self.last_norm(x)))

    def _walk(self, x: Any, run: Callable, join: Callable) -> Any:
        """Goes down and up: what enters a part on the way down is kept for the way up.

        Args:
            x: feature maps, or their number of channels.
            run: applies a part to them.
            join: puts kept ones beside others.
        """
        kept = []
        for part in self.down:
            if not isinstance(part, ImageAttention):
                kept.append(x)
            x = run(part, x)
        kept.append(x)
        for part in self.middle:
            x = run(part, x)
        for part in self.up:
            if isinstance(part, TimedResidualBlock):
                x = join(x, kept.pop())
            x = run(part, x)
        return x

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Shape:
        """The shape (B, H, W, C_out)."""
        return (*input_shape[:-1], self.config.output_shape[-1])
