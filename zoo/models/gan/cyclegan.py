"""CycleGAN: unpaired image-to-image translation (Zhu et al. 2017).

Two generators, G from A to B and F from B to A, each play against a discriminator and
are tied together by cycle consistency: F(G(a)) = a and G(F(b)) = b. Networks, losses
and their order in a step follow the authors' pytorch-CycleGAN-and-pix2pix.

Shapes: B images of each domain, (H, W) of an image, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import layers, ops

from zoo import moved
from zoo.configs.checks import (
    check_choice,
    check_count,
    check_fields,
    check_whole,
)
from zoo.engine.current import engine
from zoo.engine.layout import GATHERED
from zoo.generation.tiles import by_tiles
from zoo.layers.convolution.history import ImageHistory
from zoo.layers.convolution.image_format import from_signed, in_native_format, to_signed
from zoo.layers.convolution.padding import ReflectionPadding
from zoo.layers.initializers import Normal
from zoo.layers.layer import Layer
from zoo.layers.norm import InstanceNorm
from zoo.models.autoencoders.autoencoder import check_image_shape, check_images, pixels
from zoo.presets.inference import BATCH, Array, Served, Side
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase
from zoo.training.batched import Batched
from zoo.training.checks.ranges import Range

Direction = Literal["a_to_b", "b_to_a"]
Upsampling = Literal["transposed", "resize"]
STDDEV = 0.02  # of initial weights
LEAK = 0.2
STRIDE = 4  # a generator halves sides twice and doubles them again
SMALLEST = 16  # side of an image; a quarter of it is padded by reflection

# Convolutions can't be computed in shards. Those that give images or scores have few
# outputs.
LAYOUT = (
    (r"(last|score)/kernel$", (None, None, "model", None), GATHERED),
    (r"kernel$", (None, None, None, "model"), GATHERED),
)


@dataclass(frozen=True)
class CycleGANGeneratorConfig:
    """Configuration of a generator, whose output has its input's size.

    Attributes:
        channels: number of channels of the input, and of the output.
        width: channels of the first layer; the next two have 2 and 4 times as many.
        residual_blocks: residual blocks at a quarter of the resolution. The paper uses
            6 for 128 x 128 pixels and 9 for 256 x 256.
        upsampling: "transposed" convolutions, as in the paper, or "resize" before
            convolutions, which avoids checkerboard artifacts (Odena et al. 2016).
    """

    channels: tuple[int, int] = (3, 3)
    width: int = 64
    residual_blocks: int = 9
    upsampling: Upsampling = "transposed"

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        if len(self.channels) != 2:
            raise ValueError(
                f"channels must be two numbers, of the input and of the output, got "
                f"{self.channels!r}"
            )
        for count in self.channels:
            check_count("channels", count)
        check_whole(self, "width", "residual_blocks")
        check_choice(self, "upsampling", get_args(Upsampling))


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
        cycle_weight: coefficient of the cycle loss, |F(G(a)) - a| + |G(F(b)) - b|.
        identity_weight: coefficient of |G(b) - b| + |F(a) - a|, which preserves colours
            (section 5.2), relative to `cycle_weight`. It needs domains with the same
            number of channels.
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
                f"channels must be two numbers, of A and of B, got {self.channels!r}"
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
                f"{self.image_size!r}"
            )
        for name in ("cycle_weight", "identity_weight"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} must be at least 0, got {getattr(self, name)!r}"
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


# === Networks ===


@keras.saving.register_keras_serializable("zoo", "CycleGANResidual")
class Residual(Layer):
    """A residual block: two 3 x 3 convolutions with instance norm (section 7.2)."""

    def __init__(self, channels: int, data_format: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        images = {"dtype": dtype, "data_format": data_format}
        self.body = keras.Sequential(
            [
                ReflectionPadding(1, **images),
                _convolution(channels, 3, "convolve_0", images),
                InstanceNorm(**images),
                layers.ReLU(dtype=dtype),
                ReflectionPadding(1, **images),
                _convolution(channels, 3, "convolve_1", images),
                InstanceNorm(**images),
            ],
            name="body",
        )

    def build(self, input_shape) -> None:
        """Creates both convolutions' weights."""
        self.body.build(input_shape)

    def call(self, x):
        """Feature maps (B, H, W, C) to the same shape."""
        return x + self.body(x)

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return input_shape


