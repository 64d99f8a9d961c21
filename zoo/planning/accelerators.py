"""Memory and speed of known accelerators."""

import dataclasses
from dataclasses import dataclass

from zoo.planning.config import PlanConfig


@dataclass(frozen=True)
class Device:
    """An accelerator, as its datasheet describes it.

    Attributes:
        memory: bytes. A GB counts as 10^9; what a datasheet's GB hold beyond that is
            left to drivers and allocators.
        half: peak FLOP/s of dense 16-bit products with float32 accumulation.
        single: peak FLOP/s in float32 (without TF32).
        bfloat16: whether the device supports bfloat16.
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


def chosen_device(config: PlanConfig) -> Device:
    """The device of a plan, with the plan's overrides of its datasheet applied.

    Raises:
        ValueError: the device is unknown, or lacks the precision.
    """
    own = bool(config.device_memory and config.device_tflops)
    if config.device not in DEVICES and not own:
        raise ValueError(
            f"Unknown device {config.device!r}. Known devices: {', '.join(DEVICES)}. "
            "For another one, give both device_memory (GB) and device_tflops."
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
