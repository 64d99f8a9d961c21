"""Adversarial losses of a discriminator, which scores data, and a generator.

Goodfellow et al. 2014 (section 3), Mao et al. 2017 (least squares), Lim & Ye 2017
(hinge), Arjovsky et al. 2017 and Gulrajani et al. 2017 (Wasserstein).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from keras import ops

from zoo.engine.current import input_gradient

Tensor = Any
LossName = Literal["non_saturating", "minimax", "least_squares", "hinge", "wgan_gp"]


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of both players, elementwise over scores.

    Attributes:
        real: the discriminator's loss on real data, from their scores and the target
            for "real": 1, or less with label smoothing.
        fake: the discriminator's loss on generated data, from their scores.
        generator: the generator's loss on generated data, from the same scores.
        probabilistic: whether scores are logits of "real", so that D(x) is their
            sigmoid.
        has_target: whether `real` uses its target.
        penalised: whether the norm of the discriminator's gradient is penalised for
            deviating from 1.
    """

    real: Callable[[Tensor, float], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    probabilistic: bool = False
    has_target: bool = False
    penalised: bool = False

    def judgement(self, scores: Tensor) -> Tensor:
        """The scores for the logs: D(x) if they are logits."""
        return ops.sigmoid(scores) if self.probabilistic else scores


def _cross_entropy(scores: Tensor, target: float) -> Tensor:
    """-(target log D + (1 - target) log(1 - D)) for D = sigmoid(score)."""
    return ops.softplus(-scores) + (1.0 - target) * scores


LOSSES: dict[str, AdversarialLoss] = {
    # The generator maximises log D(G(z)): strong gradients where it fails.
    "non_saturating": AdversarialLoss(
        real=_cross_entropy,
        fake=ops.softplus,
        generator=lambda scores: ops.softplus(-scores),
        probabilistic=True,
        has_target=True,
    ),
    # The generator minimises log(1 - D(G(z))), whose gradient vanishes there.
    "minimax": AdversarialLoss(
        real=_cross_entropy,
        fake=ops.softplus,
        generator=lambda scores: -ops.softplus(scores),
        probabilistic=True,
        has_target=True,
    ),
    # Mao et al. 2017, equation 9: a = 0, b = c = 1.
    "least_squares": AdversarialLoss(
        real=lambda scores, target: 0.5 * ops.square(scores - target),
        fake=lambda scores: 0.5 * ops.square(scores),
        generator=lambda scores: 0.5 * ops.square(scores - 1.0),
        has_target=True,
    ),
    "hinge": AdversarialLoss(
        real=lambda scores, target: ops.relu(1.0 - scores),
        fake=lambda scores: ops.relu(1.0 + scores),
        generator=lambda scores: -scores,
    ),
    "wgan_gp": AdversarialLoss(
        real=lambda scores, target: -scores,
        fake=lambda scores: scores,
        generator=lambda scores: -scores,
        penalised=True,
    ),
}


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
) -> Tensor:
    """The mean of (|gradient of the critic| - 1)² between real and fake data.

    Gulrajani et al. 2017, equation 3. The critic must score each row independently:
    batch norm, which mixes rows, would invalidate the penalty (section 4).

    Args:
        critic: maps data to scores (B,) or (B, 1).
        real: real data (B, ...).
        fake: generated data (B, ...).
        mix: the share of the real row in each mixture, (B,).
    """
    mix = ops.reshape(mix, (-1, *(1,) * (len(real.shape) - 1)))
    gradients = input_gradient(critic, mix * real + (1.0 - mix) * fake)
    squares = ops.sum(ops.square(gradients), axis=tuple(range(1, len(real.shape))))
    # The square root has no derivative at 0.
    return ops.mean(ops.square(ops.sqrt(squares + 1e-12) - 1.0))
