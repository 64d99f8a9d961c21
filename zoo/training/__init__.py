"""The training core: phases, optimizers, schedules and one engine per backend."""

from zoo.engine.base import Engine
from zoo.engine.current import engine, input_gradient
from zoo.training.callbacks import StopOnNaN, Throughput
from zoo.training.model import Model
from zoo.training.optimizers.group import OptimizerGroup
from zoo.training.optimizers.loss_scale import DynamicLossScale
from zoo.training.optimizers.schedules import (
    ConstantThenLinear,
    WarmupCosine,
    WarmupInverseSqrt,
)
from zoo.training.phases import Phase, WeightedMean

__all__ = [
    "ConstantThenLinear",
    "DynamicLossScale",
    "Engine",
    "Model",
    "OptimizerGroup",
    "Phase",
    "StopOnNaN",
    "Throughput",
    "WarmupCosine",
    "WarmupInverseSqrt",
    "WeightedMean",
    "engine",
    "input_gradient",
]
