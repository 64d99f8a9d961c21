"""Training on PyTorch: the step's ATen calls, recorded once and replayed.

Keras's layers cost more Python than a small model's arithmetic. `make_fx` records what
a step, its backward pass and its optimizers do as a flat list of calls; replaying
them gives the same numbers. A step that looks at values (dropout from a seed, a loss
scale's overflow check) can't be recorded and runs eagerly.
"""

import functools
import logging

import keras
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
from zoo.engine.torch import recurrent as engine_torch_recurrent
from zoo.engine.torch.graph import simplify
from zoo.engine.tracing import tracing
from zoo.extras import optional

LOOKS_AT_VALUES = (
    DataDependentOutputException,
    GuardOnDataDependentSymNode,
    UnsupportedFakeTensorException,
)
# Keys up to which attention's formula is the faster one in bfloat16 on a CPU.
SHORT = 256
# Of a kernel (H, W, in, out), by the format of the pictures: (out, in, H, W) or
# (out, H, W, in).
NATIVE_ORDER = {"channels_first": (3, 2, 0, 1), "channels_last": (3, 0, 1, 2)}


class TorchEngine(Engine):
    """See `zoo.engine.base.Engine`."""

    fuses = False
    image_format = "channels_first"
    # Whether the processes that there are were joined by `zoo.distribution.use`.
    own_processes = False
    _recording = False

    def refuse_others(self, training):
        """Processes that would each train alone; a distribution of Keras's.

        DistributedDataParallel sums what `backward` leaves in `.grad`, and the step
        takes its gradients elsewhere.
        """
        if not training:
            return
        own = TorchEngine.own_processes or not torch.distributed.is_available()
        if not own and torch.distributed.is_initialized():
            processes = torch.distributed.get_world_size()
            if processes > 1:
                raise ValueError(
                    f"torch.distributed has {processes} processes, of which each would "
                    "train its own model: the step takes no part in "
                    "DistributedDataParallel or init_process_group. Leave them out, "
                    "and put the model, compile and fit into\n\n"
                    f"    with zoo.distribution.use(data={processes}):"
                )
        if keras.distribution.distribution() is not None:
            raise ValueError(
                "keras.distribution was set, of which Keras takes no notice on torch. "
                "Put the model, compile and fit into\n\n"
                "    with zoo.distribution.use(data=-1):  # in torchrun's processes"
            )

    @torch.no_grad()
    def train_step(self, step, model, data):
        """Replays the recorded step; runs it eagerly where it can't be recorded.

        Gradients are on only where they are asked for.
        """
        data = _tensors(data)
        # Eager calls are dear on several devices, whatever the length of the loop.
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

    def extremes(self, values):
        """In one pass."""
        return torch.aminmax(values)

    def whole_step(self, model, function):
        """State that the losses change is put back after an error.

        That is cheap for moving statistics and seeds. A copy of the weights would cost
        a few percent of a step: once an optimizer has written, a note says so.
        """
        if model.run_eagerly:
            return super().whole_step(model, function)
        state = loss_state(model)
        # By the smallest things that an optimizer writes one sees whether it has.
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

        def run(*args):
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

    def is_tracing(self):
        """While a step is recorded nothing is computed."""
        return self._recording

    def _record_step(self, step, model, structure, batch):
        """A function of a batch's tensors that does one step.

        None if the step looks at values. `structure` is the batch's, None where the
        batch has None.
        """
        state = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        pieces, whole = self._pieces(state)

        @torch.no_grad()
        def recorded(*tensors):
            held, rest = whole(tensors[: len(state)]), iter(tensors[len(state) :])
            flat = [None if x is None else next(rest) for x in tree.flatten(structure)]
            # State is an argument too: what the recorder does not know as one, it
            # takes for a constant, and burns in decisions that hang on it.
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

    def _pieces(self, state):
        """The tensors that variables hold, and what makes of them the values to use."""
        return [v.value for v in state], lambda tensors: tensors

    def _keep(self, held, after):
        """Puts a new value into the held one."""
        held.copy_(after)

    def _read(self, logs):
        """What a step returns, as plain tensors."""
        return logs

    def test_step(self, step, model, data):
        """The trainer has switched gradients off."""
        return self._read(step(model, _tensors(data)))

    def settle(self, model):
        """Lays kernels out in memory as the native convolutions want them.

        Keras's order of axes would be copied into that one at each use, and again on
        the way back.
        """
        super().settle(model)
        if self.mesh.size > 1:
            return  # their parts are the mesh's to lay out
        for layer in model._flatten_layers():
            if isinstance(layer, BaseConv | BaseConvTranspose) and layer.rank == 2:
                for weight in layer.trainable_weights:
                    if len(weight.shape) == 4:
                        _lie(weight, NATIVE_ORDER[layer.data_format])

    def tune(self, optimizer):
        """One fused kernel for Adam and AdamW instead of nine passes over memory.

        It walks through memory, so that moments have to lie as their variables do.
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

    def gradients(self, function, variables, inputs=()):
        """`torch.autograd.grad`: gradients never reach a phase's frozen networks."""
        inputs = [x.detach().requires_grad_() for x in inputs]
        with torch.enable_grad():
            objective, aux = function(*inputs)
        aux = tree.map_structure(lambda x: x.detach(), aux)
        leaves = [v.value for v in variables] + inputs
        gradients = _grad(objective, leaves)
        return aux, gradients[: len(variables)], gradients[len(variables) :]

    def linearize(self, function, variables):
        """The graph of `function()` stays alive in the closure."""
        with torch.enable_grad():
            value = function()
        outputs = tree.flatten(value)

        def pullback(cotangents):
            return _grad(outputs, [v.value for v in variables], cotangents)

        return tree.map_structure(lambda x: x.detach(), value), pullback

    def repeat(self, function, count):
        """Eager, so a plain loop: autograd frees each pass's graph."""
        return unrolled(function, count)

    def when(self, condition, function, variables):
        """Reads the condition on the host."""
        del variables
        if bool(condition):
            function()

    def attention(self, q, k, v, mask=None, is_causal=False, bias=None, drop=None):
        """The kernel takes a bias or a mask, and causality with neither."""
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

    def recurrent(self, cell, x, state, weights, mask=None, backward=False):
        """Without the Python of a step for each token."""
        if not engine_torch_recurrent.serves(x):
            return None
        return engine_torch_recurrent.read(cell, x, state, weights, mask, backward)

    def reflect(self, x, size, axes):
        """The kernel wants the axes last."""
        planes = torch.movedim(x, axes, (2, 3))
        padded = super().reflect(planes, size, (2, 3))
        return torch.movedim(padded, (2, 3), axes)

    def normal(self, shape, seed):
        """From torch's own generator, whose state is saved too.

        Seeding another one waits for the seed's value, and a step that looks at values
        can't be recorded; it is done for a seed that was asked for.
        """
        if seed._initial_seed is not None:
            return super().normal(shape, seed)
        return torch.randn(tuple(shape), device=get_device())

    def dropout(self, x, rate, seed):
        """On a CPU by 15 random bits an element.

        torch draws each from Bernoulli's distribution there, which takes more than
        twice as long, a tenth of a small transformer's step.
        """
        if seed._initial_seed is not None or x.device.type != "cpu":
            return super().dropout(x, rate, seed)
        # Four to a word, whose sign torch leaves out.
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_()
        bits = words.view(torch.int16)[: x.numel()].bitwise_and_(2**15 - 1)
        kept = bits.view(x.shape) >= round(rate * 2**15)
        return x * (kept.to(x.dtype) / (1 - rate))

    def input_gradient(self, function, x):
        """`create_graph` keeps the second order."""
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        return gradient

    def compile(self, function, variables):
        """Eager: torch.compile costs a minute on a CPU. See `capture`."""
        del variables

        @torch.inference_mode()
        def call(*args):
            return function(*tree.map_structure(ops.convert_to_tensor, args))

        return call

    def capture(self, function):
        """Records the ATen calls once a shape, and replays them.

        A layer's Python costs as much as its arithmetic when there is one token to
        do. The recording reads the weights where they lie, so assignments are seen.
        """
        recorded = {}

        def replay(*arrays):
            shapes = tuple((x.shape, x.dtype, x.device) for x in arrays)
            if shapes not in recorded:
                with tracing:
                    if shapes not in recorded:  # another thread may have been first
                        recorded[shapes] = _record(function, arrays)
            return recorded[shapes](*arrays)

        return replay

    def write(self, array, update, index):
        """In place."""
        index = torch.as_tensor(index, device=array.device)
        places = index + torch.arange(update.shape[1], device=array.device)
        return array.index_copy_(1, places, update.to(array.dtype))

    def adopted(self, array, dtype):
        """Keras would copy it first; torch knows no bfloat16 of NumPy's."""
        if array.dtype.name == "bfloat16":
            return super().adopted(array.astype("float32"), dtype)
        return torch.from_numpy(array).to(get_device(), to_torch_dtype(dtype))

    def export_onnx(self, network, file):
        """By torch's own exporter, which Keras calls for fixed sides alone.

        For others Keras traces, and then neither layer norm nor reflection passes.
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

    def random_state(self):
        """The CPU's generator, and every GPU's."""
        state = {"cpu": torch.get_rng_state().numpy()}
        for index, generator in enumerate(torch.cuda.get_rng_state_all()):
            state[f"cuda{index}"] = generator.numpy()
        return state

    def set_random_state(self, state):
        """The inverse; GPUs that aren't there are passed over."""
        torch.set_rng_state(torch.from_numpy(state["cpu"]))
        for index in range(torch.cuda.device_count()):
            if f"cuda{index}" in state:
                saved = torch.from_numpy(state[f"cuda{index}"])
                torch.cuda.set_rng_state(saved, index)

    def device_names(self):
        count = torch.cuda.device_count()
        return [*map(torch.cuda.get_device_name, range(count)), "cpu"]

    def peak_memory(self):
        """Counted on CUDA only."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated()
        return None


class _OneArgument(torch.nn.Module):
    """Keras's layers take any arguments; torch's exporter wants their names."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, inputs):
        return self.network(inputs)


