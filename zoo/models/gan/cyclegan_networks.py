"""The networks of CycleGAN (Zhu et al. 2017, section 7.2), and what shards them.

As in the authors' pytorch-CycleGAN-and-pix2pix.

Shapes: B images, (H, W) of an image, C channels.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import keras
from keras import layers

from zoo.configs.checks import check_choice, check_count, check_fields, check_whole
from zoo.engine.current import engine
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.convolution.image_format import in_native_format
from zoo.layers.convolution.padding import ReflectionPadding
from zoo.layers.initializers import Normal
from zoo.layers.layer import Layer
from zoo.layers.norm import InstanceNorm

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
                f"{self.channels!r}."
            )
        for count in self.channels:
            check_count("channels", count)
        check_whole(self, "width", "residual_blocks")
        check_choice(self, "upsampling", get_args(Upsampling))


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

    def build(self, input_shape: Shape) -> None:
        """Creates both convolutions' weights."""
        self.body.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """Feature maps (B, H, W, C) to the same shape."""
        return x + self.body(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
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


def discriminator(
    image_shape: tuple[int, int, int],
    width: int,
    num_layers: int,
    name: str,
    dtype: Any,
) -> keras.Sequential:
    """A PatchGAN: scores overlapping patches of images (B, H, W, C) in [-1, 1].

    Section 7.2's C64, C128, C256, C512 and a final convolution to one channel.

    Args:
        image_shape: (H, W, C).
        width: channels of the first convolution.
        num_layers: how often the sides are halved.
        name: the network's name.
        dtype: the dtype policy of its layers.
    """
    images = _of_images(dtype)
    stack: list[Any] = []
    for index in range(num_layers + 1):
        channels = width * 2 ** min(index, 3)
        strides = 1 if index == num_layers else 2
        stack += [
            layers.ZeroPadding2D(1, **images),
            _convolution(channels, 4, f"down_{index}", images, strides=strides),
            *([InstanceNorm(**images)] if index else []),
            layers.LeakyReLU(LEAK, dtype=dtype),
        ]
    stack += [
        layers.ZeroPadding2D(1, **images),
        _convolution(1, 4, "score", images),
        layers.Activation("linear", dtype="float32"),
    ]
    given = keras.Input(image_shape)
    return keras.Sequential([given, *in_native_format(stack)], name=name)


def _of_images(dtype: Any) -> dict[str, Any]:
    """Arguments of all layers that depend on the order of an image's axes."""
    return {"dtype": dtype, "data_format": engine().image_format}


def _convolution(
    channels: int, size: int, name: str, images: dict[str, Any], strides: int = 1
) -> layers.Conv2D:
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
