"""Activation normalization (Kingma & Dhariwal 2018, section 3.1)."""

from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.invertible.bijection import Bijection


@keras.saving.register_keras_serializable("zoo")
class ActNorm(Bijection):
    """Scales and shifts each channel: y = (x - mean) / stddev · exp(scale) + bias.

    `mean` and `stddev` are those of the first training batch, over all devices, and are
    saved with the weights; `scale` and `bias` are trained. Before the first batch,
    evaluation sees the identity. With `accumulate`, the first micro-batch decides.

    Args:
        epsilon: the least standard deviation that is divided by.
    """

    def __init__(self, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        """Creates statistics and weights for inputs (B, H, W, C)."""
        shape = (input_shape[-1],)
        for name, start in (("mean", "zeros"), ("stddev", "ones")):
            weight = self.add_weight(
                shape=shape,
                dtype="float32",
                autocast=False,
                initializer=start,
                trainable=False,
                aggregation="mean",
                name=name,
            )
            setattr(self, f"first_{name}", weight)
        self.started = self.add_weight(
            shape=(),
            dtype="float32",
            autocast=False,
            initializer="zeros",
            trainable=False,
            aggregation="mean",
            name="started",
        )
        self.scale, self.bias = (
            self.add_weight(
                shape=shape,
                dtype="float32",
                autocast=False,
                initializer="zeros",
                name=name,
            )
            for name in ("scale", "bias")
        )
        self.built = True

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Maps (B, H, W, C); the first training batch sets mean and stddev."""
        if training:
            self._start(x)
        stddev = ops.convert_to_tensor(self.first_stddev)
        y = (x - self.first_mean) / stddev * ops.exp(self.scale) + self.bias
        height, width = x.shape[1:3]
        per_pixel = ops.sum(self.scale - ops.log(stddev))
        return y, ops.zeros_like(x[:, 0, 0, 0]) + height * width * per_pixel

    def inverse(
        self,
        y: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
    ) -> Tensor:
        """The x whose values are y."""
        x = (y - self.bias) * ops.exp(-self.scale)
        return x * self.first_stddev + self.first_mean

    def _start(self, x: Tensor) -> None:
        """Takes the batch's statistics, unless there are some already."""
        x = ops.stop_gradient(x)
        total, squares = ops.sum(x, axis=(0, 1, 2)), ops.sum(x * x, axis=(0, 1, 2))
        count = ops.cast(ops.size(x[..., 0]), "float32")
        total, squares, count = (engine().total(v) for v in (total, squares, count))
        mean = total / count
        variance = ops.maximum(squares / count - mean * mean, 0.0)
        stddev = ops.maximum(ops.sqrt(variance), self.epsilon)
        old = ops.convert_to_tensor(self.started)
        self.first_mean.assign(old * self.first_mean + (1 - old) * mean)
        self.first_stddev.assign(old * self.first_stddev + (1 - old) * stddev)
        self.started.assign(ops.ones_like(old))
