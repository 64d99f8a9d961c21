"""Noising paths from data to noise, and what networks predict along them."""

from zoo.layers.noising.continuous import (
    EDM,
    Cosine,
    FlowMatching,
    VarianceExploding,
    VariancePreserving,
)
from zoo.layers.noising.path import NoisingPath
from zoo.layers.noising.prediction import PREDICTIONS, Prediction
from zoo.layers.noising.tables import DDPMCosine, DDPMLinear
from zoo.layers.noising.times import TIME_LAWS, TimeLaw
from zoo.layers.noising.weights import LOSS_WEIGHTS, LossWeight

PATHS: dict[str, type[NoisingPath]] = {
    "ddpm_linear": DDPMLinear,
    "ddpm_cosine": DDPMCosine,
    "vp": VariancePreserving,
    "cosine": Cosine,
    "ve": VarianceExploding,
    "edm": EDM,
    "flow": FlowMatching,
}

__all__ = [
    "EDM",
    "LOSS_WEIGHTS",
    "PATHS",
    "PREDICTIONS",
    "TIME_LAWS",
    "Cosine",
    "DDPMCosine",
    "DDPMLinear",
    "FlowMatching",
    "LossWeight",
    "NoisingPath",
    "Prediction",
    "TimeLaw",
    "VarianceExploding",
    "VariancePreserving",
]
