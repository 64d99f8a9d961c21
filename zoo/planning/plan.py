"""Estimates what a training run needs before it is started.

Memory per device at each moment of the step; communication by kind; floating-point
operations and days. This is plain arithmetic over the model's variables, none of which
is allocated: GPT-3's 175 billion parameters take seconds.

Shapes: B batch, T tokens, D width, L layers, V vocabulary; N parameters.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo.engine.layout import MODEL, Table, replicated, stored_axes
from zoo.planning import step_memory
from zoo.planning.accelerators import Device, chosen_device
from zoo.planning.communication import communication
from zoo.planning.config import PlanConfig, check
from zoo.planning.cuts import Cuts
from zoo.planning.inventory import Inventory, Weight, inventory
from zoo.planning.moments import Moment, moments
from zoo.planning.step_memory import Sizes

ITEMSIZES = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}
# The compute-optimal number of tokens per parameter (Hoffmann et al. 2022, table 3).
TOKENS_PER_PARAMETER = 20


@dataclass(frozen=True)
class Plan:
    """What a run needs. Bytes are per device.

    Attributes:
        config: the plan's configuration.
        model: the model's configuration.
        device: the accelerator.
        num_parameters: parameters of the whole model.
        parameters: bytes of the weights.
        optimizer: bytes of the optimizer's variables.
        gradients: bytes of all gradients together.
        peaks: the moment of peak memory, without (False) and with (True)
            rematerialisation.
        activations: bytes that one block keeps, by tensor.
        communication: bytes that a device sends per update, by kind.
        flops: floating-point operations per update, over all devices.
        steps: updates needed for the tokens.
        replicated: matrices that no axis divides, with their sizes.
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
        """Peak bytes, with or without rematerialisation."""
        return self.parameters + self.optimizer + self.peaks[remat].bytes

    @property
    def fits(self) -> bool:
        """Whether the configured run fits into the device's memory."""
        return self.total(self.config.remat) <= self.device.memory

    @property
    def peak_flops(self) -> float:
        """Peak FLOP/s of one device in this precision."""
        half = self.config.precision != "float32"
        return self.device.half if half else self.device.single

    @property
    def seconds_per_step(self) -> float:
        """Seconds per update at the assumed utilisation."""
        achieved = self.peak_flops * self.config.utilisation
        return self.flops / (self.config.mesh.size * achieved)

    @property
    def days(self) -> float:
        """Days of training."""
        return self.steps * self.seconds_per_step / 86400


def plan(
    config: PlanConfig, model_config: Any = None, table: Table | None = None
) -> Plan:
    """Estimates what a run needs.

    Args:
        config: the run.
        model_config: a model configuration to use instead of that of `config.preset`.
        table: a layout table to use instead of the model class's.

    Raises:
        ValueError: the plan is impossible; the message says why.
    """
    device = chosen_device(config)
    model_class, model_config = _chosen_model(config, model_config)
    check(config, model_class, model_config)
    table = getattr(model_class, "layout", ()) if table is None else table
    held = inventory(
        model_class, model_config, config.precision, config.optimizer, config.ema
    )
    if config.mesh_model > 1 and not any(
        MODEL in stored_axes(w.path, w.shape, table, config.mesh) for w in held.weights
    ):
        raise ValueError(
            f"mesh_model must be 1 for {model_class.__name__}, which has no layout for "
            f"a model axis, got {config.mesh_model}."
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
            remat: max(moments(config, sizes, cuts, remat), key=lambda m: m.bytes)
            for remat in (False, True)
        },
        activations=step_memory.attention_tensors(sizes)
        | step_memory.feed_forward_tensors(sizes),
        communication=communication(config, sizes, cuts),
        flops=tokens * flops_per_token(model, held.weights, config.remat),
        steps=math.ceil(training_tokens / tokens),
        replicated=replicated(
            {w.path: w.shape for w in held.weights}, table, config.mesh
        ),
    )


def flops_per_token(model: Any, weights: Sequence[Weight], remat: bool) -> float:
    """Floating-point operations per token of the forward and backward pass.

    6N + 12·L·D·T: a multiplication and an addition per weight in the forward pass and
    twice that in the backward pass (Kaplan et al. 2020, section 2.1); the same for the
    T·T products of attention, causal or not (Chowdhery et al. 2022, appendix B).
    Embedding tables do not count unless they are tied to the output head.
    Rematerialisation repeats the blocks' forward pass.
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


def _chosen_model(config: PlanConfig, model_config: Any) -> tuple[Any, Any]:
    """The model's class, and its configuration with the requested context length."""
    from zoo.presets import registry

    if model_config is None:
        found = registry.find(config.preset)
        architecture, fields = found.architecture, found.fields
        model_config = registry.model_class(architecture).Config(**fields)
    else:
        architecture = registry.architecture_of(model_config)
    if architecture != "GPT":
        raise ValueError(
            f"zoo plan supports GPT only, but preset={config.preset!r} is a "
            f"{architecture}."
        )
    if config.context_length:
        model_config = dataclasses.replace(
            model_config, context_length=config.context_length
        )
    return registry.model_class(architecture), model_config


def ways_to_fit(asked: Plan) -> list[dict[str, Any]]:
    """The smallest sets of configuration changes that make the plan fit, if any."""
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