def _with_mask(bias, mask, is_causal, q, k):
    """What is added to the scores, if anything, so that nobody looks elsewhere."""
    mask = visible(q, k, mask, is_causal)
    if mask is None:
        return bias
    dtype = q.dtype if bias is None else bias.dtype
    # Large, and finite for rows that see nothing.
    hidden = torch.full((), 0.7 * torch.finfo(dtype).min, dtype=dtype, device=q.device)
    return ops.where(mask, torch.zeros_like(hidden) if bias is None else bias, hidden)


def _short_attention(q, k, v, bias, drop):
    """Attention's formula in bfloat16, its probabilities kept.

    On a CPU forward and back 0.4 to 0.6 times what float32's kernel takes with the
    casts there and back, at 32 to 256 tokens; from 512 on it is slower (torch 2.13).
    """
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3))
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    shares = torch.softmax(scores, dim=-1)  # which adds in float32 inside
    if drop is not None:
        shares = drop(shares).to(v.dtype)
    return torch.matmul(shares, v).transpose(1, 2)


def _slow_backward(x) -> bool:
    """Is this a CPU's 16-bit attention in training?

    Its kernel's backward pass takes two to five times as long as float32's, with the
    casts there and back (torch 2.13).
    """
    return x.requires_grad and x.device.type == "cpu" and x.dtype.itemsize == 2