def generator(config: CycleGANGeneratorConfig, dtype: Any) -> keras.Sequential:
    """The network of section 7.2, in the paper's notation c7s1, d, R, u, c7s1.

    It maps images (B, H, W, C) in [-1, 1], with H and W multiples of 4, to images of
    the same size and range.
    """
    width = config.width
    images = _of_images(dtype)

    def normed(*convolution: layers.Layer) -> list[layers.Layer]:
        return [*convolution, InstanceNorm(**images), layers.ReLU(dtype=dtype)]

    stack = normed(
        ReflectionPadding(3, **images), _convolution(width, 7, "first", images)
    )
    for index, channels in enumerate((2 * width, 4 * width)):
        name = f"down_{index}"
        stack += normed(
            layers.ZeroPadding2D(((1, 0), (1, 0)), **images),
            _convolution(channels, 3, name, images, strides=2),
        )
    stack += [
        Residual(4 * width, name=f"residual_{index}", **images)
        for index in range(config.residual_blocks)
    ]
    for index, channels in enumerate((2 * width, width)):
        name = f"up_{index}"
        if config.upsampling == "resize":
            stack += normed(
                layers.UpSampling2D(2, **images),
                ReflectionPadding(1, **images),
                _convolution(channels, 3, name, images),
            )
        else:
            initial = Normal(STDDEV)
            stack += normed(
                layers.Conv2DTranspose(
                    channels, 3, 2, kernel_initializer=initial, name=name, **images
                ),
                # Aligns even sizes as the authors' framework does.
                layers.Cropping2D(((1, 0), (1, 0)), **images),
            )
    stack += [
        ReflectionPadding(3, **images),
        _convolution(config.channels[1], 7, "last", images),
        # In float32 under any precision.
        layers.Activation("tanh", dtype="float32"),
    ]
    return keras.Sequential(in_native_format(stack), name="generator")


def discriminator(config: CycleGANConfig, channels: int, name: str, dtype: Any):
    """A PatchGAN: scores overlapping patches of images (B, H, W, C) in [-1, 1].

    Section 7.2's C64, C128, C256, C512 and a final convolution to one channel.
    """
    images = _of_images(dtype)
    stack: list[Any] = []
    last = config.discriminator_layers
    for index in range(last + 1):
        width = config.width * 2 ** min(index, 3)
        stack += [
            layers.ZeroPadding2D(1, **images),
            _convolution(
                width, 4, f"down_{index}", images, strides=1 if index == last else 2
            ),
            *([InstanceNorm(**images)] if index else []),
            layers.LeakyReLU(LEAK, dtype=dtype),
        ]
    stack += [
        layers.ZeroPadding2D(1, **images),
        _convolution(1, 4, "score", images),
        layers.Activation("linear", dtype="float32"),
    ]
    given = keras.Input((*config.image_size, channels))
    return keras.Sequential([given, *in_native_format(stack)], name=name)


def _of_images(dtype: Any) -> dict[str, Any]:
    """Arguments of all layers that depend on the order of an image's axes."""
    return {"dtype": dtype, "data_format": engine().image_format}


def _convolution(channels, size, name, images, strides=1) -> layers.Conv2D:
    if channels == 1:
        # On a CPU, torch has no 16-bit gradient for kernels with one output.
        images = {**images, "dtype": "float32"}
    initial = Normal(STDDEV)
    return layers.Conv2D(
        channels,
        size,
        strides,
        kernel_initializer=initial,
        name=name,
        **images,
    )


# === One direction ===


