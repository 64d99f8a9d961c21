"""What a network predicts at a noisy x_t, and the data and noise that follow from it.

Shapes: B batch; x, data, noise and outputs (B, ...), times (B,) or one time.
"""

from dataclasses import dataclass, field

from keras import ops

from zoo.configs.checks import check_choice, check_fields
from zoo.engine.tensors import Tensor
from zoo.layers.noising.path import SMALLEST, NoisingPath, expanded, times

PREDICTIONS = ("noise", "data", "velocity", "flow", "edm")


@dataclass(frozen=True)
class Prediction:
    """How a network's output is read, and what its input is scaled by.

    `kind` is one of

    - "noise": as DDPM (Ho et al. 2020, arXiv 2006.11239), equation 14;
    - "data": x_0;
    - "velocity": alpha · noise - sigma · data (Salimans & Ho 2022, arXiv 2202.00512,
      appendix D);
    - "flow": dx/dt = alpha' · data + sigma' · noise, of flow matching (Lipman et al.
      2023, arXiv 2210.02747);
    - "edm": the data, preconditioned as c_skip · x + c_out · output of a network with
      input c_in · x and time c_noise (Karras et al. 2022, arXiv 2206.00364, table 1).
      On paths that scale the data, x / alpha takes the place of the paper's x.

    All results are finite at all times. Noise determines no data where the path leaves
    none, so that combination is refused.

    Attributes:
        path: the noising path.
        kind: what the network predicts.
        sigma_data: the data's standard deviation, for "edm".

    Raises:
        ValueError: the kind is unknown, sigma_data is not above 0, or noise is to be
            predicted on a path that leaves no data at time 1.
    """

    path: NoisingPath
    kind: str = "noise"
    sigma_data: float = field(default=0.5)

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice(self, "kind", PREDICTIONS)
        if not self.sigma_data > 0:
            raise ValueError(f"sigma_data must be above 0, got {self.sigma_data!r}.")
        if self.kind == "noise" and not self.path.keeps_data:
            raise ValueError(
                f"The path {self.path.name!r} leaves no data at time 1, so that the "
                "noise does not say what the data were. Predict 'velocity', 'data' or "
                "'flow' on it."
            )

    def inputs(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the network gets: x, scaled for "edm", and times of the shape of t.

        Times are t itself, or EDM's c_noise = log(sigma) / 4.
        """
        if self.kind != "edm":
            return x, times(t)
        _, _, scale = self._edm(expanded(t, x))
        ratio = ops.maximum(self.path.ratio(t), SMALLEST)
        return scale * x, 0.25 * ops.log(ratio)

    def target(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The network's ideal output."""
        path, t = self.path, expanded(t, data)
        match self.kind:
            case "noise":
                return noise
            case "data":
                return data
            case "velocity":
                return path.alpha(t) * noise - path.sigma(t) * data
            case "flow":
                return path.velocity(data, noise, t)
            case _:
                skip, out, _ = self._edm(t)
                noisy = path.noised(data, noise, t)
                return (data - skip * noisy) / ops.maximum(out, SMALLEST)

    def estimates(self, x: Tensor, output: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Data and noise with alpha · data + sigma · noise = x."""
        path, t = self.path, expanded(t, x)
        alpha, sigma = path.alpha(t), path.sigma(t)
        match self.kind:
            case "noise":
                data = (x - sigma * output) / ops.maximum(alpha, SMALLEST)
                return data, output
            case "velocity":
                square = ops.square(alpha) + ops.square(sigma)
                return (
                    (alpha * x - sigma * output) / square,
                    (sigma * x + alpha * output) / square,
                )
            case "flow":
                d_alpha, d_sigma = path.d_alpha(t), path.d_sigma(t)
                turn = ops.maximum(alpha * d_sigma - sigma * d_alpha, SMALLEST)
                return (
                    (d_sigma * x - sigma * output) / turn,
                    (alpha * output - d_alpha * x) / turn,
                )
            case "data":
                data = output
            case _:
                skip, out, _ = self._edm(t)
                data = skip * x + out * output
        return data, (x - alpha * data) / ops.maximum(sigma, SMALLEST)

    def data_error(self, t: Tensor) -> Tensor:
        """The squared error of the data per squared error of the output."""
        path = self.path
        alpha, sigma = path.alpha(t), path.sigma(t)
        match self.kind:
            case "noise":
                return ops.square(sigma / ops.maximum(alpha, SMALLEST))
            case "data":
                return ops.ones_like(alpha)
            case "velocity":
                return ops.square(sigma / (ops.square(alpha) + ops.square(sigma)))
            case "flow":
                turn = alpha * path.d_sigma(t) - sigma * path.d_alpha(t)
                return ops.square(sigma / ops.maximum(turn, SMALLEST))
            case _:
                return ops.square(self._edm(t)[1])

    def _edm(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out and c_in for x itself instead of x / alpha."""
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        scale = self.sigma_data
        square = ops.square(sigma) + ops.square(alpha * scale)
        root = ops.sqrt(square)
        return alpha * scale**2 / square, sigma * scale / root, 1.0 / root
