"""Noise that makes discrete images continuous, and the density that it has.

A density can be raised without bound where the data are discrete, so a likelihood of
the images as they are means nothing. With noise u in [0, 1) on levels x, of density
q(u | x), log P(x) >= E[log p(x + u) - log q(u | x)] (Theis et al. 2016, section 3.1; Ho
et al. 2019, section 3.1).

Shapes: B images, (H, W, C) of an image, K of a condition.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.invertible.bijection import sum_over_image
from zoo.layers.invertible.coupling import Coupling
from zoo.layers.invertible.squeeze import squeezed, unsqueezed
from zoo.layers.layer import Layer

# How far uniform noise stays from 0 and 1, where its logit is infinite.
MARGIN = 1e-5


def levels_of(images: Tensor, levels: int) -> Tensor:
    """The whole numbers from 0 to levels - 1 that images in [0, 1] hold."""
    return ops.round(ops.cast(images, "float32") * (levels - 1))


def logit(x: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Logits of values in [0, 1], first shrunk away from both ends by margin / 2.

    Returns:
        The logits (B, H, W, C), and the log-determinants (B,).
    """
    x = 0.5 * margin + (1 - margin) * x
    below, above = ops.log(x), ops.log(1 - x)
    slope = ops.log(ops.cast(1 - margin, "float32")) - below - above
    return below - above, sum_over_image(slope)


def from_logit(y: Tensor, margin: float) -> Tensor:
    """The inverse of `logit`, clipped to [0, 1]."""
    return ops.clip((ops.sigmoid(y) - 0.5 * margin) / (1 - margin), 0.0, 1.0)


@keras.saving.register_keras_serializable("zoo")
class VariationalDequantization(Layer):
    """Turns uniform noise into noise that depends on the image (Ho et al. 2019).

    Logits of the noise go through couplings that see the image.

    Args:
        num_steps: number of couplings.
        squeeze: whether the couplings see each 2 x 2 pixels as one, which takes a
            quarter of the operations; otherwise their masks are checkerboards.
        network: kind of their networks; see `CouplingNetwork`.
        hidden: channels of their networks.
        num_blocks: blocks of their networks.
        condition_dim: K; 0 without a condition.
    """

    def __init__(
        self,
        num_steps: int,
        squeeze: bool,
        network: str,
        hidden: int,
        num_blocks: int,
        condition_dim: int = 0,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.num_steps, self.squeeze = num_steps, squeeze
        self.kind, self.hidden, self.num_blocks = network, hidden, num_blocks
        self.condition_dim = condition_dim
        self.couplings: list[Coupling] = []

    def build(self, input_shape: Shape) -> None:
        """Creates the couplings for noise (B, H, W, C)."""
        batch, height, width, channels = input_shape
        if self.squeeze:
            height, width, channels = height // 2, width // 2, 4 * channels
        patterns: Sequence[str] = ("checkerboard",)
        if self.squeeze:
            patterns = ("diagonal", "rows")
        for index in range(self.num_steps):
            coupling = Coupling(
                patterns[index // 2 % len(patterns)],
                flipped=index % 2 == 1,
                network=self.kind,
                hidden=self.hidden,
                num_blocks=self.num_blocks,
                condition_dim=self.condition_dim,
                picture_channels=channels,
                name=f"coupling_{index}",
                dtype=self.dtype_policy,
            )
            coupling.build((batch, height, width, channels))
            self.couplings.append(coupling)
        self.built = True

    def call(
        self, noise: Tensor, pictures: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Maps uniform noise to noise in [0, 1], and log q(noise | image), (B,).

        Args:
            noise: (B, H, W, C), uniform in [0, 1).
            pictures: the images, (B, H, W, C) in [-1, 1].
            condition: what the images are conditioned on (B, K).
        """
        y, log_det = logit(noise, MARGIN)
        if self.squeeze:
            y, pictures = squeezed(y), squeezed(pictures)
        for coupling in self.couplings:
            y, more = coupling(y, condition, pictures)
            log_det = log_det + more
        if self.squeeze:
            y = unsqueezed(y)
        log_det = log_det - sum_over_image(ops.softplus(y) + ops.softplus(-y))
        return ops.sigmoid(y), -log_det

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Any:
        """The noise's shape, and one log-density per example."""
        return input_shape, input_shape[:1]
