"""Training on PyTorch: the step's ATen calls, recorded once and replayed.

In a small model, the Python of Keras's layers costs more than the arithmetic.
`make_fx` records what a step, its backward pass and its optimizers do as a flat list
of calls; replaying them gives the same numbers. A step that looks at values (dropout
from a seed, a loss scale's overflow check) can't be recorded and runs eagerly.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from keras import ops, tree
from keras.src.backend.torch.core import get_device, to_torch_dtype
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    UnsupportedFakeTensorException,
)
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from zoo.engine import interrupts
from zoo.engine.base import Engine
from zoo.engine.interface.loops import unrolled
from zoo.engine.loss_state import loss_state
from zoo.engine.plain_attention import visible
from zoo.engine.quiet_export import quiet_export
from zoo.engine.tensors import Function, Tensor, Variables
from zoo.engine.torch import recurrent as torch_recurrent
from zoo.engine.torch.graph import simplify
from zoo.engine.tracing import tracing
from zoo.extras import optional

LOOKS_AT_VALUES = (
    DataDependentOutputException,
    GuardOnDataDependentSymNode,
    UnsupportedFakeTensorException,
)
# Up to this many keys, plain attention is the faster one in bfloat16 on a CPU.
SHORT = 256
# The order in memory of a kernel's axes (H, W, in, out), by the image format:
# (out, in, H, W) or (out, H, W, in).
NATIVE_ORDER = {"channels_first": (3, 2, 0, 1), "channels_last": (3, 0, 1, 2)}


class TorchEngine(Engine):
    """The engine for PyTorch on one device."""

    fuses = False
    image_format = "channels_first"
    # Whether `zoo.distribution.use` joined the processes.
    own_processes = False
    _recording = False

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

    @torch.no_grad()
    def train_step(self, step: Function, model: Any, *args: Any) -> Any:
        """Replays the recorded step, or runs it eagerly if it can't be recorded.

        Gradients are enabled only where they are needed.
        """
        data = to_tensors(*args)
        # On several devices eager calls are expensive, however long the loop.
        unrecorded = model.long_loops and self.mesh.size == 1
        if model.run_eagerly or model.jit_compile or unrecorded:
            return self._read(step(model, data))
        flat = [x for x in tree.flatten(data) if x is not None]
        structure = tree.map_structure(lambda x: None if x is None else 0, data)
        shapes = (repr(structure), *((x.shape, x.dtype, x.device) for x in flat))
        recorded = model.plan.recorded
        if shapes not in recorded:
            recorded[shapes] = self._record_step(step, model, structure, flat)
        replay = recorded[shapes]
        return replay(*flat) if replay else self._read(step(model, data))

    def extremes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Both in one pass."""
        return torch.aminmax(values)

    def whole_step(self, model: Any, function: Function) -> Function:
        """Restores the state that losses change after an error.

        That is cheap for moving statistics and seeds. Copying the weights would cost a
        few percent of a step, so once an optimizer has written, a note says so instead.
        """
        if model.run_eagerly:
            return super().whole_step(model, function)
        state = loss_state(model)
        # The smallest variables that an optimizer writes show whether it has written.
        written = [
            min(variables, key=lambda v: v.value.numel())
            for phase, member in model.optimizer.members.items()
            for variables in (
                model.plan.phase_variables[phase],
                member.variables[2:] or [member.iterations],
            )
        ]
        held, _ = self._pieces([*state, *written])
        before = [torch.empty_like(x) for x in held]
        count = len(state)

        def run(*args: Any) -> Any:
            with interrupts.held(self.is_tracing):
                torch._foreach_copy_(before, held)
                try:
                    return function(*args)
                except BaseException as error:
                    pairs = zip(held[count:], before[count:], strict=True)
                    if not all(torch.equal(x, y) for x, y in pairs):
                        error.add_note(interrupts.HALF_DONE)
                    elif state:
                        torch._foreach_copy_(held[:count], before[:count])
                    raise

        return torch.no_grad()(run)

    def is_tracing(self) -> bool:
        """True while a step is recorded: nothing is computed then."""
        return self._recording

    def _record_step(
        self, step: Function, model: Any, structure: Any, batch: Sequence[Tensor]
    ) -> Function | None:
        """Records a step as a function of a batch's tensors.

        Args:
            step: what to do with a batch.
            model: to train.
            structure: the batch's, None where the batch has None.
            batch: the tensors of a batch, flat.

        Returns:
            The function, or None if the step looks at values.
        """
        state = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        pieces, whole = self._pieces(state)

        @torch.no_grad()
        def recorded(*tensors: Tensor) -> Any:
            held, rest = whole(tensors[: len(state)]), iter(tensors[len(state) :])
            flat = [None if x is None else next(rest) for x in tree.flatten(structure)]
            # State is an argument too: the recorder treats anything else as a
            # constant, and fixes the decisions that depend on it.
            with keras.StatelessScope(zip(state, held, strict=True)) as scope:
                logs = step(model, tree.pack_sequence_as(structure, flat))
            for variable, value in zip(state, held, strict=True):
                after = scope.get_current_value(variable)
                if after is not value:
                    self._keep(value, after)
            return self._read(logs)

        record = make_fx(recorded, tracing_mode="fake", _allow_non_fake_inputs=True)
        self._recording = True
        try:
            with tracing:
                graph = simplify(record(*pieces, *batch))
        except LOOKS_AT_VALUES:
            log = logging.getLogger(__name__)
            log.info("The step looks at values; it runs eagerly.")
            return None
        finally:
            self._recording = False
        return torch.no_grad()(functools.partial(graph.forward, *pieces))

    def _pieces(self, state: Variables) -> tuple[list[Tensor], Function]:
        """The tensors that variables hold, and a function from them to their values."""
        return [v.value for v in state], lambda tensors: tensors

    def _keep(self, held: Tensor, after: Tensor) -> None:
        """Copies a new value into the held one."""
        held.copy_(after)

    def _read(self, logs: Any) -> Any:
        """What a step returns, as plain tensors."""
        return logs

    def test_step(self, step: Function, model: Any, *args: Any) -> Any:
        """The trainer has disabled gradients."""
        return self._read(step(model, to_tensors(*args)))

    def settle(self, model: Any) -> None:
        """Lays kernels out in memory as the native convolutions need them.

        Otherwise each use would copy from Keras's order of axes to the native one, and
        the backward pass back again.
        """
        super().settle(model)
        if self.mesh.size > 1:
            return  # the mesh lays out the parts
        for layer in model._flatten_layers():
            if isinstance(layer, BaseConv | BaseConvTranspose) and layer.rank == 2:
                for weight in layer.trainable_weights:
                    if len(weight.shape) == 4:
                        _lie(weight, NATIVE_ORDER[layer.data_format])

    def tune(self, optimizer: keras.optimizers.Optimizer) -> None:
        """One fused kernel for Adam and AdamW instead of nine passes over memory.

        It walks through memory, so moments must have their variables' memory order.
        """
        adam = isinstance(optimizer, keras.optimizers.Adam) and not optimizer.amsgrad
        if not adam or not hasattr(torch, "_fused_adam_"):
            return
        for moments in (optimizer._momentums, optimizer._velocities):
            for variable, held in zip(
                optimizer._trainable_variables, moments, strict=True
            ):
                if held.value.stride() != variable.value.stride():
                    held.value.data = _lying_like(variable.value.data, held.value.data)
        optimizer._parallel_update_step = functools.partial(_fused_adam, optimizer)

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
        slow = _slow_backward(q)
        short = slow and q.dtype == torch.bfloat16 and k.shape[1] <= SHORT
        if drop is not None and not short:
            return super().attention(q, k, v, mask, is_causal, bias, drop)
        if bias is not None or short:
            bias = _with_mask(bias, mask, is_causal, q, k)
            mask, is_causal = None, False
        if short:
            return _short_attention(q, k, v, bias, drop)
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

    def capture(self, function: Function) -> Function:
        """Records the ATen calls once per shape, and replays them.

        For a single token, a layer's Python costs as much as its arithmetic. The
        recording reads the weights in place, so it sees assignments.
        """
        recorded: dict[tuple[Any, ...], Function] = {}

        def replay(*arrays: Tensor) -> Any:
            shapes = tuple((x.shape, x.dtype, x.device) for x in arrays)
            if shapes not in recorded:
                with tracing:
                    if shapes not in recorded:  # another thread may have been first
                        recorded[shapes] = _record(function, arrays)
            return recorded[shapes](*arrays)

        return replay

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
        """Uses torch's own exporter, which Keras calls for fixed sides alone.

        For other sides Keras traces, which fails for layer norm and reflection.
        """
        optional("onnxscript", "Writing ONNX on torch", "export")
        dims = {
            name: torch.export.Dim(
                name,
                min=-(-side.least // side.multiple),
                max=side.most // side.multiple or None,
            )
            for name, side in network.sides.items()
        }
        shapes = {
            array.name: {
                axis: side.multiple * dims[side.name]
                for axis, side in enumerate(array.shape)
                if not isinstance(side, int)
            }
            for array in network.arrays
        }
        samples = {k: torch.as_tensor(x) for k, x in network.samples().items()}
        with quiet_export(), torch.no_grad():
            program = torch.onnx.export(
                _OneArgument(network).eval(),
                (),
                kwargs={"inputs": samples},
                dynamo=True,
                dynamic_shapes={"inputs": shapes},
                input_names=list(samples),
                output_names=list(network.names_of_outputs),
                verbose=False,
            )
            program.save(file)

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


class _OneArgument(torch.nn.Module):
    """Names the argument: Keras's layers take any, torch's exporter needs a name."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Any) -> Any:
        return self.network(inputs)


def _with_mask(
    bias: Tensor | None, mask: Tensor | None, is_causal: bool, q: Tensor, k: Tensor
) -> Tensor | None:
    """A bias for the scores that includes the mask and causality; None if neither."""
    mask = visible(q, k, mask, is_causal)
    if mask is None:
        return bias
    dtype = q.dtype if bias is None else bias.dtype
    # Large, but finite: a row may see nothing.
    hidden = torch.full((), 0.7 * torch.finfo(dtype).min, dtype=dtype, device=q.device)
    return ops.where(mask, torch.zeros_like(hidden) if bias is None else bias, hidden)


def _short_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    drop: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Plain attention in bfloat16, which keeps the probabilities.

    On a CPU, forward and backward passes take 0.4 to 0.6 times as long as float32's
    kernel with the casts to and from it, at 32 to 256 tokens; from 512 on they take
    longer (torch 2.13).
    """
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3))
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    shares = torch.softmax(scores, dim=-1)  # accumulates in float32
    if drop is not None:
        shares = drop(shares).to(v.dtype)
    return torch.matmul(shares, v).transpose(1, 2)


def _slow_backward(x: Tensor) -> bool:
    """Whether this is 16-bit attention on a CPU, in training.

    Its kernel's backward pass takes two to five times as long as float32's with the
    casts to and from it (torch 2.13).
    """
    return x.requires_grad and x.device.type == "cpu" and x.dtype.itemsize == 2


def _grad(outputs: Any, leaves: Any, cotangents: Any = None) -> list[Tensor]:
    """Gradients; zeros, as on JAX, for leaves that the outputs don't depend on."""
    return list(
        torch.autograd.grad(outputs, leaves, cotangents, materialize_grads=True)
    )


def _record(function: Function, arrays: Sequence[Tensor]) -> Function:
    """A flat graph of the ATen calls that `function(*arrays)` makes.

    Recorded outside of `compile`'s inference mode, where nothing can be differentiated.
    """
    with torch.inference_mode(False), torch.no_grad():
        graph = make_fx(function)(*(x.clone() for x in arrays))
    graph.graph.eliminate_dead_code()
    return simplify(graph).forward


def to_tensors(data: Any) -> Any:
    """A batch on the device: loaders leave it on the CPU, or as NumPy arrays."""
    return tree.map_structure(
        lambda x: None if x is None else ops.convert_to_tensor(x), data
    )


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
