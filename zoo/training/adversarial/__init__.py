"""Adversarial losses of a discriminator, which scores data, and a generator."""

from zoo.training.adversarial.losses import (
    LOSSES,
    AdversarialLoss,
    LossName,
    Tensor,
    gradient_penalty,
)

__all__ = ["AdversarialLoss", "LOSSES", "LossName", "Tensor", "gradient_penalty"]