def _grad(outputs, leaves, cotangents=None):
    """Gradients; zeros, as JAX gives, for what the outputs don't depend on."""
    return list(
        torch.autograd.grad(outputs, leaves, cotangents, materialize_grads=True)
    )


def _record(function, arrays):
    """A flat graph of the ATen calls that `function(*arrays)` makes.

    Recorded out of `compile`'s inference mode, in which nothing can be differentiated.
    """
    with torch.inference_mode(False), torch.no_grad():
        graph = make_fx(function)(*(x.clone() for x in arrays))
    graph.graph.eliminate_dead_code()
    return simplify(graph).forward


def _tensors(data):
    """A batch on the device: loaders leave it on the CPU, or as NumPy's arrays."""
    return tree.map_structure(
        lambda x: None if x is None else ops.convert_to_tensor(x), data
    )


def _fused_adam(optimizer, gradients, variables, learning_rate):
    """Adam's update by torch's fused kernel, with Keras's arithmetic.

    Keras corrects the bias in the rate and adds epsilon to the uncorrected root
    (Kingma & Ba 2015, end of section 2). The kernel corrects by the count of steps;
    told that there were endlessly many, it corrects nothing.
    """
    first = variables[0].value
    count = ops.cast(optimizer.iterations + 1, first.dtype)
    root = torch.sqrt(1 - torch.pow(optimizer.beta_2, count))
    rate = ops.cast(learning_rate, first.dtype) * root
    rate = rate / (1 - torch.pow(optimizer.beta_1, count))
    index = [optimizer._get_variable_index(v) for v in variables]
    steps = torch.full((), 1e9, device=first.device)
    values = [v.value for v in variables]
    # The kernel walks through memory and takes all arrays to lie alike; a convolution's
    # gradient comes transposed. What does not lie in the order of its axes, the kernel
    # would copy first: it is shown them in the order in which they lie.
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


def _lie(weight, order):
    """The same values, in memory in that order of their axes."""
    held = weight.value
    inverse = [order.index(axis) for axis in range(len(order))]
    held.data = held.data.permute(order).contiguous().permute(inverse)


def _order_in_memory(value):
    """Its axes, from the one with the longest stride to the one with the shortest."""
    strides = value.stride()
    return sorted(range(value.dim()), key=lambda axis: -strides[axis])


def _lying_like(value, gradient):
    """The gradient in the memory order of its variable.

    Kernels' gradients are copied in any case: while a step is recorded, torch predicts
    other strides than its convolutions then return.
    """
    if gradient.dim() <= 2 and gradient.stride() == value.stride():
        return gradient
    return torch.empty_like(value).copy_(gradient)
