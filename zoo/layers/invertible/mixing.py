"""Invertible 1 x 1 convolutions in LU form (Kingma & Dhariwal 2018, section 3.2)."""

from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.invertible.bijection import Bijection


class _Constant(keras.initializers.Initializer):
    """An array as it is."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Tensor:
        return ops.convert_to_tensor(self.value, dtype)


@keras.saving.register_keras_serializable("zoo")
class Mixing(Bijection):
    """Multiplies each pixel's channels by W = P L (U + diag(s)), a rotation at first.

    P is fixed, L has ones and U zeros on its diagonal, and s = sign · exp(log_scale),
    so that log|det W| is the sum of log_scale.

    Args:
        seed: of the first rotation.
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        # W^-1 for exports, whose formats can't solve triangular systems.
        self.held_inverse: np.ndarray | None = None

    def build(self, input_shape: Shape) -> None:
        """Creates the factors for inputs (B, H, W, C)."""
        size = input_shape[-1]
        rng = np.random.default_rng(self.seed)
        rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
        permutation, lower, upper = _factors(rotation)
        scale = np.diag(upper)
        self.below = np.tril(np.ones((size, size), "float32"), -1)
        starts = {
            "permutation": permutation,
            "sign": np.sign(scale),
            "lower": lower * self.below,
            "upper": upper * self.below.T,
            "log_scale": np.log(np.abs(scale)),
        }
        for name, value in starts.items():
            weight = self.add_weight(
                shape=value.shape,
                dtype="float32",
                autocast=False,
                initializer=_Constant(value.astype("float32")),
                trainable=name not in ("permutation", "sign"),
                name=name,
            )
            setattr(self, name, weight)
        self.built = True

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Maps (B, H, W, C), and gives log-determinants (B,)."""
        lower, upper = self._triangles()
        kernel = ops.matmul(self.permutation, ops.matmul(lower, upper))
        height, width = x.shape[1:3]
        log_det = height * width * ops.sum(self.log_scale)
        y = ops.matmul(x, ops.transpose(kernel))
        return y, ops.zeros_like(x[:, 0, 0, 0]) + log_det

    def inverse(
        self,
        y: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
    ) -> Tensor:
        """The x whose values are y."""
        kernel = self.held_inverse
        if kernel is None:
            kernel = self.inverse_kernel()
        return ops.matmul(y, ops.transpose(kernel))

    def inverse_kernel(self) -> Tensor:
        """W^-1, (C, C)."""
        lower, upper = self._triangles()
        turned = ops.transpose(self.permutation)
        found = ops.solve_triangular(lower, turned, lower=True)
        return ops.solve_triangular(upper, found, lower=False)

    def _triangles(self) -> tuple[Tensor, Tensor]:
        below = ops.convert_to_tensor(self.below)
        one = ops.eye(self.below.shape[0], dtype="float32")
        scale = self.sign * ops.exp(self.log_scale)
        lower = self.lower * below + one
        return lower, self.upper * ops.transpose(below) + one * scale[:, None]


def _factors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P, L and U with matrix = P L U, by elimination with partial pivoting."""
    size = len(matrix)
    upper, lower = matrix.astype("float64").copy(), np.eye(size)
    order = np.arange(size)
    for k in range(size - 1):
        best = k + int(np.argmax(np.abs(upper[k:, k])))
        for array in (upper, order):
            array[[k, best]] = array[[best, k]]
        lower[[k, best], :k] = lower[[best, k], :k]
        lower[k + 1 :, k] = upper[k + 1 :, k] / upper[k, k]
        upper[k + 1 :] -= lower[k + 1 :, k, None] * upper[k]
    return np.eye(size)[order].T, lower, np.triu(upper)