@keras.saving.register_keras_serializable("zoo")
@keras.saving.register_keras_serializable("zoo", "Translator")  # in older files
class CycleGANGenerator(FromPreset, Model):
    """One direction of a CycleGAN, to translate with; it is not trained by itself.

    `cyclegan.a_to_b.save_to_preset(folder)` saves it alone.
    """

    Config = CycleGANGeneratorConfig
    layout = LAYOUT

    def __init__(self, config: CycleGANGeneratorConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.generator = generator(config, self.dtype_policy)
        self.build()

    def build(self, input_shape=None) -> None:
        """Creates all weights, which fit images of any size."""
        self.generator.build((None, None, None, self.config.channels[0]))
        self.built = True

    def call(self, images, training: bool = False):
        """Translates images (B, H, W, C) in [-1, 1], with H and W multiples of 4."""
        return self.generator(images, training=training)

    def phases(self):
        """Raises: a generator is trained within a CycleGAN."""
        raise TypeError(
            "A CycleGANGenerator is trained as part of a CycleGAN, not by itself: "
            "fit the CycleGAN."
        )

    def translate(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        *,
        tile: int | None = None,
        overlap: int = 64,
    ) -> Any:
        """Images as they would look in the other domain.

        Sides that are not multiples of 4 are padded by reflection and cropped
        afterwards. Each new size is compiled once.

        Args:
            images: in [0, 1], of shape (N, H, W, C); or a sequence of (H, W, C), each
                of its own size.
            tile: the longest side computed at once, in pixels, a multiple of 4. Larger
                images are computed in bounded memory, in overlapping tiles that are
                blended. Instance norm then sees one tile at a time, so contrast can
                differ between tiles.
            overlap: overlap of neighbouring tiles, in pixels.

        Returns:
            Images in the form of `images`, in [0, 1], float32.
        """
        if not isinstance(images, np.ndarray):
            return [
                self.translate(image[None], tile=tile, overlap=overlap)[0]
                for image in images
            ]
        _check_pictures(images, self.config.channels[0])
        if tile is not None and (tile % STRIDE or tile < SMALLEST):
            raise ValueError(
                f"tile must be a multiple of {STRIDE} from {SMALLEST} up, got {tile}"
            )
        if tile is not None and max(images.shape[1:3]) > tile:
            return by_tiles(self.translate, images, tile, overlap)
        height, width = images.shape[1:3]
        below, right = -height % STRIDE, -width % STRIDE
        padding = ((0, 0), (0, below), (0, right), (0, 0))
        padded = np.pad(np.asarray(images, "float32"), padding, mode="reflect")
        return self._translate(padded)[:, :height, :width]

    @cached_property
    def _translate(self) -> Batched:
        def translate(images):
            return from_signed(self.generator(to_signed(images)))

        return Batched(translate, lambda: self.variables, batch_size=32)


def _check_pictures(images: np.ndarray, channels: int) -> None:
    check_images(images, (*images.shape[1:3], channels))
    if min(images.shape[1:3]) < SMALLEST:
        raise ValueError(
            f"Images must be at least {SMALLEST} x {SMALLEST} pixels, got "
            f"{images.shape[1]} x {images.shape[2]}"
        )


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
            discriminator(config, channels, f"discriminator_{name}", dtype)
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

    def call(self, images, training: bool = False):
        """Translates images (B, H, W, C) in [0, 1] from A to B."""
        return from_signed(self.a_to_b(to_signed(images), training=training))

    # === Training ===

    def phases(self):
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

    def prepare(self, batch):
        """A batch as a dict of images in [-1, 1] and the histories' draws."""
        given = _named(batch)
        prepared = {**given, "a": to_signed(given["a"]), "b": to_signed(given["b"])}
        for name, history in self._histories():
            if f"place_{name}" not in given:
                drawn = history.draw(ops.shape(given["a"])[0], self.seed)
                prepared |= {f"{key}_{name}": value for key, value in drawn.items()}
        return prepared

    def shared(self, batch, training: bool = False):
        """The translations F(b) and G(a), as `fake_a` and `fake_b`."""
        return {
            "fake_a": self.b_to_a(batch["b"], training=training),
            "fake_b": self.a_to_b(batch["a"], training=training),
        }

    def generator_loss(self, batch, training):
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

    def discriminator_loss(self, batch, training):
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

    def _histories(self):
        return self.histories.items() if self.config.history else ()

    def form(self, batch) -> None:
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

    def ranges(self, batch):
        """The ranges of pixels and, where given, of the histories' draws."""
        given, last = _named(batch), self.config.history - 1
        places = [f"{key}_{name}" for key in ("place", "shown") for name in "ab"]
        return [
            *(pixels(given[name]) for name in "ab"),
            *(Range(name, given[name], -1, last) for name in places if name in given),
        ]

    def check_inputs(self, inputs) -> None:
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
                f"direction must be one of {get_args(Direction)}, got {direction!r}"
            )
        generator: CycleGANGenerator = getattr(self, direction)
        return generator.translate(images, tile=tile, overlap=overlap)


def _named(batch) -> dict:
    """A batch, which may be a pair, as a dict."""
    return batch if isinstance(batch, dict) else dict(zip("ab", batch, strict=True))


def _distance_to(target, scores):
    """The least-squares GAN loss (Mao et al. 2017)."""
    return ops.mean(ops.square(scores - target))


def _difference(x, y):
    """The mean absolute difference."""
    return ops.mean(ops.abs(x - y))


# Sides of the pictures that a translator takes: multiples of it, from four of it up.
STRIDE = 4


def served_translator(model: Any) -> Served:
    """Exports translations of images (B, H, W, C) in [0, 1] to the other domain."""
    sides = (Side(name, 0, 4 * STRIDE, STRIDE) for name in ("height", "width"))
    shape = (BATCH, *sides, model.config.channels[0])
    return Served(
        model.generator,
        lambda inputs: [from_signed(model.generator(to_signed(inputs["images"])))],
        [Array("images", shape, "pictures")],
        ["translated"],
    )


def served_direction(model: Any, direction: Direction = "a_to_b") -> Served:
    """Exports one direction of a CycleGAN."""
    return served_translator(getattr(model, direction))


register(CycleGAN, presets=PRESETS, measured="translations", served=served_direction)
register(CycleGANGenerator, served=served_translator)


def __getattr__(name: str) -> object:
    return moved.renamed(name)
