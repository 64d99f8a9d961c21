"""The training core: phases, optimizers, schedules and an engine a backend."""

from zoo.training.callbacks import StopOnNaN, Throughput
from zoo.training.engine import Engine, engine, input_gradient
from zoo.training.loss_scale import DynamicLossScale
from zoo.training.model import Model
from zoo.training.optimizer_group import OptimizerGroup
from zoo.training.phases import Phase, WeightedMean
from zoo.training.schedules import (
    ConstantThenLinear,
    WarmupCosine,
    WarmupInverseSqrt,
)

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
