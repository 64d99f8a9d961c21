"""Weights of the loss over time.

Shapes: times, and all results, have any one shape.
"""

from dataclasses import dataclass

from keras import ops

from zoo.configs.checks import check_choice, check_fields
from zoo.engine.tensors import Tensor
from zoo.layers.noising.path import SMALLEST
from zoo.layers.noising.prediction import Prediction

LOSS_WEIGHTS = ("uniform", "snr", "min_snr", "truncated", "edm", "elbo")


@dataclass(frozen=True)
class LossWeight:
    """How much each time's squared error counts.

    `kind` is one of

    - "uniform": 1, whatever the network predicts; for noise, DDPM's simple loss (Ho et
      al. 2020, arXiv 2006.11239), and with the prediction "edm" that paper's weight.

    or, as a weight of the squared error of the data,

    - "snr": the signal-to-noise ratio; uniform for noise;
    - "min_snr": min(SNR, gamma) (Hang et al. 2023, arXiv 2303.09556);
    - "truncated": max(SNR, 1) (Salimans & Ho 2022, arXiv 2202.00512, section 4);
    - "edm": (sigma² + sigma_data²) / (sigma · sigma_data)², for sigma / alpha (Karras
      et al. 2022, arXiv 2206.00364, table 1);
    - "elbo": -SNR'(t) / 2; the mean over uniform times of the weighted sum of squares
      is the variational bound's, in nats, less what times outside the range add
      (Kingma et al. 2021, arXiv 2107.00630, equation 17).

    Attributes:
        kind: the weight.
        gamma: the largest weight of "min_snr".

    Raises:
        ValueError: the kind is unknown, or gamma is not above 0.
    """

    kind: str = "uniform"
    gamma: float = 5.0

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice(self, "kind", LOSS_WEIGHTS)
        if not self.gamma > 0:
            raise ValueError(f"gamma must be above 0, got {self.gamma!r}.")

    def of(self, prediction: Prediction, t: Tensor) -> Tensor:
        """The weight of the squared error of the network's output."""
        path = prediction.path
        if self.kind == "uniform":
            return ops.ones_like(path.alpha(t))
        return self._of_data(prediction, t) * prediction.data_error(t)

    def _of_data(self, prediction: Prediction, t: Tensor) -> Tensor:
        path = prediction.path
        snr = path.snr(t)
        match self.kind:
            case "snr":
                return snr
            case "min_snr":
                return ops.minimum(snr, self.gamma)
            case "truncated":
                return ops.maximum(snr, 1.0)
            case "edm":
                return snr + 1.0 / prediction.sigma_data**2
            case _:
                alpha, sigma = path.alpha(t), ops.maximum(path.sigma(t), SMALLEST)
                turn = alpha * path.d_sigma(t) - sigma * path.d_alpha(t)
                # Factor by factor, since sigma³ underflows.
                return alpha / sigma * (turn / sigma) / sigma
