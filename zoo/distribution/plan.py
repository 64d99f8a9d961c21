"""What a training run would need, worked out before it is started.

Memory a device, by moments of the step; communication by kind; floating-point
operations and days. Plain arithmetic over the model's variables, of which none is
allocated: GPT-3's 175 billion parameters take seconds.

Shapes: B batch, T tokens, D width, L layers, V vocabulary; N parameters.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from zoo.distribution import activation_memory
from zoo.distribution.activation_memory import FLOAT32, Attention, Sizes
from zoo.distribution.layout import (
    DATA,
    MODEL,
    Axes,
    Mesh,
    Table,
    replicated,
    stored_axes,
)

ITEMSIZES = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}
# Devices add up gradients in lots of at most so many bytes: XLA's default on GPUs;
# that of torch's DDP is 25 MiB.
BUCKET = 30 * 2**20
# Tokens a parameter at which a given amount of computation trains best (Hoffmann et
# al. 2022, table 3).
TOKENS_PER_PARAMETER = 20


@dataclass(frozen=True)
class Device:
    """An accelerator, by its datasheet.

    Attributes:
        memory: bytes; GB are taken as 10^9, and what a datasheet's GB are above that,
            drivers and allocators take.
        half: peak FLOP/s of dense 16-bit products with float32 sums.
        single: peak FLOP/s in float32 (without TF32).
        bfloat16: whether it has bfloat16.
    """

    memory: float
    half: float
    single: float
    bfloat16: bool = True


def _device(gigabytes: float, half: float, single: float, **kwargs: bool) -> Device:
    return Device(gigabytes * 1e9, half * 1e12, single * 1e12, **kwargs)


# From the makers' datasheets: GB, dense 16-bit TFLOP/s, float32 TFLOP/s.
DEVICES = {
    "v100_16gb": _device(16, 125, 15.7, bfloat16=False),
    "v100_32gb": _device(32, 125, 15.7, bfloat16=False),
    "t4": _device(16, 65, 8.1, bfloat16=False),
    "a10": _device(24, 125, 31.2),
    "a100_40gb": _device(40, 312, 19.5),
    "a100_80gb": _device(80, 312, 19.5),
    "l4": _device(24, 121, 30.3),
    "l40s": _device(48, 362, 91.6),
    "h100": _device(80, 989, 67),
    "h200": _device(141, 989, 67),
    "b200": _device(180, 2250, 75),
    "rtx_3090": _device(24, 71, 35.6),
    "rtx_4090": _device(24, 165, 82.6),
    "rtx_5090": _device(32, 209, 104.8),
    "mi300x": _device(192, 1307, 163.4),
}


@dataclass(frozen=True)
class PlanConfig:
    """What a training run would need, before it is started.

    Memory a device with and without rematerialisation and whether it fits, how much
    the devices send each other, and how many days it takes. Nothing is allocated.

        zoo plan gpt2 --device rtx_4090 --precision mixed_bfloat16 --batch-size 8

        zoo plan gpt3_175b --mesh-data 128 --mesh-model 8 --shard-parameters
            --precision mixed_bfloat16 --attention flash --batch-size 1536
            --tokens 300e9 --device a100_80gb --picture plan.png

    Attributes:
        preset: a model by name, such as gpt2 or gpt3_175b, or a preset's folder.
        mesh_data: devices that share each batch. Each has its own rows, and all add
            up their gradients.
        mesh_model: devices that share each weight, heads and hidden units among them
            (tensor parallelism). They exchange activations in every block, so keep
            them within a machine.
        shard_parameters: cut weights, gradients and optimizer state along the data
            axis too, and gather weights where they are used (FSDP, ZeRO-3). Less
            memory for half as much communication again.
        batch_size: rows an update, over all devices. 0: one a micro-batch and device
            of the data axis.
        accumulate: micro-batches that a batch is cut into, one after the other. Less
            memory for activations; the gradients' sum takes some.
        context_length: tokens a row. 0: the preset's.
        precision: of the computation. Weights, gradients and optimizer state are
            float32 in all of them.
        optimizer: AdamW and Adam keep two numbers a weight, momentum (SGD with it) and
            Lion one, SGD none; Muon one a matrix, two an embedding.
        ema: keep a moving average of the weights as well.
        clip: clip gradients by their global norm. All of them have to wait for it;
            otherwise each can be applied and forgotten as soon as it is there.
        remat: recompute each block's activations in the backward pass: a third more
            computation for far less memory. The table shows both; this decides which
            one is to fit, and the time.
        attention: plain keeps every head's map of T·T numbers; flash does not. Keras
            uses such a kernel on a GPU with JAX or torch where the dtypes allow it.
        device: an accelerator by name; an unknown name lists those there are.
        device_memory: of the device, in GB; 0: that of its datasheet.
        device_tflops: its peak TFLOP/s in this precision; 0: that of its datasheet.
        utilisation: the share of the peak that is reached, recomputation counted.
            0.3 to 0.5 is good for large models; it is lower for small ones.
        tokens: to train on, such as 300e9. 0: 20 a parameter (Hoffmann et al. 2022).
        picture: where to draw the memory as stacked bars, a PNG.
    """

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    mesh_data: int = 1
    mesh_model: int = 1
    shard_parameters: bool = False
    batch_size: int = 0
    accumulate: int = 1
    context_length: int = 0
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    optimizer: Literal["adamw", "adam", "sgd", "momentum", "lion", "muon"] = "adamw"
    ema: bool = False
    clip: bool = True
    remat: bool = False
    attention: Attention = "plain"
    device: str = "a100_80gb"
    device_memory: float = 0.0
    device_tflops: float = 0.0
    utilisation: float = 0.4
    tokens: float = 0.0
    picture: Path | None = None

    @property
    def mesh(self) -> Mesh:
        """The devices."""
        return Mesh(self.mesh_data, self.mesh_model, self.shard_parameters)

    @property
    def rows(self) -> int:
        """Of the global batch."""
        return self.batch_size or self.mesh_data * self.accumulate


# === The model's variables ===


@dataclass(frozen=True)
class Weight:
    """A trainable variable that was never made.

    Attributes:
        path: its name with those of the layers around it.
        shape: of the whole.
        state: bytes of the optimizer's variables of the same shape, cut as it is.
    """

    path: str
    shape: tuple[int, ...]
    state: int = 0

    @property
    def bytes(self) -> int:
        """Of the whole, in float32."""
        return math.prod(self.shape) * FLOAT32


@dataclass(frozen=True)
class Inventory:
    """All that a model and its optimizer keep between steps.

    Attributes:
        weights: the trainable variables.
        scalars: bytes of the optimizer's other variables (counters, rates, loss
            scales), which every device holds.
    """

    weights: tuple[Weight, ...]
    scalars: int


@functools.cache
def inventory(
    model_class: Any, model_config: Any, precision: str, optimizer: str, ema: bool
) -> Inventory:
    """Builds the model without values, and lists its and the optimizer's variables."""
    import numpy as np

    from zoo.presets.registry import no_initialisation

    with no_initialisation():
        model = model_class(model_config, dtype=precision)
    weights = {
        variable.path.replace("/", "_"): Weight(variable.path, tuple(variable.shape))
        for variable in model.trainable_variables
    }
    scalars = 0
    scaled = precision == "mixed_float16"
    for variable in _state_for_stand_ins(weights, optimizer, ema, scaled):
        owner = _owner(variable.name, weights)
        if owner:
            state = weights[owner].state + weights[owner].bytes
            weights[owner] = dataclasses.replace(weights[owner], state=state)
        else:
            scalars += np.dtype(variable.dtype).itemsize
    return Inventory(tuple(weights.values()), scalars)


