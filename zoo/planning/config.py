"""What a plan is asked: the model, the devices and the training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from zoo.engine.layout import Mesh
from zoo.planning.step_memory import Attention
from zoo.store.names import PresetName


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

    @property
    def mesh(self) -> Mesh:
        """The devices."""
        return Mesh(self.mesh_data, self.mesh_model, self.shard_parameters)

    @property
    def rows(self) -> int:
        """Of the global batch."""
        return self.batch_size or self.mesh_data * self.accumulate


def check(config: PlanConfig, model_class: Any, model: Any) -> None:
    """Raises ValueError for what cannot be, with what could."""
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
