"""Numerical kernels: what a backend may compute faster than Keras's operations do."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from zoo.engine import plain_attention
from zoo.engine.tensors import Tensor


class Kernels:
    """Attention, recurrence, padding, convolution and group norm.

    Attributes:
        image_format: "channels_last" or "channels_first", whichever makes convolutions
            and norms fastest. Keras's layers work in either.
    """

    image_format: str = "channels_last"

    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Any = None,
        is_causal: bool = False,
        bias: Any = None,
        drop: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Scaled dot-product attention of (B, T, N, H) to (B, S, N, H).

        Args:
            q: queries (B, T, N, H).
            k: keys (B, S, N, H).
            v: values (B, S, N, H).
            mask: (B or 1, 1, T or 1, S), True where a query may look.
            is_causal: whether a query sees no later key.
            bias: (B or 1, N, T, S), added to the scaled products.
            drop: dropout for the probabilities (B, N, T, S); the fused kernels don't
                expose them, so plain operations are used.
        """
        if drop is not None:
            return plain_attention.attention(q, k, v, mask, is_causal, bias, drop)
        return ops.dot_product_attention(
            q, k, v, bias=bias, mask=mask, is_causal=is_causal
        )

    def recurrent(
        self,
        cell: str,
        x: Tensor,
        state: Tensor,
        weights: Sequence[Tensor],
        mask: Any = None,
        backward: bool = False,
    ) -> tuple[Tensor, Tensor] | None:
        """Runs a whole recurrent layer in one kernel; None if no kernel fits.

        Args:
            cell: "elman", "gru" or "lstm".
            x: (B, T, D).
            state: (B, S).
            weights: kernel, recurrent kernel and both biases, laid out as in
                `zoo.layers.recurrent.cells.Recurrent`.
            mask: (B, T), False at padding.
            backward: whether to read from the last token to the first.

        Returns:
            What `Recurrent.call` returns, differentiable.
        """
        del cell, x, state, weights, mask, backward
        return None

    def reflect(self, x: Tensor, size: int, axes: tuple[int, int]) -> Tensor:
        """Pads images with `size` mirrored rows and columns on each side of two axes.

        Args:
            x: images, four axes.
            size: rows and columns to add on each side.
            axes: of height and width.
        """
        added = [(size, size) if axis in axes else (0, 0) for axis in range(4)]
        return ops.pad(x, added, mode="reflect")

    def convolution(
        self, x: Tensor, kernel: Tensor, bias: Tensor | None, strides: Sequence[int]
    ) -> Tensor:
        """Convolves images, padded with zeros so that stride 1 keeps their sides.

        Args:
            x: (B, H, W, C).
            kernel: (height, width, C, outputs), of the dtype of `x`.
            bias: (outputs,), or None.
            strides: of rows and columns.
        """
        y = ops.conv(x, kernel, tuple(strides), "same", "channels_last")
        return y if bias is None else y + bias

    def group_norm(
        self, x: Tensor, groups: int, gamma: Tensor, beta: Tensor, epsilon: float
    ) -> Tensor:
        """Scales groups of channels to mean 0, variance 1, then by gamma and beta.

        Args:
            x: (B, H, W, C), float32.
            groups: a divisor of C.
            gamma: (C,), float32.
            beta: (C,), float32.
            epsilon: added to the variance.
        """
        return plain_group_norm(x, groups, gamma, beta, epsilon)


def plain_group_norm(
    x: Tensor, groups: int, gamma: Tensor, beta: Tensor, epsilon: float
) -> Tensor:
    """Group norm in plain operations; see `Kernels.group_norm`."""
    shape, channels = ops.shape(x), x.shape[-1]
    split = ops.reshape(x, (-1, shape[1] * shape[2], groups, channels // groups))
    centred = split - ops.mean(split, axis=(1, 3), keepdims=True)
    variance = ops.mean(ops.square(centred), axis=(1, 3), keepdims=True)
    y = centred * ops.rsqrt(variance + epsilon)
    return ops.reshape(y, (-1, *shape[1:3], channels)) * gamma + beta