def _state_for_stand_ins(
    weights: dict[str, Weight], optimizer: str, ema: bool, scaled: bool
) -> list[Any]:
    """The variables that an optimizer keeps for weights of one element each.

    TensorFlow's optimizers take real variables only. These have the weights' names and
    numbers of dimensions, by which Muon chooses what to keep for each.
    """
    import keras

    from zoo.training.optimizer_group import OptimizerGroup

    stand_ins = [
        keras.Variable("zeros", shape=(1,) * len(weight.shape), name=name)
        for name, weight in weights.items()
    ]
    group = OptimizerGroup({"phase": _optimizer(optimizer, ema)}, loss_scaling=scaled)
    group.build_members({"phase": stand_ins}, lambda variable: True)
    return group.variables


def _owner(name: str, weights: dict[str, Weight]) -> str | None:
    """The weight that an optimizer's variable belongs to, `<weight>_<its own name>`."""
    parts = name.split("_")
    prefixes = ("_".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
    return next((prefix for prefix in prefixes if prefix in weights), None)


def _optimizer(chosen: str, ema: bool) -> Any:
    import keras

    optimizers: dict[str, tuple[str, dict[str, Any]]] = {
        "adamw": ("AdamW", {}),
        "adam": ("Adam", {}),
        "sgd": ("SGD", {}),
        "momentum": ("SGD", {"momentum": 0.9}),
        "lion": ("Lion", {}),
        # As in the recipes: matrices by Muon, embeddings by Adam.
        "muon": ("Muon", {"exclude_layers": ["positions", "embedding"]}),
    }
    name, arguments = optimizers[chosen]
    return getattr(keras.optimizers, name)(use_ema=ema, **arguments)


# === What a device holds ===


@dataclass(frozen=True)
class Moment:
    """What a device holds at one moment of a step, beyond weights and their state.

    Attributes:
        name: of the moment.
        activations: bytes that the backward pass still has to read or is writing.
        gradients: bytes of the weights' gradients alive.
        copies: bytes of weights gathered whole, or cast to the computation's dtype.
    """

    name: str
    activations: int
    gradients: int
    copies: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.activations + self.gradients + self.copies


@dataclass(frozen=True)
class Plan:
    """What a run needs. Bytes are a device's; time is everybody's.

    Attributes:
        config: what was asked.
        model: the model's configuration.
        device: the accelerator.
        num_parameters: of the whole model.
        parameters: bytes of weights.
        optimizer: bytes of the optimizer's variables.
        gradients: bytes of all gradients together.
        peaks: the moments of greatest need, without and with rematerialisation.
        activations: bytes that one block keeps, by tensor.
        communication: bytes that a device sends in one update, by kind.
        flops: floating-point operations of an update, on all devices together.
        steps: updates that the tokens make.
        replicated: matrices that no axis divides, and their sizes.
    """

    config: PlanConfig
    model: Any
    device: Device
    num_parameters: int
    parameters: int
    optimizer: int
    gradients: int
    peaks: dict[bool, Moment]
    activations: dict[str, int]
    communication: dict[str, float]
    flops: float
    steps: int
    replicated: dict[str, int]

    def total(self, remat: bool) -> int:
        """Bytes at the peak, with or without rematerialisation."""
        return self.parameters + self.optimizer + self.peaks[remat].bytes

    @property
    def fits(self) -> bool:
        """Whether the device's memory is enough for what was asked."""
        return self.total(self.config.remat) <= self.device.memory

    @property
    def peak_flops(self) -> float:
        """FLOP/s of one device at best, in this precision."""
        half = self.config.precision != "float32"
        return self.device.half if half else self.device.single

    @property
    def seconds_per_step(self) -> float:
        """At the utilisation that was assumed."""
        achieved = self.peak_flops * self.config.utilisation
        return self.flops / (self.config.mesh.size * achieved)

    @property
    def days(self) -> float:
        """Of training."""
        return self.steps * self.seconds_per_step / 86400


def plan(
    config: PlanConfig, model_config: Any = None, table: Table | None = None
) -> Plan:
    """Works out what a run needs.

    Args:
        config: the run.
        model_config: the model's configuration, instead of that of `config.preset`.
        table: the layout of its weights, instead of its class's.

    Raises:
        ValueError: something cannot be as asked; the message says what and why.
    """
    device = _chosen_device(config)
    model_class, model_config = _chosen_model(config, model_config)
    _check(config, model_class, model_config)
    table = getattr(model_class, "layout", ()) if table is None else table
    held = inventory(
        model_class, model_config, config.precision, config.optimizer, config.ema
    )
    if config.mesh_model > 1 and not any(
        MODEL in stored_axes(w.path, w.shape, table, config.mesh) for w in held.weights
    ):
        raise ValueError(
            f"{model_class.__name__} has no layout for a model axis. Use mesh_model=1, "
            f"got {config.mesh_model}."
        )
    return _planned(config, model_config, device, held, table)


def _planned(
    config: PlanConfig, model: Any, device: Device, held: Inventory, table: Table
) -> Plan:
    cuts = Cuts(held.weights, table, config.mesh)
    vocabulary = model.vocab_size // cuts.parts_of_vocabulary
    sizes = Sizes(
        model=model,
        rows=config.rows // config.mesh_data // config.accumulate,
        parts=config.mesh_model,
        stream_parts=cuts.parts_of_width,
        vocabulary=vocabulary,
        itemsize=ITEMSIZES[config.precision],
        attention=config.attention,
    )
    tokens = config.rows * model.context_length
    num_parameters = sum(math.prod(w.shape) for w in held.weights)
    training_tokens = config.tokens or TOKENS_PER_PARAMETER * num_parameters
    return Plan(
        config=config,
        model=model,
        device=device,
        num_parameters=num_parameters,
        parameters=cuts.stored(),
        optimizer=cuts.stored_state() + held.scalars,
        gradients=cuts.stored(),
        peaks={
            remat: max(_moments(config, sizes, cuts, remat), key=lambda m: m.bytes)
            for remat in (False, True)
        },
        activations=activation_memory.attention_tensors(sizes)
        | activation_memory.feed_forward_tensors(sizes),
        communication=_communication(config, sizes, cuts),
        flops=tokens * flops_per_token(model, held.weights, config.remat),
        steps=math.ceil(training_tokens / tokens),
        replicated=replicated(
            {w.path: w.shape for w in held.weights}, table, config.mesh
        ),
    )


class Cuts:
    """Bytes of the weights on one device, in groups that a step deals with at once."""

    def __init__(self, weights: Sequence[Weight], table: Table, mesh: Mesh) -> None:
        self.weights, self.mesh = weights, mesh
        self._axes = {
            w.path: stored_axes(w.path, w.shape, table, mesh) for w in weights
        }
        self.block = [w for w in weights if "block_0/" in w.path]
        embedding = [
            w for w in weights if w.path.endswith("token_embedding/embeddings")
        ]
        self.output = [
            w for w in weights if w.path.endswith("head/kernel")
        ] or embedding

    def stored(self, weights: Sequence[Weight] | None = None) -> int:
        """As they are kept."""
        weights = self.weights if weights is None else weights
        return sum(w.bytes // self._parts(w, (DATA, MODEL)) for w in weights)

    def stored_state(self) -> int:
        """The optimizer's variables of the weights' shapes."""
        return sum(w.state // self._parts(w, (DATA, MODEL)) for w in self.weights)

    def used(self, weights: Sequence[Weight] | None = None) -> int:
        """As they are computed with: whole along the data axis."""
        weights = self.weights if weights is None else weights
        return sum(w.bytes // self._parts(w, (MODEL,)) for w in weights)

    def gathered(self, weights: Sequence[Weight] | None = None) -> int:
        """Those of `used` that are kept in parts along the data axis."""
        weights = self.weights if weights is None else weights
        return self.used([w for w in weights if DATA in self._axes[w.path]])

    @property
    def output_axes(self) -> Axes:
        """Of the output head, as (vocabulary, width)."""
        axes = self._axes[self.output[0].path]
        return axes[::-1] if self.output[0].path.endswith("head/kernel") else axes

    @property
    def parts_of_vocabulary(self) -> int:
        """Into which each token's scores are cut."""
        return self.mesh.model if self.output_axes[0] == MODEL else 1

    @property
    def parts_of_width(self) -> int:
        """Into which the embedding, and by it the residual stream, is cut."""
        return self.mesh.model if self.output_axes[1] == MODEL else 1

    def _parts(self, weight: Weight, axes: tuple[str, ...]) -> int:
        sizes = {DATA: self.mesh.data, MODEL: self.mesh.model}
        cut = [axis for axis in self._axes[weight.path] if axis in axes]
        return math.prod(sizes[axis] for axis in cut if axis)


def _moments(config: PlanConfig, s: Sizes, cuts: Cuts, remat: bool) -> list[Moment]:
    """The moments of a step at which memory can be at its peak.

    Between the first block's and the last block's backward pass, activations go down
    and gradients up, block by block at the same rate: one of the ends is the peak.
    """
    kept = activation_memory.between_blocks(s, remat)
    each = s.stream * s.itemsize if remat else activation_memory.block(s)
    backward = activation_memory.block_backward(s, remat)
    everything, block = cuts.stored(), cuts.stored(cuts.block)
    # Float16's check for infinities waits for all gradients too. Micro-batches add
    # theirs to a sum at once.
    waits = config.accumulate == 1 and (
        config.clip or config.precision == "mixed_float16"
    )
    sums = 0 if config.accumulate == 1 else everything
    # Before it is scattered over the data axis, a gradient is whole.
    whole = cuts.used(cuts.block) if cuts.gathered() else block
    table = cuts.used(cuts.output)
    # The gradients that devices are just adding up exist twice.
    bucket = min(everything, BUCKET) if config.mesh_data > 1 else 0
    return [
        Moment(
            "at the loss",
            kept + activation_memory.head(s),
            sums,
            _copies(config, cuts, cuts.output if remat else cuts.weights),
        ),
        Moment(
            "in the last block's backward pass",
            kept + backward,
            sums + table + whole - block,
            _copies(
                config, cuts, cuts.block if remat else cuts.weights, next_too=remat
            ),
        ),
        Moment(
            "in the first block's backward pass",
            kept - (s.model.num_layers - 1) * each + backward,
            sums + (everything - block if waits else table) + whole - block,
            _copies(config, cuts, cuts.block, next_too=remat),
        ),
        # The lookup's gradient is scattered into a table of its own.
        Moment(
            "at the update",
            0,
            sums + (everything if waits else 0) + max(table, bucket),
            0,
        ),
    ]


def _copies(
    config: PlanConfig, cuts: Cuts, part: Sequence[Weight], next_too: bool = False
) -> int:
    """Bytes of weights that are there gathered or cast, for those in `part`.

    What the forward pass gathers or casts is there until the backward pass, since XLA
    does nothing twice; but rematerialised blocks do it anew. A block's gathering then
    begins while another one is computed with (`next_too`).
    """
    gathered = cuts.gathered(part) * (2 if next_too else 1)
    if config.precision == "float32":
        return gathered
    in_transit = cuts.gathered(cuts.block) if gathered else 0
    return cuts.used(part) // 2 + in_transit


# === What the devices send each other ===


def _communication(config: PlanConfig, s: Sizes, cuts: Cuts) -> dict[str, float]:
    """Bytes that a device sends in one update, by kind, around a ring.

    Of n devices, each sends (n-1)/n of the array to gather it or to scatter its sum,
    and twice that to reduce it for all (Rajbhandari et al. 2020, section 7). XLA leaves
    out the second gathering of weights where nothing is rematerialised.
    """
    sent: dict[str, float] = {}
    data = (config.mesh_data - 1) / config.mesh_data
    whole = cuts.gathered()
    if config.mesh_data > 1:
        sent["gradients, all-reduce (data)"] = 2 * data * (cuts.used() - whole)
    if whole:
        every = config.accumulate * data * whole
        sent["weights, all-gather for the forward pass (data)"] = every
        sent["weights, all-gather for the backward pass (data)"] = every
        sent["gradients, reduce-scatter (data)"] = data * whole
    if config.mesh_model > 1:
        sent |= _between_parts(config, s, cuts)
    return sent


def _between_parts(config: PlanConfig, s: Sizes, cuts: Cuts) -> dict[str, float]:
    """The activations of tensor parallelism (Shoeybi et al. 2019, section 3).

    Attention and feed-forward each end in a sum over the parts, and so do the gradients
    of their inputs. Where the residual stream is cut too, it is a scatter of the sum
    and a gathering before the next product: as many bytes.
    """
    model = (config.mesh_model - 1) / config.mesh_model
    stream = model * config.accumulate * s.whole_stream * s.itemsize
    logits = model * config.accumulate * s.logits * s.itemsize
    blocks = 2 * 2 * s.model.num_layers * stream
    sent = {
        "activations, all-reduce in the forward pass (model)": blocks,
        "activations, all-reduce in the backward pass (model)": blocks,
    }
    if config.remat:
        sent["activations, all-reduce when recomputed (model)"] = blocks
    if cuts.output_axes[1] == MODEL:
        # Cut by its width: a token's vector is gathered, and its scores are a sum.
        sent["embeddings, all-gather (model)"] = 2 * stream
        sent["logits, all-reduce (model)"] = 2 * logits
    elif cuts.output_axes[0] == MODEL:
        # Cut by the vocabulary: the lookup and the head's input gradient are sums.
        sent["embeddings, all-reduce (model)"] = 2 * 2 * stream
    return sent


# === Time ===


def flops_per_token(model: Any, weights: Sequence[Weight], remat: bool) -> float:
    """Floating-point operations of forward and backward pass, for one token.

    6N + 12·L·D·T: a multiplication and an addition for each weight in the forward
    pass and twice that in the backward pass (Kaplan et al. 2020, section 2.1); the
    same for the T·T products of attention, causal or not (Chowdhery et al. 2022,
    appendix B). Weights that are looked up do not count, unless they are the output
    head too. Rematerialisation repeats the blocks' forward pass.
    """
    looked_up = ["positions/embeddings"]
    if not model.tie_embeddings:
        looked_up.append("token_embedding/embeddings")
    multiplied = [w for w in weights if not w.path.endswith(tuple(looked_up))]
    in_blocks = [w for w in multiplied if "block_" in w.path]
    attention = 4 * model.num_layers * model.width * model.context_length
    forward = 2 * _count(multiplied) + attention
    again = 2 * _count(in_blocks) + attention if remat else 0
    return 3 * forward + again


def _count(weights: Sequence[Weight]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


# === What was asked ===


def _chosen_device(config: PlanConfig) -> Device:
    own = bool(config.device_memory and config.device_tflops)
    if config.device not in DEVICES and not own:
        raise ValueError(
            f"There is no device {config.device!r}. Known: {', '.join(DEVICES)}. For "
            "another one give both device_memory (GB) and device_tflops."
        )
    device = DEVICES.get(config.device, Device(0, 0, 0))
    if config.precision == "mixed_bfloat16" and not device.bfloat16:
        raise ValueError(
            f"{config.device} has no bfloat16. Use precision='mixed_float16'."
        )
    if config.device_memory:
        device = dataclasses.replace(device, memory=config.device_memory * 1e9)
    if config.device_tflops:
        flops = config.device_tflops * 1e12
        device = dataclasses.replace(device, half=flops, single=flops)
    return device


def _chosen_model(config: PlanConfig, model_config: Any) -> tuple[Any, Any]:
    """The model's class, and its configuration with the context that was asked for."""
    from zoo.presets import registry

    if model_config is None:
        found = registry.find(config.preset)
        architecture, fields = found.architecture, found.fields
        model_config = registry.model_class(architecture).Config(**fields)
    else:
        architecture = registry.architecture_of(model_config)
    if architecture != "GPT":
        raise ValueError(
            f"The activations of {architecture} are not worked out yet; those of GPT "
            f"are. Received: preset={config.preset!r}."
        )
    if config.context_length:
        model_config = dataclasses.replace(
            model_config, context_length=config.context_length
        )
    return registry.model_class(architecture), model_config


def _check(config: PlanConfig, model_class: Any, model: Any) -> None:
    for name in ("mesh_data", "mesh_model", "accumulate"):
        _require(getattr(config, name) >= 1, name, "from 1", config)
    for name in ("batch_size", "context_length", "tokens", "device_memory"):
        _require(getattr(config, name) >= 0, name, "from 0", config)
    _require(config.device_tflops >= 0, "device_tflops", "from 0", config)
    _require(0 < config.utilisation <= 1, "utilisation", "in (0, 1]", config)
    each = config.mesh_data * config.accumulate
    if config.rows % each:
        raise ValueError(
            f"A batch of batch_size={config.rows} rows can't be cut into equal parts "
            f"for mesh_data={config.mesh_data} devices and accumulate="
            f"{config.accumulate} micro-batches. Choose a multiple of {each}."
        )
    if config.shard_parameters and config.mesh_data == 1:
        raise ValueError(
            "shard_parameters cuts weights along the data axis, but mesh_data=1. "
            "Choose mesh_data from 2."
        )
    for name in getattr(model_class, "divided", ("num_heads",)):
        if getattr(model, name) % config.mesh_model:
            raise ValueError(
                f"mesh_model={config.mesh_model} devices can't share {name}="
                f"{getattr(model, name)} of {config.preset}. Choose a divisor of "
                f"{getattr(model, name)}."
            )


def _require(good: bool, name: str, wanted: str, config: PlanConfig) -> None:
    if not good:
        raise ValueError(f"{name} must be {wanted}, got {getattr(config, name)}")


def ways_to_fit(asked: Plan) -> list[dict[str, Any]]:
    """The fewest changes to the configuration that make it fit, if any do."""
    config = asked.config
    changes: dict[str, Any] = {
        "remat": True,
        "accumulate": config.rows // config.mesh_data,
        "shard_parameters": config.mesh_data > 1,
        "attention": "plain" if config.precision == "float32" else "flash",
    }
    for number in range(1, len(changes) + 1):
        found = []
        for names in itertools.combinations(changes, number):
            change = {name: changes[name] for name in names}
            if any(getattr(config, name) == value for name, value in change.items()):
                continue
            if plan(dataclasses.replace(config, **change), asked.model).fits:
                found.append(change)
        if found:
            return found
    return []
