"""A plan's configuration: the model, the devices and the training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from zoo.engine.layout import Mesh
from zoo.planning.step_memory import Attention
from zoo.store.names import PresetName


@dataclass(frozen=True)
class PlanConfig:
    """Estimate what a training run needs before starting it.

    Prints the memory per device with and without rematerialisation, whether it fits,
    how much data the devices exchange, and how many days the run takes. Allocates
    nothing. For example:

        zoo plan gpt2 --device rtx_4090 --precision mixed_bfloat16 --batch-size 8

        zoo plan gpt3_175b --mesh-data 128 --mesh-model 8 --shard-parameters
            --precision mixed_bfloat16 --attention flash --batch-size 1536
            --tokens 300e9 --device a100_80gb --picture plan.png

    Attributes:
        preset: a model's name, such as gpt2 or gpt3_175b, or a preset's folder.
        mesh_data: devices along the data axis (data parallelism). Each takes a share
            of the batch's rows, and all sum their gradients.
        mesh_model: devices along the model axis (tensor parallelism). They share the
            heads and hidden units of each weight and exchange activations in every
            block, so keep them within one machine.
        shard_parameters: also shard weights, gradients and optimizer state along the
            data axis, and gather weights when they are used (FSDP, ZeRO-3). Saves
            memory for one and a half times the communication.
        batch_size: rows per update, over all devices. 0: one row per micro-batch and
            device of the data axis.
        accumulate: micro-batches per update, computed one after the other. Saves
            activation memory; the sum of the gradients takes some.
        context_length: tokens per row. 0: the preset's.
        precision: the precision of the computation. Weights, gradients and optimizer
            state are always float32.
        optimizer: the optimizer. Its state per weight: two numbers for adamw and adam,
            one for momentum (SGD with momentum) and lion, none for sgd; muon keeps one
            for matrices and two for embeddings.
        ema: also keep a moving average of the weights.
        clip: clip gradients by their global norm. This keeps all of them in memory;
            otherwise each can be applied and freed as soon as it is computed.
        remat: recompute each block's activations in the backward pass: a third more
            computation for far less memory. The table shows both; this flag decides
            which must fit, and affects the time.
        attention: plain keeps each head's T·T attention map; flash does not. Keras
            uses a flash kernel on GPUs with JAX or torch if the dtypes allow it.
        device: the accelerator; an unknown name lists the known ones.
        device_memory: the device's memory in GB. 0: from its datasheet.
        device_tflops: the device's peak TFLOP/s in this precision. 0: from its
            datasheet.
        utilisation: the share of the peak FLOP/s that is reached, recomputation
            included. 0.3 to 0.5 is good for large models; small ones reach less.
        tokens: tokens to train on, such as 300e9. 0: 20 per parameter (Hoffmann et al.
            2022).
        picture: draw the memory as stacked bars into this PNG file.
    """

    preset: Annotated[PresetName, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
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
    json: Annotated[
        bool,
        tyro.conf.FlagCreatePairsOff,
        tyro.conf.arg(help="print JSON, for other programs."),
    ] = False

    @property
    def mesh(self) -> Mesh:
        """The mesh of devices."""
        return Mesh(self.mesh_data, self.mesh_model, self.shard_parameters)

    @property
    def rows(self) -> int:
        """Rows of the global batch."""
        return self.batch_size or self.mesh_data * self.accumulate


def check(config: PlanConfig, model_class: Any, model: Any) -> None:
    """Raises ValueError for impossible plans; the message names a possible value."""
    for name in ("mesh_data", "mesh_model", "accumulate"):
        _require(getattr(config, name) >= 1, name, "at least 1", config)
    for name in ("batch_size", "context_length", "tokens", "device_memory"):
        _require(getattr(config, name) >= 0, name, "at least 0", config)
    _require(config.device_tflops >= 0, "device_tflops", "at least 0", config)
    _require(0 < config.utilisation <= 1, "utilisation", "in (0, 1]", config)
    each = config.mesh_data * config.accumulate
    if config.rows % each:
        raise ValueError(
            f"batch_size={config.rows} rows can't be divided evenly among "
            f"mesh_data={config.mesh_data} devices and accumulate="
            f"{config.accumulate} micro-batches. Choose a multiple of {each}."
        )
    if config.shard_parameters and config.mesh_data == 1:
        raise ValueError(
            "shard_parameters needs a data axis of at least 2 devices, got "
            "mesh_data=1. Choose a larger mesh_data."
        )
    for name in getattr(model_class, "divided", ("num_heads",)):
        if getattr(model, name) % config.mesh_model:
            raise ValueError(
                f"mesh_model={config.mesh_model} must divide {name}="
                f"{getattr(model, name)} of {config.preset}. Choose a divisor of "
                f"{getattr(model, name)}."
            )


def _require(good: bool, name: str, wanted: str, config: PlanConfig) -> None:
    if not good:
        raise ValueError(f"{name} must be {wanted}, got {getattr(config, name)}.")
