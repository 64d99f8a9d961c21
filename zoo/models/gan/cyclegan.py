"""CycleGAN: unpaired image-to-image translation (Zhu et al. 2017).

Two generators, G from A to B and F from B to A, each play against a discriminator and
are tied together by cycle consistency: F(G(a)) = a and G(F(b)) = b. Networks, losses
and their order in a step follow the authors' pytorch-CycleGAN-and-pix2pix.

Shapes: B images of each domain, (H, W) of an image, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import ops

from zoo import moved
from zoo.configs.checks import check_fields, check_whole
from zoo.engine.tensors import Tensor
from zoo.layers.convolution.history import ImageHistory
from zoo.layers.convolution.image_format import from_signed, to_signed
from zoo.models.autoencoders.autoencoder import check_image_shape, check_images, pixels
from zoo.models.gan.cyclegan_generator import CycleGANGenerator, served_translator
from zoo.models.gan.cyclegan_networks import (
    LAYOUT,
    SMALLEST,
    STRIDE,
    CycleGANGeneratorConfig,
    Upsampling,
    discriminator,
)
from zoo.presets.inference import Served
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase
from zoo.training.checks.ranges import Range

Direction = Literal["a_to_b", "b_to_a"]


@dataclass(frozen=True)
class CycleGANConfig:
    """Configuration of both generators, both discriminators and the objective.

    Attributes:
        image_size: (H, W) of training images, multiples of 4. Images of any size can be
            translated.
        channels: number of channels of domain A, and of domain B.
        width: see `CycleGANGeneratorConfig`; also channels of the discriminators' first
            layers.
        residual_blocks: see `CycleGANGeneratorConfig`.
        upsampling: see `CycleGANGeneratorConfig`.
        discriminator_layers: how often a discriminator halves the sides; with 3, it
            judges patches of 70 x 70 pixels (Isola et al. 2017, section 6.1.2).
        cycle_weight: coefficient of the cycle loss, `|F(G(a)) - a| + |G(F(b)) - b|`.
        identity_weight: coefficient of `|G(b) - b| + |F(a) - a|`, which preserves
            colours (section 5.2), relative to `cycle_weight`. It needs domains with the
            same number of channels.
        history: size of each discriminator's buffer of generated images; 0 for none.
    """

    image_size: tuple[int, int] = (256, 256)
    channels: tuple[int, int] = (3, 3)
    width: int = 64
    residual_blocks: int = 9
    upsampling: Upsampling = "transposed"
    discriminator_layers: int = 3
    cycle_weight: float = 10.0
    identity_weight: float = 0.5
    history: int = 50

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        if len(self.channels) != 2:
            raise ValueError(
                f"channels must be two numbers, of A and of B, got {self.channels!r}."
            )
        self.translator()
        check_whole(self, "discriminator_layers")
        # Two more 4 x 4 convolutions follow, each of which trims one row.
        least = max(3 * 2**self.discriminator_layers, SMALLEST)
        if len(self.image_size) != 2 or any(
            side % STRIDE or side < least for side in self.image_size
        ):
            raise ValueError(
                f"image_size must be two multiples of {STRIDE} from {least} up, for "
                f"discriminator_layers={self.discriminator_layers}, got "
                f"{self.image_size!r}."
            )
        for name in ("cycle_weight", "identity_weight"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} must be at least 0, got {getattr(self, name)!r}."
                )
        if self.identity_weight and self.channels[0] != self.channels[1]:
            raise ValueError(
                "identity_weight needs domains with the same number of channels, got "
                f"channels={self.channels}. Set identity_weight=0."
            )
        check_whole(self, "history", least=0)

    def translator(self, direction: Direction = "a_to_b") -> CycleGANGeneratorConfig:
        """The configuration of one generator."""
        a, b = self.channels
        return CycleGANGeneratorConfig(
            (a, b) if direction == "a_to_b" else (b, a),
            self.width,
            self.residual_blocks,
            self.upsampling,
        )


# Sections 7.2 and 4: ResNet-6 up to 128 x 128 pixels, ResNet-9 above.
PRESETS: dict[str, CycleGANConfig] = {
    "cyclegan_32": CycleGANConfig((32, 32), residual_blocks=6, discriminator_layers=2),
    "cyclegan_128": CycleGANConfig((128, 128), residual_blocks=6),
    "cyclegan_256": CycleGANConfig((256, 256), residual_blocks=9),
}


# === The model ===


@keras.saving.register_keras_serializable("zoo")
class CycleGAN(FromPreset, Model):
    """Translates images between two domains, learned without pairs.

    `fit` takes (images of A, images of B), each (B, H, W, C) in [0, 1], whose rows need
    not correspond; or a dict with `a`, `b` and the histories' draws
    (`ImageHistory.draw`): `place_a`, `shown_a`, `place_b`, `shown_b`.

    Under `generators/` it logs loss, a_to_b and b_to_a (adversarial), cycle_a, cycle_b
    and identity (mean absolute differences in [-1, 1]); under `discriminators/` loss
    and the mean scores real_a, fake_a, real_b, fake_b, where 1 means "real" and 0
    "generated".
    """

    Config = CycleGANConfig
    class_targets = False
    weightless = (
        "its two domains have no pairs to weigh. Repeat images that should count more."
    )
    layout = LAYOUT
    divided = ("width",)

    def __init__(self, config: CycleGANConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = self.dtype_policy
        self.a_to_b, self.b_to_a = (
            CycleGANGenerator(config.translator(direction), name=direction, dtype=dtype)
            for direction in get_args(Direction)
        )
        self.discriminator_a, self.discriminator_b = (
            discriminator(
                (*config.image_size, channels),
                config.width,
                config.discriminator_layers,
                f"discriminator_{name}",
                dtype,
            )
            for name, channels in zip("ab", config.channels, strict=True)
        )
        if config.history:
            self.seed = keras.random.SeedGenerator(name="history")
            self.histories = {
                name: ImageHistory(
                    config.history,
                    (*config.image_size, channels),
                    name=f"history_{name}",
                )
                for name, channels in zip("ab", config.channels, strict=True)
            }
            for history in self.histories.values():
                history.build()
        self.built = True

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Translates images (B, H, W, C) in [0, 1] from A to B."""
        return from_signed(self.a_to_b(to_signed(images), training=training))

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """The generators' phase, then the discriminators', as in the authors' code."""
        return (
            Phase(
                "generators",
                self.generator_loss,
                [self.a_to_b, self.b_to_a],
                through_shared=True,
            ),
            Phase(
                "discriminators",
                self.discriminator_loss,
                [self.discriminator_a, self.discriminator_b],
            ),
        )

    def prepare(self, batch: Any) -> Any:
        """A batch as a dict of images in [-1, 1] and the histories' draws."""
        given = _named(batch)
        prepared = {**given, "a": to_signed(given["a"]), "b": to_signed(given["b"])}
        for name, history in self._histories():
            if f"place_{name}" not in given:
                drawn = history.draw(ops.shape(given["a"])[0], self.seed)
                prepared |= {f"{key}_{name}": value for key, value in drawn.items()}
        return prepared

    def shared(self, batch: Any, training: bool = False) -> dict[str, Any]:
        """The translations F(b) and G(a), as `fake_a` and `fake_b`."""
        return {
            "fake_a": self.b_to_a(batch["b"], training=training),
            "fake_b": self.a_to_b(batch["a"], training=training),
        }

    def generator_loss(self, batch: Any, training: bool) -> dict[str, Any]:
        """The adversarial, cycle and identity losses."""
        g, f = self.a_to_b, self.b_to_a
        terms = {
            "a_to_b": _distance_to(1.0, self.discriminator_b(batch["fake_b"])),
            "b_to_a": _distance_to(1.0, self.discriminator_a(batch["fake_a"])),
            "cycle_a": _difference(f(batch["fake_b"], training=training), batch["a"]),
            "cycle_b": _difference(g(batch["fake_a"], training=training), batch["b"]),
        }
        weight = self.config.cycle_weight
        loss = terms["a_to_b"] + terms["b_to_a"]
        loss = loss + weight * (terms["cycle_a"] + terms["cycle_b"])
        if self.config.identity_weight:
            terms["identity"] = _difference(
                g(batch["b"], training=training), batch["b"]
            ) + _difference(f(batch["a"], training=training), batch["a"])
            loss = loss + weight * self.config.identity_weight * terms["identity"]
        return {"loss": loss, **terms}

    def discriminator_loss(self, batch: Any, training: bool) -> dict[str, Any]:
        """To tell real images from generated ones, current or from the history."""
        terms = {}
        losses = []
        networks = {"a": self.discriminator_a, "b": self.discriminator_b}
        histories = dict(self._histories()) if training else {}
        for name, network in networks.items():
            fake = batch[f"fake_{name}"]
            if name in histories:
                place, shown = batch[f"place_{name}"], batch[f"shown_{name}"]
                fake = histories[name](fake, place=place, shown=shown)
            real_scores, fake_scores = network(batch[name]), network(fake)
            losses += [_distance_to(1.0, real_scores), _distance_to(0.0, fake_scores)]
            terms[f"real_{name}"] = ops.mean(real_scores)
            terms[f"fake_{name}"] = ops.mean(fake_scores)
        # Halved, since a generator learns from one such term and a discriminator from
        # two.
        return {"loss": 0.5 * sum(losses), **terms}

    def _histories(self) -> Any:
        return self.histories.items() if self.config.history else ()

    def form(self, batch: Any) -> None:
        """Raises unless a batch is two arrays of images of the configured shapes."""
        if not (
            isinstance(batch, dict) or (isinstance(batch, tuple) and len(batch) == 2)
        ):
            raise ValueError(
                "A CycleGAN is trained with (images of A, images of B): fit(a, b), or "
                "an iterator of such pairs."
            )
        for name, channels in zip("ab", self.config.channels, strict=True):
            shape = (*self.config.image_size, channels)
            check_image_shape(_named(batch)[name], shape)

    def ranges(self, batch: Any) -> list[Any]:
        """The ranges of pixels and, where given, of the histories' draws."""
        given, last = _named(batch), self.config.history - 1
        places = [f"{key}_{name}" for key in ("place", "shown") for name in "ab"]
        return [
            *(pixels(given[name]) for name in "ab"),
            *(Range(name, given[name], -1, last) for name in places if name in given),
        ]

    def check_inputs(self, inputs: Any) -> None:
        """Raises for anything but images of A."""
        check_images(inputs, (*np.shape(inputs)[1:3], self.config.channels[0]))

    # === Translation ===

    def translate(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        direction: Direction = "a_to_b",
        *,
        tile: int | None = None,
        overlap: int = 64,
    ) -> Any:
        """Images of one domain as they would look in the other.

        Args:
            images: in [0, 1], of shape (N, H, W, C); or a sequence of (H, W, C), each
                of its own size.
            direction: "a_to_b" or "b_to_a".
            tile: see `CycleGANGenerator.translate`.
            overlap: see `CycleGANGenerator.translate`.
        """
        if direction not in get_args(Direction):
            raise ValueError(
                f"direction must be one of {get_args(Direction)}, got {direction!r}."
            )
        generator: CycleGANGenerator = getattr(self, direction)
        return generator.translate(images, tile=tile, overlap=overlap)


def _named(batch: Any) -> dict:
    """A batch, which may be a pair, as a dict."""
    return batch if isinstance(batch, dict) else dict(zip("ab", batch, strict=True))


def _distance_to(target: float, scores: Tensor) -> Tensor:
    """The least-squares GAN loss (Mao et al. 2017)."""
    return ops.mean(ops.square(scores - target))


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """The mean absolute difference."""
    return ops.mean(ops.abs(x - y))


def served_direction(model: Any, direction: Direction = "a_to_b") -> Served:
    """Exports one direction of a CycleGAN."""
    return served_translator(getattr(model, direction))


register(CycleGAN, presets=PRESETS, measured="translations", served=served_direction)


def __getattr__(name: str) -> object:
    return moved.renamed(name)
