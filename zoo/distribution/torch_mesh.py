"""PyTorch on a mesh: DTensors, with one process per device.

`torchrun` starts the processes; each gets the same global batches and keeps its rows.
Variables, batches and everything in between are DTensors: global arrays of which each
process holds a part. The recorded step is a flat list of local operations and
collectives, without DTensor's own overhead.
"""

import collections
import contextlib
import functools
import os
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import torch
import torch.distributed as dist
from keras import tree
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Replicate,
    Shard,
    distribute_tensor,
    init_device_mesh,
)
from torch.distributed.tensor.experimental import (
    implicit_replication,
    register_sharding,
)

from zoo.distribution.gathering import GathersAtUse
from zoo.engine.interface.devices import Devices
from zoo.engine.interface.kernels import plain_group_norm
from zoo.engine.layout import DATA, MODEL, Axes, Mesh
from zoo.engine.tensors import Function, Tensor, Variables
from zoo.engine.torch.engine import TorchEngine
from zoo.engine.torch.recording import to_tensors

# Gradients sent together, as in torch's own data parallelism.
BUCKET_BYTES = 25 * 2**20

# Padding treats each image and channel independently, but DTensor has no rule for it.
_APART = (Replicate(), Shard(0), Shard(1))
# What `register_sharding` takes: possible placements of outputs and of inputs.
Rules = list[tuple[list[Any], list[Any]]]


@register_sharding(torch.ops.aten.reflection_pad2d.default)
def _reflection_pad(x: Any, padding: Any) -> Rules:
    return [([lies], [lies, None]) for lies in _APART]


@register_sharding(torch.ops.aten.reflection_pad2d_backward.default)
def _reflection_pad_backward(gradient: Any, x: Any, padding: Any) -> Rules:
    return [([lies], [lies, lies, None]) for lies in _APART]


# DTensor's own convolution handlers use the parts as they are, channels cut or not, and
# place the result like the images. A convolution's second derivative swaps rows and
# channels, so that it was silently wrong (torch 2.13). Without these handlers our rules
# apply, and inputs with other placements are redistributed first.
for _op in (torch.ops.aten.convolution, torch.ops.aten.convolution_backward):
    DTensor._op_dispatcher._custom_op_handlers.pop(_op.default, None)


@register_sharding(torch.ops.aten.convolution.default)
def _convolve(
    x: Any,
    kernel: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output: Any,
    groups: int,
) -> Rules:
    whole, settings = Replicate(), [None] * 6
    bias_lies = None if bias is None else whole
    found = [
        ([lies], [lies, whole, bias_lies, *settings]) for lies in (whole, Shard(0))
    ]
    if bias is None and not transposed and groups == 1:
        # Partial sums over the channels.
        found.append(([Partial()], [Shard(1), Shard(1), None, *settings]))
    return found


