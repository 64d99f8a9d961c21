"""Tables and training targets beside diffusers' schedulers, on torch."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.layers.noising import DDPMCosine, DDPMLinear, Prediction

if keras.backend.backend() != "torch":
    pytest.skip("diffusers computes on torch", allow_module_level=True)
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
scheduling_ddpm = pytest.importorskip("diffusers.schedulers.scheduling_ddpm")

RNG = np.random.default_rng(0)
DATA, NOISE = torch.from_numpy(RNG.normal(size=(2, 6, 4, 4, 1)).astype("float32"))
STEPS = torch.tensor([0, 1, 10, 499, 900, 999])
TIMES = (STEPS + 1).float() / 1000
SCHEDULES = [
    (DDPMLinear(), {"beta_schedule": "linear"}),
    (DDPMCosine(), {"beta_schedule": "squaredcos_cap_v2"}),
    (DDPMLinear(zero_terminal_snr=True), {"rescale_betas_zero_snr": True}),
]


@pytest.mark.parametrize(("path", "options"), SCHEDULES)
def test_tables_and_targets_are_diffusers(path, options):
    theirs = diffusers.DDPMScheduler(**options)
    table = theirs.alphas_cumprod.numpy()
    np.testing.assert_allclose(path.alphas_cumprod, table, rtol=0, atol=1e-6)
    # Near step 0 their float32 sqrt(1 - alpha²) is off by 2e-6; in float64 it isn't.
    theirs.alphas_cumprod = torch.cumprod(1 - exact_betas(theirs), 0)
    data, noise = DATA.double(), NOISE.double()
    for found, expected in (
        (path.noised(DATA, NOISE, TIMES), theirs.add_noise(data, noise, STEPS)),
        (
            Prediction(path, "velocity").target(DATA, NOISE, TIMES),
            theirs.get_velocity(data, noise, STEPS),
        ),
    ):
        found = ops.convert_to_numpy(found)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def exact_betas(scheduler):
    if not scheduler.config.rescale_betas_zero_snr:
        return scheduler.betas.double()
    ends = scheduler.config.beta_start, scheduler.config.beta_end
    betas = torch.linspace(*ends, len(scheduler.betas), dtype=torch.float64)
    return scheduling_ddpm.rescale_zero_terminal_snr(betas)
