"""Between images of grey levels and the continuous data that a diffusion model sees.

Uniform dequantisation spreads level k of n over the interval [k/n, (k + 1)/n) (Uria et
al. 2013, section 3.3). In the "logit" space both ends of the range are stretched (Dinh
et al. 2017, section 4.1; Papamakarios et al. 2017, appendix E): black, which is most of
a picture of handwriting, becomes as wide as the noise at which the model resolves it.

Shapes: B images, (H, W, C) of an image.
"""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops

from zoo.engine.tensors import Tensor

SPACES = ("linear", "logit")
# How much of the range the logit cuts off, and what its values are divided by.
MARGIN, SCALE = 1e-6, 4.0


@dataclass(frozen=True)
class Units:
    """How data and images convert.

    Attributes:
        levels: grey levels of an image, n.
        space: "linear", from -1 to 1, or "logit".
    """

    levels: int
    space: str

    def to_data(self, images: Tensor, jitter: Tensor | float) -> Tensor:
        """Data (B, H, W, C) in float32 of images in [0, 1], and jitter in [0, 1)."""
        level = ops.round(ops.cast(images, "float32") * (self.levels - 1))
        share = (level + ops.cast(jitter, "float32")) / self.levels
        if self.space == "linear":
            return 2.0 * share - 1.0
        share = MARGIN + (1 - 2 * MARGIN) * share
        return (ops.log(share) - ops.log1p(-share)) / SCALE

    def to_images(self, data: Tensor) -> Tensor:
        """Images in [0, 1]: the grey levels that data (B, H, W, C) lie in."""
        data = ops.cast(data, "float32")
        share = 0.5 * (data + 1.0)
        if self.space == "logit":
            share = (ops.sigmoid(SCALE * data) - MARGIN) / (1 - 2 * MARGIN)
        level = ops.clip(ops.floor(share * self.levels), 0, self.levels - 1)
        return level / (self.levels - 1)

    def log_volume(self, data: np.ndarray) -> np.ndarray:
        """What log p(data) gains to become log p(image), (B,) in nats.

        The logarithm of a level's volume in the data's units, where it is: the density
        of dequantised images over it is at most the image's probability on average.
        """
        if self.space == "linear":
            each = np.full(data.shape, math.log(2.0))
        else:
            # d data / d share, by share's logit.
            logit = SCALE * data.astype("float64")
            log_slope = -np.logaddexp(0, logit) - np.logaddexp(0, -logit)
            each = math.log((1 - 2 * MARGIN) / SCALE) - log_slope
        each = each - math.log(self.levels)
        return each.reshape(len(data), -1).sum(axis=1)