class TorchMeshEngine(GathersAtUse, TorchEngine):
    """The engine for PyTorch on several devices."""

    MORE_DEVICES = (
        "Each process has one device: start that many with torchrun "
        "--nproc-per-node=N script.py."
    )

    @staticmethod
    def count_devices() -> int:
        """Counts processes: each has one device."""
        return int(os.environ.get("WORLD_SIZE", "1"))

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh)
        world = self.count_devices()
        if mesh.size != world:
            raise ValueError(
                f"data={mesh.data} x model={mesh.model} uses {mesh.size} devices, but "
                f"torchrun started {world} processes. Make the numbers equal."
            )
        self.cuda = torch.cuda.is_available()
        self.is_main = int(os.environ.get("RANK", "0")) == 0

    def enter(self) -> None:
        """Joins the processes; variables made from here on are cut."""
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if self.cuda:
            torch.cuda.set_device(local)
        if not dist.is_initialized():
            _initialize("nccl" if self.cuda else "gloo")
            TorchEngine.own_processes = True
        # An axis of one device would cut nothing and double DTensor's search.
        sizes = {DATA: self.mesh.data, MODEL: self.mesh.model}
        self.axes = tuple(k for k, n in sizes.items() if n > 1) or (DATA,)
        self.devices = init_device_mesh(
            "cuda" if self.cuda else "cpu",
            tuple(sizes[name] for name in self.axes),
            mesh_dim_names=self.axes,
        )
        self._same_randomness()
        self._context = contextlib.ExitStack()
        if self.cuda:
            self._context.enter_context(keras.device(f"cuda:{local}"))
        # Keras's layers make plain tensors: ranges, masks, constants.
        self._context.enter_context(implicit_replication())
        self._context.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Found a non-scalar tensor with numel=1")
        self._context.enter_context(self.patched_variables())
        self._context.enter_context(_read_by_numpy())

    def exit(self) -> None:
        """Undoes all but the process group, which later blocks reuse."""
        self._context.close()

    def refuse_others(self, training: bool) -> None:
        """Refuses nothing: the block itself joined the processes."""

    def wait(self) -> None:
        """Waits at a barrier."""
        dist.barrier()

    def _same_randomness(self) -> None:
        """Copies the first process's random states: shuffling, seeds and noise."""
        states = [(random.getstate(), np.random.get_state(), torch.get_rng_state())]
        dist.broadcast_object_list(states)
        python, numpy, generator = states[0]
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(generator)
        if self.cuda:
            torch.cuda.manual_seed_all(int(generator[:8].view(torch.int64).item()))

    # === Variables ===

    def _placements(self, axes: Sequence[str | None]) -> list[Any]:
        """One placement per mesh axis: the dimension that it cuts, if any."""
        return [
            Shard(axes.index(name)) if name in axes else Replicate()
            for name in self.axes
        ]

    def place(self, variable: Any, axes: Axes) -> None:
        """Cuts a variable that Keras has just made, with the first process's values."""
        value = distribute_tensor(
            variable._value.detach(), self.devices, self._placements(axes)
        )
        variable._value = torch.nn.Parameter(
            self._contiguous(value), requires_grad=variable.trainable
        )

    def gather(self, value: Tensor, axes: Axes) -> Tensor:
        """Differentiable: its backward pass scatters the summed gradient."""
        return value.redistribute(self.devices, self._placements(axes))

    def direct_assign(self, variable: Any, value: Any, original: Function) -> None:
        """Cuts a whole array, and redistributes a global one."""
        with torch.no_grad():
            held = variable._value
            self._keep(held, torch.as_tensor(value, device=held.device))

    def whole(self, value: Any) -> Any:
        """Gathers a value from all processes into a plain tensor."""
        value = getattr(value, "_value", value)
        return _full(value.detach()) if isinstance(value, torch.Tensor) else value

    def held_bytes(self, variables: Variables) -> list[int]:
        """Bytes in each process."""
        own = sum(_local(v._value).nbytes for v in variables)
        counts: list[Any] = [None] * self.mesh.size
        dist.all_gather_object(counts, own)
        return counts

    # === Steps ===

    def prepare(self, model: Any, data: Any) -> Any:
        """Makes batches global arrays, cut by rows if they divide."""
        return super().prepare(model, tree.map_structure(self._batch, data))

    def extremes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Two reductions, which DTensor joins over processes."""
        return torch.min(values), torch.max(values)

    # Keras's operations, whose arguments this engine makes global arrays.
    record = Devices.record

    def settle(self, model: Any) -> None:
        """Pins the outputs of layers that use whole weights to the data axis.

        When no choice needs communication, DTensor cuts along any axis and dimension,
        such as the rows of images, which then can't be flattened.
        """
        super().settle(model)
        for layer in model._flatten_layers():
            used = [weight._used_axes for weight in layer._trainable_variables]
            if used and not any(map(any, used)) and not hasattr(layer, "_pinned"):
                layer._pinned = True
                layer.call = self._pinned(layer.call)

    def _pinned(self, call: Function) -> Function:
        @functools.wraps(call)
        def pinned(*args: Any, **kwargs: Any) -> Any:
            return tree.map_structure(self.by_rows, call(*args, **kwargs))

        return pinned

    def _batch(self, x: Tensor | None) -> Tensor | None:
        if x is None or isinstance(x, DTensor):
            return x
        cut = x.dim() and self.mesh.data > 1 and x.shape[0] % self.mesh.data == 0
        axes = (DATA if cut else None,) + (None,) * (x.dim() - 1)
        local = x
        if cut:
            index = self.devices.get_local_rank(DATA)
            local = x.chunk(self.mesh.data)[index]
        return self._global(local, self._placements(axes), x.shape, x.stride())

    def _global(
        self,
        local: Tensor,
        placements: Sequence[Any],
        shape: Sequence[int],
        stride: Sequence[int],
    ) -> DTensor:
        return DTensor.from_local(
            local,
            self.devices,
            placements,
            run_check=False,
            shape=shape,
            stride=stride,
        )

    def train_step(self, step: Function, model: Any, *args: Any) -> Any:
        """As on one device, on variables as they are stored."""
        with self.stored():
            return super().train_step(step, model, *args)

    def _read(self, logs: Any) -> Any:
        return tree.map_structure(_full, logs)

    def _pieces(self, state: Variables) -> tuple[list[Tensor], Function]:
        """This process's parts of the variables, and a function from them to DTensors.

        The recorder sees only these parts.
        """
        values = [v._value.detach() for v in state]
        cut = [isinstance(v, DTensor) for v in values]
        pieces = [_local(v) for v in values]

        def whole(tensors: Sequence[Tensor]) -> list[Tensor]:
            return [
                self._global(
                    t, value.placements, value.shape, value.stride()
                ).requires_grad_(v.trainable)
                if c
                else t
                for v, t, value, c in zip(state, tensors, values, cut, strict=True)
            ]

        return pieces, whole

    def _keep(self, held: Tensor, after: Tensor) -> None:
        """Copies a new value, whatever its placements, into the held one."""
        if isinstance(held, DTensor):
            after = self._as(after, held.placements)
        held.copy_(after)

    def _as(self, value: Tensor, placements: Sequence[Any]) -> DTensor:
        if not isinstance(value, DTensor):
            value = DTensor.from_local(
                value, self.devices, self._placements(()), run_check=False
            )
        return value.redistribute(self.devices, placements)

    def average(self, gradients: list[Tensor], variables: Variables) -> list[Tensor]:
        """Completes partial sums, and cuts each gradient like its variable.

        Happens once per update: micro-batches are summed before. Results are in plain
        memory order, which fused optimizers need; a convolution's gradient comes
        transposed.
        """
        found: dict[int, Tensor] = {}
        sums: dict[tuple[Any, ...], list[int]] = collections.defaultdict(list)
        for place, (v, g) in enumerate(zip(variables, gradients, strict=True)):
            after = tuple(self._placements(v._layout))
            if isinstance(g, DTensor) and _sums_alone(g.placements, after):
                sums[g.placements, after, g.dtype].append(place)
            else:
                found[place] = self._contiguous(self._as(g, after))
        for (before, after, _), places in sums.items():
            for bucket in _buckets(places, gradients):
                parts = self._sum([gradients[i] for i in bucket], before, after)
                found |= zip(bucket, parts, strict=True)
        return [found[place] for place in range(len(gradients))]

    def _sum(
        self, gradients: Sequence[Tensor], before: Sequence[Any], after: Sequence[Any]
    ) -> list[Tensor]:
        """Sums over processes, sent as one array (Li et al. 2020, section 3.2.3)."""
        # The sum runs only along mesh axes with partial sums. Along the others the
        # array is declared replicated, though each process has its own.
        sums = [
            Partial() if b != a else Replicate()
            for b, a in zip(before, after, strict=True)
        ]
        flat = torch.cat([g.to_local().reshape(-1) for g in gradients])
        flat = DTensor.from_local(flat, self.devices, sums, run_check=False)
        flat = flat.redistribute(self.devices, self._placements(())).to_local()
        parts = flat.split([g.to_local().numel() for g in gradients])
        return [
            self._in_order(part.view(g.to_local().shape), after, g.shape)
            for g, part in zip(gradients, parts, strict=True)
        ]

    def _contiguous(self, x: DTensor) -> DTensor:
        local = x.to_local()
        # Always copied: see `_lying_like` in `zoo.engine.torch.memory_order`.
        local = torch.empty(local.shape, dtype=local.dtype, device=local.device).copy_(
            local
        )
        return self._in_order(local, x.placements, x.shape)

    def _in_order(
        self, local: Tensor, placements: Sequence[Any], shape: Sequence[int]
    ) -> DTensor:
        """A global array in plain memory order from this process's part of it."""
        stride = torch.empty(shape, device="meta").stride()
        return self._global(local, placements, shape, stride)

    def when(
        self, condition: Tensor, function: Callable[[], None], variables: Variables
    ) -> None:
        """Makes all processes read the same condition."""
        super().when(condition.full_tensor(), function, variables)

    def step_function(self, model: Any, name: str, step: Function) -> Function | None:
        """Makes `predict` take and return plain tensors."""
        # On torch, Keras refuses several steps per execution.
        if name != "predict_function" or model.steps_per_execution > 1:
            return None

        @torch.no_grad()
        def predict(data: Any) -> Any:
            outputs = step(tree.map_structure(self._batch, to_tensors(data[0])))
            return self._read(outputs)

        return predict

    def capture(self, function: Function) -> Function:
        """Returns the function: a recording would keep the gathered weights."""
        return function

    def by_rows(self, x: Tensor) -> Tensor:
        """Otherwise DTensor may cut rows along the model axis too, evenly or not."""
        if not isinstance(x, DTensor):
            return x
        cut = x.shape[0] % self.mesh.data == 0
        return self._as(x, self._placements((DATA if cut else None,)))

    def group_norm(
        self, x: Tensor, groups: int, gamma: Tensor, beta: Tensor, epsilon: float
    ) -> Tensor:
        """In plain operations: DTensor has no rule for the kernel's backward pass."""
        if not isinstance(x, DTensor):
            return super().group_norm(x, groups, gamma, beta, epsilon)
        return plain_group_norm(x, groups, gamma, beta, epsilon)

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
        """Each process runs its own kernel on its own rows and heads."""
        if not any(isinstance(x, DTensor) for x in (q, k, v)):
            return super().attention(q, k, v, mask, is_causal, bias, drop)
        parts = [DATA if q.shape[0] % self.mesh.data == 0 else None, None]
        placements = self._placements((*parts, MODEL, None))
        q, k, v = (self._as(x, placements).to_local() for x in (q, k, v))
        if mask is not None:
            rows = parts if mask.shape[0] > 1 else [None]
            mask = self._as(mask, self._placements(rows)).to_local()
        if bias is not None:
            bias = self._local_bias(bias, parts[0])
        shares = self._placements((parts[0], MODEL, None, None))

        def local(x: Tensor) -> Tensor:
            assert drop is not None
            whole = DTensor.from_local(x, self.devices, shares, run_check=False)
            return self._as(drop(whole), shares).to_local()

        dropped = None if drop is None else local
        attended = super().attention(q, k, v, mask, is_causal, bias, dropped)
        return DTensor.from_local(attended, self.devices, placements, run_check=False)

    def recurrent(
        self,
        cell: str,
        x: Tensor,
        state: Tensor,
        weights: Sequence[Tensor],
        mask: Any = None,
        backward: bool = False,
    ) -> None:
        """None: DTensor has no rules for the kernels, and the step is recorded."""

    def _local_bias(self, bias: Tensor, rows: str | None) -> Tensor:
        """This process's heads of a bias and, if they differ, its rows."""
        differ = bias.shape[0] > 1
        placements = self._placements((rows if differ else None, MODEL))
        whole = self._as(bias, placements)
        if differ or rows is None:
            return whole.to_local()
        # All rows share the bias: its gradient is the sum over all processes' rows.
        sums = [
            Partial() if name == rows else placement
            for name, placement in zip(self.axes, placements, strict=True)
        ]
        return whole.to_local(grad_placements=sums)

    def dropout(self, x: Tensor, rate: float, seed: Any) -> Tensor:
        """Draws one mask for the global batch; each process uses its part."""
        mask = keras.random.dropout(
            torch.ones(x.shape, device=x.device), rate, seed=seed
        )
        return x * mask.to(x.dtype)


