"""Training on PyTorch: gradients, attention, randomness and memory of one device."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from keras import ops, tree
from keras.src.backend.torch.core import get_device, to_torch_dtype

from zoo.engine.interface.loops import unrolled
from zoo.engine.tensors import Function, Tensor, Variables
from zoo.engine.torch import recurrent as torch_recurrent
from zoo.engine.torch.attention import (
    plain_is_faster,
    short_attention,
    slow_backward,
    with_mask,
)
from zoo.engine.torch.memory_order import fuse_adam, lay_out_kernels
from zoo.engine.torch.onnx_export import write_onnx
from zoo.engine.torch.recording import RecordedSteps


class TorchEngine(RecordedSteps):
    """The engine for PyTorch on one device."""

    fuses = False
    image_format = "channels_first"
    # Whether `zoo.distribution.use` joined the processes.
    own_processes = False

    def refuse_others(self, training: bool) -> None:
        """Raises if processes would each train alone, or Keras has a distribution.

        DistributedDataParallel sums what `backward` leaves in `.grad`, but the step
        takes its gradients elsewhere.
        """
        if not training:
            return
        own = TorchEngine.own_processes or not torch.distributed.is_available()
        if not own and torch.distributed.is_initialized():
            processes = torch.distributed.get_world_size()
            if processes > 1:
                raise ValueError(
                    f"torch.distributed has {processes} processes, and each would "
                    "train its own model: the step ignores "
                    "DistributedDataParallel and init_process_group. Leave them out, "
                    "and put the model, compile and fit into\n\n"
                    f"    with zoo.distribution.use(data={processes}):"
                )
        if keras.distribution.distribution() is not None:
            raise ValueError(
                "keras.distribution is set, which Keras ignores on torch. "
                "Put the model, compile and fit into\n\n"
                "    with zoo.distribution.use(data=-1):  # in torchrun's processes"
            )

    def extremes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """`aminmax` is slower for floating-point numbers."""
        if values.is_floating_point():
            return values.amin(), values.amax()
        return torch.aminmax(values)

    def record(
        self,
        arrays: Sequence[Tensor],
        limits: tuple[float, ...],
        ends: keras.Variable,
        good: keras.Variable,
    ) -> Tensor:
        """In place: each operation fewer speeds up a small model's recorded step."""
        found = [x.float() for values in arrays for x in self.extremes(values)]
        rest = len(limits) - len(found)
        highest = torch.nn.functional.pad(torch.stack(found), (0, rest))
        highest[: len(found) : 2].neg_()
        most = torch.tensor(limits, dtype=torch.float32, device=highest.device)
        with torch.no_grad():
            torch.maximum(ends.value, highest, out=ends.value)
            within = (ends.value <= most).all()
            good.value.add_(within)
        return within

    def settle(self, model: Any) -> None:
        """Also lays kernels out in memory; a mesh lays out the parts itself."""
        super().settle(model)
        if self.mesh.size == 1:
            lay_out_kernels(model)

    def tune(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Fuses Adam's passes over memory into one."""
        fuse_adam(optimizer)

    def gradients(
        self,
        function: Callable[..., tuple[Tensor, Any]],
        variables: Variables,
        inputs: Sequence[Tensor] = (),
    ) -> tuple[Any, list[Tensor], list[Tensor]]:
        """`torch.autograd.grad`: gradients never reach a phase's frozen networks."""
        inputs = [x.detach().requires_grad_() for x in inputs]
        with torch.enable_grad():
            objective, aux = function(*inputs)
        aux = tree.map_structure(lambda x: x.detach(), aux)
        leaves = [v.value for v in variables] + inputs
        gradients = _grad(objective, leaves)
        return aux, gradients[: len(variables)], gradients[len(variables) :]

    def linearize(
        self, function: Callable[[], Any], variables: Variables
    ) -> tuple[Any, Callable[[Sequence[Tensor]], list[Tensor]]]:
        """The closure keeps the graph of `function()` alive."""
        with torch.enable_grad():
            value = function()
        outputs = tree.flatten(value)

        def pullback(cotangents: Sequence[Tensor]) -> list[Tensor]:
            return _grad(outputs, [v.value for v in variables], cotangents)

        return tree.map_structure(lambda x: x.detach(), value), pullback

    def repeat(self, function: Callable[[Tensor], Any], count: int) -> Any:
        """A plain eager loop: autograd frees each pass's graph."""
        return unrolled(function, count)

    def when(
        self, condition: Tensor, function: Callable[[], None], variables: Variables
    ) -> None:
        """Reads the condition on the host."""
        del variables
        if bool(condition):
            function()

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
        """Merges masks into a bias: the kernel takes only one of mask, bias, causal."""
        slow, short = slow_backward(q), plain_is_faster(q, k)
        if drop is not None and not short:
            return super().attention(q, k, v, mask, is_causal, bias, drop)
        if bias is not None or short:
            bias = with_mask(bias, mask, is_causal, q, k)
            mask, is_causal = None, False
        if short:
            return short_attention(q, k, v, bias, drop)
        if not slow:
            return super().attention(q, k, v, mask, is_causal, bias)
        bias = None if bias is None else bias.float()
        q32, k32, v32 = (x.float() for x in (q, k, v))
        return super().attention(q32, k32, v32, mask, is_causal, bias).to(q.dtype)

    def recurrent(
        self,
        cell: str,
        x: Tensor,
        state: Tensor,
        weights: Sequence[Tensor],
        mask: Any = None,
        backward: bool = False,
    ) -> tuple[Tensor, Tensor] | None:
        """Avoids running a step's Python for each token."""
        if not torch_recurrent.serves(x):
            return None
        return torch_recurrent.read(cell, x, state, weights, mask, backward)

    def reflect(self, x: Tensor, size: int, axes: tuple[int, int]) -> Tensor:
        """Moves the two axes last, where the kernel needs them."""
        planes = torch.movedim(x, axes, (2, 3))
        padded = super().reflect(planes, size, (2, 3))
        return torch.movedim(padded, (2, 3), axes)

    def convolution(
        self, x: Tensor, kernel: Tensor, bias: Tensor | None, strides: Sequence[int]
    ) -> Tensor:
        """Keeps the order in memory, and adds the bias in the same pass."""
        kernel, planes = ops.convert_to_tensor(kernel), torch.movedim(x, 3, 1)
        sizes = [
            max((-(-side // stride) - 1) * stride + size - side, 0)
            for side, stride, size in zip(
                planes.shape[2:], strides, kernel.shape[:2], strict=True
            )
        ]
        padding = [size // 2 for size in sizes]
        if any(size % 2 for size in sizes):
            # As TensorFlow pads: the odd row and column come last.
            (top, left), (height, width) = padding, sizes
            around = (left, width - left, top, height - top)
            planes = torch.nn.functional.pad(planes, around)
            padding = [0, 0]
        bias = None if bias is None else ops.convert_to_tensor(bias)
        y = torch.nn.functional.conv2d(
            planes, kernel.permute(3, 2, 0, 1), bias, tuple(strides), padding
        )
        return torch.movedim(y, 1, 3)

    def group_norm(
        self, x: Tensor, groups: int, gamma: Tensor, beta: Tensor, epsilon: float
    ) -> Tensor:
        """Calls the native kernel, which keeps the order in memory."""
        planes = torch.movedim(x, 3, 1)
        y = torch.nn.functional.group_norm(planes, groups, gamma, beta, epsilon)
        return torch.movedim(y, 1, 3)

    def normal(self, shape: Sequence[Any], seed: Any) -> Tensor:
        """Draws from torch's own generator, whose state checkpoints keep too.

        Seeding another generator would read the seed's value, and a step that looks at
        values can't be recorded. It is done only if the user asked for a seed.
        """
        if seed._initial_seed is not None:
            return super().normal(shape, seed)
        return torch.randn(tuple(shape), device=get_device())

    def dropout(self, x: Tensor, rate: float, seed: Any) -> Tensor:
        """Uses 15 random bits per element on a CPU.

        torch's own Bernoulli draws take more than twice as long there, a tenth of a
        small transformer's step.
        """
        if seed._initial_seed is not None or x.device.type != "cpu":
            return super().dropout(x, rate, seed)
        # Four per word; torch never sets the word's sign bit.
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_()
        bits = words.view(torch.int16)[: x.numel()].bitwise_and_(2**15 - 1)
        kept = bits.view(x.shape) >= round(rate * 2**15)
        return x * (kept.to(x.dtype) / (1 - rate))

    def input_gradient(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`create_graph` makes the result differentiable."""
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        return gradient

    def compile(
        self, function: Function, variables: Callable[[], Variables]
    ) -> Function:
        """Eager: torch.compile takes a minute on a CPU. See `capture`."""
        del variables

        @torch.inference_mode()
        def call(*args: Any) -> Any:
            return function(*tree.map_structure(ops.convert_to_tensor, args))

        return call

    def write(self, array: Tensor, update: Tensor, index: Tensor) -> Tensor:
        """Writes in place."""
        index = torch.as_tensor(index, device=array.device)
        places = index + torch.arange(update.shape[1], device=array.device)
        return array.index_copy_(1, places, update.to(array.dtype))

    def adopted(self, array: np.ndarray, dtype: str) -> Tensor:
        """Avoids Keras's copy; torch can't read NumPy's bfloat16."""
        if array.dtype.name == "bfloat16":
            return super().adopted(array.astype("float32"), dtype)
        return torch.from_numpy(array).to(get_device(), to_torch_dtype(dtype))

    def export_onnx(self, network: Any, file: Path) -> None:
        """Uses torch's own exporter, which Keras calls for fixed sides alone."""
        write_onnx(network, file)

    def random_state(self) -> dict[str, Any]:
        """The states of the CPU's generator and of every GPU's."""
        state = {"cpu": torch.get_rng_state().numpy()}
        for index, generator in enumerate(torch.cuda.get_rng_state_all()):
            state[f"cuda{index}"] = generator.numpy()
        return state

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Restores the states; skips GPUs that are not present."""
        torch.set_rng_state(torch.from_numpy(state["cpu"]))
        for index in range(torch.cuda.device_count()):
            if f"cuda{index}" in state:
                saved = torch.from_numpy(state[f"cuda{index}"])
                torch.cuda.set_rng_state(saved, index)

    def device_names(self) -> list[str]:
        count = torch.cuda.device_count()
        return [*map(torch.cuda.get_device_name, range(count)), "cpu"]

    def peak_memory(self) -> int | None:
        """Counted on CUDA only."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated()
        return None


def _grad(outputs: Any, leaves: Any, cotangents: Any = None) -> list[Tensor]:
    """Gradients; zeros, as on JAX, for leaves that the outputs don't depend on."""
    return list(
        torch.autograd.grad(outputs, leaves, cotangents, materialize_grads=True)
    )
