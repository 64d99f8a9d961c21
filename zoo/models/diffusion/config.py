"""The configuration of a diffusion model, and its presets."""

from dataclasses import dataclass
from typing import Any

from zoo.configs.checks import (
    check_choice,
    check_count,
    check_fields,
    check_rate,
    check_whole,
)
from zoo.layers.noising import LOSS_WEIGHTS, PATHS, PREDICTIONS
from zoo.models.diffusion.dit import DiTConfig
from zoo.models.diffusion.noising import TIMES, Noising
from zoo.models.diffusion.unet import UNetConfig
from zoo.models.diffusion.units import SPACES

NETWORKS = ("unet", "dit")


@dataclass(frozen=True)
class DiffusionConfig:
    """Configuration of a diffusion model or flow.

    Attributes:
        image_shape: (height, width, channels).
        levels: grey levels of an image: 256 for 8 bits, 17 for sklearn's digits.
        space: units of the data: "linear", from -1 to 1, or "logit", which stretches
            black and white.
        dequantise: whether training spreads each grey level over its interval, as the
            likelihood needs; otherwise data are the middles of the levels.
        num_classes: classes that images are drawn of; 0 for none.
        vocab_size: tokens of texts that say what to draw; 0 for none.
        text_length: tokens of a text, L.
        text_layers: blocks of the transformer that reads texts.
        condition_drop: share of the examples that lose their condition in training,
            for classifier-free guidance.
        network: "unet" or "dit".
        patch_size: the DiT's tokens are squares of this side in pixels; for the U-Net,
            such squares become channels.
        width: channels of the U-Net's first feature map; width of the DiT.
        multipliers: channels of the U-Net at each size, as multiples of `width`.
        num_residual_blocks: residual blocks of the U-Net at each size.
        attention_sides: heights of the U-Net's feature maps that have attention, beside
            the smallest.
        groups: groups of the U-Net's norms.
        num_layers: blocks of the DiT.
        num_heads: attention heads.
        dropout: dropout rate in the network.
        condition_dim: dimensions of a class's or text's vector, D.
        path: noising path, see `zoo.layers.noising`.
        prediction: what the network predicts.
        loss_weight: how squared errors at different times weigh.
        times: how times are drawn in training, see `zoo.layers.noising.TimeLaw`; or
            "low_noise", more often near the data, on which the likelihood depends most.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    levels: int = 256
    space: str = "linear"
    dequantise: bool = True
    num_classes: int = 0
    vocab_size: int = 0
    text_length: int = 0
    text_layers: int = 2
    condition_drop: float = 0.1
    network: str = "unet"
    patch_size: int = 1
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2)
    num_residual_blocks: int = 2
    attention_sides: tuple[int, ...] = ()
    groups: int = 8
    num_layers: int = 6
    num_heads: int = 4
    dropout: float = 0.0
    condition_dim: int = 128
    path: str = "flow"
    prediction: str = "flow"
    loss_weight: str = "uniform"
    times: str = "uniform"

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        check_whole(self, "levels", least=2)
        check_whole(self, "num_classes", "vocab_size", "text_length", least=0)
        check_whole(self, "patch_size", "width", "num_heads", "condition_dim", "groups")
        check_whole(self, "num_residual_blocks", "num_layers")
        check_whole(self, "text_layers", least=0)
        check_rate(self, "condition_drop")
        check_rate(self, "dropout")
        for name, choices in (
            ("space", SPACES),
            ("network", NETWORKS),
            ("path", tuple(PATHS)),
            ("prediction", PREDICTIONS),
            ("loss_weight", LOSS_WEIGHTS),
            ("times", TIMES),
        ):
            check_choice(self, name, choices)
        if len(self.image_shape) != 3:
            raise ValueError(
                "image_shape must be (height, width, channels), got "
                f"{self.image_shape}."
            )
        for index, size in enumerate(self.image_shape):
            check_count(f"image_shape[{index}]", size)
        if any(side % self.patch_size for side in self.image_shape[:2]):
            raise ValueError(
                f"image_shape must have sides that are multiples of patch_size="
                f"{self.patch_size}, got {self.image_shape}."
            )
        if self.num_classes and self.vocab_size:
            raise ValueError(
                "A model draws classes or texts: num_classes or vocab_size must be 0, "
                f"got {self.num_classes} and {self.vocab_size}."
            )
        if bool(self.vocab_size) != bool(self.text_length):
            raise ValueError(
                "Texts need vocab_size and text_length, both or neither, got "
                f"{self.vocab_size} and {self.text_length}."
            )
        # Both refuse what does not fit.
        _ = self.network_config, self.noising.prediction

    @property
    def network_config(self) -> Any:
        """The configuration of the network."""
        height, width, channels = self.image_shape
        size = self.patch_size
        conditioned = self.num_classes or self.vocab_size
        condition_dim = self.condition_dim if conditioned else 0
        if self.network == "dit":
            return DiTConfig(
                image_shape=self.image_shape,
                patch=size,
                width=self.width,
                num_layers=self.num_layers,
                num_heads=self.num_heads,
                condition_dim=condition_dim,
            )
        return UNetConfig(
            image_shape=(height // size, width // size, channels * size * size),
            width=self.width,
            multipliers=self.multipliers,
            num_residual_blocks=self.num_residual_blocks,
            attention_sides=self.attention_sides,
            num_heads=self.num_heads,
            groups=self.groups,
            dropout=self.dropout,
            condition_dim=condition_dim,
        )

    @property
    def noising(self) -> Noising:
        """The arithmetic of noising."""
        return Noising(self.path, self.prediction, self.loss_weight, self.times)


PRESETS: dict[str, DiffusionConfig] = {
    "diffusion_8": DiffusionConfig(
        (8, 8, 1), levels=17, width=32, multipliers=(1, 2), num_residual_blocks=1
    ),
    "diffusion_28": DiffusionConfig(
        space="logit",
        num_classes=10,
        patch_size=2,
        width=48,
        multipliers=(1, 2),
        num_residual_blocks=1,
        times="low_noise",
    ),
    # Ho et al. 2020, appendix B: CIFAR-10, 35.7 million parameters.
    "ddpm_32": DiffusionConfig(
        (32, 32, 3),
        dequantise=False,
        width=128,
        multipliers=(1, 2, 2, 2),
        attention_sides=(16,),
        groups=32,
        num_heads=1,
        dropout=0.1,
        path="ddpm_linear",
        prediction="noise",
    ),
    # Peebles & Xie 2023, table 1: DiT-S/2, on small pictures instead of latents.
    "dit_small_32": DiffusionConfig(
        (32, 32, 3),
        num_classes=10,
        network="dit",
        patch_size=2,
        width=384,
        num_layers=12,
        num_heads=6,
        condition_dim=384,
    ),
    # Karras et al. 2022, with the U-Net of Ho et al.
    "edm_32": DiffusionConfig(
        (32, 32, 3),
        dequantise=False,
        width=128,
        multipliers=(1, 2, 2, 2),
        attention_sides=(16,),
        groups=32,
        dropout=0.1,
        path="edm",
        prediction="edm",
        times="log_normal",
    ),
}