def _sums_alone(before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Whether summing over processes is all that a tensor needs."""
    return before != after and all(
        b == a or (b == Partial() and a == Replicate())
        for b, a in zip(before, after, strict=True)
    )


def _buckets(places: Iterable[int], gradients: Sequence[Tensor]) -> Iterator[list[int]]:
    """Groups the positions of gradients that are sent together."""
    bucket: list[int] = []
    held = 0
    for place in places:
        size = gradients[place].to_local().nbytes
        if bucket and held + size > BUCKET_BYTES:
            yield bucket
            bucket, held = [], 0
        bucket.append(place)
        held += size
    yield bucket


@contextlib.contextmanager
def _read_by_numpy() -> Iterator[None]:
    """Within, `ops.convert_to_numpy` gathers DTensors; every process must call it."""
    DTensor.numpy = lambda x, **options: _full(x).numpy(**options)
    try:
        yield
    finally:
        del DTensor.numpy


def _local(x: Tensor) -> Tensor:
    """This process's part of a tensor."""
    return x.to_local() if isinstance(x, DTensor) else x


def _full(x: Tensor) -> Tensor:
    """The whole of a tensor, as a plain one."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def _initialize(backend: str) -> None:
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}
    if "RANK" not in os.environ:
        os.environ.update(alone | {"MASTER_PORT": "29500"})
    dist.init_process_group(backend)
