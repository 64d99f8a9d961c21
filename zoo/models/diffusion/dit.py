"""DiT: a transformer on patches that estimates noise (Peebles & Xie 2023).

Reference implementation: facebookresearch/DiT. There, labels are embedded at the full
width and added to the embedding of the time; here a condition of any width is projected
first.

Shapes: B images, (H, W, C) of an image, P side of a patch, T patches, W width of a
token, D condition dimensions.
"""

from dataclasses import dataclass
from typing import Any, get_args

import keras
from keras import ops

from zoo.configs.checks import check_choice, check_count, check_fields, check_whole
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.attention.multi_head import check_heads
from zoo.layers.denoising.adaptive import AdaptiveBlock, AdaptiveNorm
from zoo.layers.denoising.patches import from_patches, grid_positions, to_patches
from zoo.layers.denoising.times import TimeEmbedding, TimeFeatures, conditioned
from zoo.layers.dense import Dense
from zoo.layers.initializers import Normal
from zoo.layers.layer import Layer

LAYOUT = (
    (r"(query_key_value|feed_forward/expand)/kernel$", (None, "model")),
    (r"(query_key_value|feed_forward/expand)/bias$", ("model",)),
    (r"(output|feed_forward/contract)/kernel$", ("model", None)),
    (r"(expand|patches|condition|modulation)/kernel$", (None, "model"), GATHERED),
    (r"(contract|last)/kernel$", ("model", None), GATHERED),
)
# Of the sines and cosines of a time, and of their products' initial weights.
TIME_WIDTH, TIME_STDDEV = 256, 0.02


@dataclass(frozen=True)
class DiTConfig:
    """Configuration of a diffusion transformer; sizes as in the paper's table 1.

    Attributes:
        image_shape: (height, width, channels); the sides are multiples of `patch`.
        out_channels: channels of the output; None for the image's.
        patch: side of a patch.
        width: width of a token, a multiple of 4.
        num_layers: number of blocks.
        num_heads: attention heads.
        hidden_ratio: width of the feed-forward layers as a multiple of `width`.
        condition_dim: D; 0 for none.
        time_features: "sinusoidal" or "fourier".
        time_scale: factor of the times, or standard deviation of the Fourier
            frequencies; see `zoo.layers.TimeEmbedding`.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    out_channels: int | None = None
    patch: int = 2
    width: int = 384
    num_layers: int = 12
    num_heads: int = 6
    hidden_ratio: int = 4
    condition_dim: int = 0
    time_features: str = "sinusoidal"
    time_scale: float = 1000.0

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        check_whole(self, "patch", "width", "num_layers", "num_heads", "hidden_ratio")
        check_whole(self, "condition_dim", least=0)
        check_choice(self, "time_features", get_args(TimeFeatures))
        if len(self.image_shape) != 3 or min(self.image_shape) < 1:
            raise ValueError(
                "image_shape must be (height, width, channels), whole numbers from 1, "
                f"got {self.image_shape!r}."
            )
        if self.out_channels is not None:
            check_count("out_channels", self.out_channels)
        if any(side % self.patch for side in self.image_shape[:2]):
            raise ValueError(
                f"patch must divide an image's sides, got patch={self.patch} and "
                f"image_shape={self.image_shape}. Choose another patch, or pad the "
                "images."
            )
        check_heads(self.width, self.num_heads)
        if self.width % 4:
            raise ValueError(
                "Places on a grid have sines and cosines of two coordinates: width "
                f"must be a multiple of 4, got {self.width}."
            )

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, channels) of an output."""
        height, width, channels = self.image_shape
        return height, width, self.out_channels or channels

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image_shape[0] // self.patch, self.image_shape[1] // self.patch


@keras.saving.register_keras_serializable("zoo")
class DiT(Layer):
    """Maps noisy images and their times to what they are trained to predict.

    Blocks start as the identity and the output at zero.
    """

    layout = LAYOUT
    divided = ("num_heads",)

    def __init__(self, config: DiTConfig, **kwargs: Any) -> None:
        # Times must not be cast to 16 bits on their way in; each part casts images.
        super().__init__(**{**kwargs, "autocast": False})
        self.config = config
        dtype = {"dtype": self.dtype_policy}
        width = config.width
        self.times = TimeEmbedding(
            TIME_WIDTH,
            width,
            config.time_features,
            config.time_scale,
            initializer=Normal(TIME_STDDEV),
            name="times",
        )
        self.condition: Dense | None = None
        if config.condition_dim:
            # Without a bias, so that zeros are no condition.
            self.condition = Dense(
                width, use_bias=False, name="condition", dtype="float32"
            )
        self.patches = Dense(width, name="patches", **dtype)
        self.blocks = [
            AdaptiveBlock(
                config.num_heads,
                width,
                config.hidden_ratio * width,
                name=f"block_{index}",
                **dtype,
            )
            for index in range(config.num_layers)
        ]
        self.last_norm = AdaptiveNorm(width, name="last_norm", **dtype)
        # In float32 at any precision.
        self.last = Dense(
            config.patch**2 * config.output_shape[-1],
            kernel_initializer="zeros",
            name="last",
            dtype="float32",
        )
        self.places = grid_positions(*config.grid, width)

    def build(self, input_shape: Shape | None = None, *_: Any) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        config = self.config
        tokens, embedding = (None, None, config.width), (None, config.width)
        self.times.build((None,))
        if self.condition is not None:
            self.condition.build((None, config.condition_dim))
        self.patches.build((None, None, config.patch**2 * config.image_shape[-1]))
        for block in self.blocks:
            block.build(tokens, embedding)
        self.last_norm.build(tokens, embedding)
        self.last.build(tokens)

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
            training: makes no difference.

        Raises:
            ValueError: there is a condition, but no `condition_dim`.
        """
        del training
        config = self.config
        embedding = ops.silu(conditioned(self.times(times), self.condition, condition))
        tokens = self.patches(to_patches(x, config.patch))
        places = ops.convert_to_tensor(self.places)
        tokens = tokens + ops.cast(places, tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens, embedding)
        y = self.last(self.last_norm(tokens, embedding))
        return from_patches(y, config.patch, config.output_shape)

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Shape:
        """The shape (B, H, W, C_out)."""
        return (*input_shape[:-1], self.config.output_shape[-1])
