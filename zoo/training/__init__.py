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
from zoo.training.progress import ProgressBar
from zoo.training.trackers.callback import LogTo

__all__ = [
    "ConstantThenLinear",
    "DynamicLossScale",
    "Engine",
    "LogTo",
    "Model",
    "OptimizerGroup",
    "Phase",
    "ProgressBar",
    "StopOnNaN",
    "Throughput",
    "WarmupCosine",
    "WarmupInverseSqrt",
    "WeightedMean",
    "engine",
    "input_gradient",
]
