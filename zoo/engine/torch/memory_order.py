"""Weights in the memory order that kernels need, and Adam's fused kernel on them."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import torch
from keras import ops
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose

from zoo.engine.tensors import Tensor, Variables

# The order in memory of a kernel's axes (H, W, in, out), by the image format:
# (out, in, H, W) or (out, H, W, in).
NATIVE_ORDER = {"channels_first": (3, 2, 0, 1), "channels_last": (3, 0, 1, 2)}


def lay_out_kernels(model: Any) -> None:
    """Lays kernels out in memory as the native convolutions need them.

    Otherwise each use would copy from Keras's order of axes to the native one, and
    the backward pass back again.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, BaseConv | BaseConvTranspose) and layer.rank == 2:
            for weight in layer.trainable_weights:
                if len(weight.shape) == 4:
                    _lie(weight, NATIVE_ORDER[layer.data_format])


def fuse_adam(optimizer: keras.optimizers.Optimizer) -> None:
    """Gives Adam and AdamW one fused kernel instead of nine passes over memory.

    It walks through memory, so moments must have their variables' memory order.
    """
    adam = isinstance(optimizer, keras.optimizers.Adam) and not optimizer.amsgrad
    if not adam or not hasattr(torch, "_fused_adam_"):
        return
    for moments in (optimizer._momentums, optimizer._velocities):
        for variable, held in zip(optimizer._trainable_variables, moments, strict=True):
            if held.value.stride() != variable.value.stride():
                held.value.data = _lying_like(variable.value.data, held.value.data)
    optimizer._parallel_update_step = functools.partial(_fused_adam, optimizer)


def _fused_adam(
    optimizer: Any,
    gradients: Sequence[Tensor],
    variables: Variables,
    learning_rate: Any,
) -> None:
    """Adam's update by torch's fused kernel, with Keras's arithmetic.

    Keras corrects the bias in the learning rate and adds epsilon to the uncorrected
    root (Kingma & Ba 2015, end of section 2). The kernel corrects the bias by the
    number of steps; given a huge number, it corrects nothing.
    """
    first = variables[0].value
    count = ops.cast(optimizer.iterations + 1, first.dtype)
    root = torch.sqrt(1 - torch.pow(optimizer.beta_2, count))
    rate = ops.cast(learning_rate, first.dtype) * root
    rate = rate / (1 - torch.pow(optimizer.beta_1, count))
    index = [optimizer._get_variable_index(v) for v in variables]
    steps = torch.full((), 1e9, device=first.device)
    values = [v.value for v in variables]
    # The kernel walks through memory and assumes that all arrays have the same memory
    # order; a convolution's gradient comes transposed. It would first copy arrays that
    # do not lie in the order of their axes, so their axes are permuted to match.
    orders = [_order_in_memory(v) for v in values]
    lying = [_lying_like(v, g) for v, g in zip(values, gradients, strict=True)]
    moments = (
        [moment[i].value for i in index]
        for moment in (optimizer._momentums, optimizer._velocities)
    )
    torch._fused_adam_(
        *(
            [x.permute(order) for x, order in zip(tensors, orders, strict=True)]
            for tensors in (values, lying, *moments)
        ),
        [],
        [steps] * len(variables),
        lr=rate,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon,
        amsgrad=False,
        maximize=False,
        grad_scale=None,
        found_inf=None,
    )


def _lie(weight: keras.Variable, order: Sequence[int]) -> None:
    """Moves a weight's values in memory into this order of its axes."""
    held = weight.value
    inverse = [order.index(axis) for axis in range(len(order))]
    held.data = held.data.permute(order).contiguous().permute(inverse)


def _order_in_memory(value: Tensor) -> list[int]:
    """The axes, from the longest stride to the shortest."""
    strides = value.stride()
    return sorted(range(value.dim()), key=lambda axis: -strides[axis])


def _lying_like(value: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in the memory order of its variable.

    Gradients of convolution kernels are always copied: while a step is recorded, torch
    predicts other strides than its convolutions then return.
    """
    if gradient.dim() <= 2 and gradient.stride() == value.stride():
        return gradient
    return torch.empty_like(value).copy_(gradient)
