"""Single steps beside diffusers' schedulers, on torch."""

import keras
import numpy as np
import pytest

from zoo.generation.diffusion import solve
from zoo.generation.diffusion.solvers import stochastic_step
from zoo.layers.noising import DDPMLinear, Prediction

if keras.backend.backend() != "torch":
    pytest.skip("diffusers computes on torch", allow_module_level=True)
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

RNG = np.random.default_rng(0)
X, OUTPUT = torch.from_numpy(RNG.normal(size=(2, 3, 4, 4, 1)).astype("float32"))
PATH = DDPMLinear()
STEPS = [(999, 979), (499, 479), (39, 19), (19, -1)]


def ours(prediction, step, x, output):
    t = torch.tensor((step + 1) / 1000)
    return Prediction(PATH, prediction).estimates(x, output, t)


def schedule(cls, prediction="noise"):
    kind = {"noise": "epsilon", "velocity": "v_prediction", "data": "sample"}
    options = {"prediction_type": kind[prediction], "clip_sample": False}
    scheduler = cls(timestep_spacing="trailing", **options)
    scheduler.set_timesteps(50)
    # Their float32 sqrt(1 - alpha²) is off by 2e-6 near step 0; in float64 it isn't.
    scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas.double(), 0)
    scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


@pytest.mark.parametrize("prediction", ["noise", "velocity", "data"])
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(("step", "after"), STEPS)
def test_ddims_step(prediction, eta, step, after):
    scheduler = schedule(diffusers.DDIMScheduler, prediction)
    fresh = torch.from_numpy(RNG.normal(size=X.shape))
    expected = scheduler.step(
        OUTPUT.double(), step, X.double(), eta=eta, variance_noise=fresh
    ).prev_sample
    data, noise = ours(prediction, step, X, OUTPUT)
    t, s = torch.tensor((step + 1) / 1000), torch.tensor((after + 1) / 1000)
    found = stochastic_step(PATH, data, noise, t, s, eta, fresh.float())
    assert found.dtype == torch.float32
    # Data estimated from noise at step 999 are x / 0.006, up to 500.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("step", "after"), STEPS)
def test_ddpms_step(step, after):
    scheduler = schedule(diffusers.DDPMScheduler)
    x, output = X.double(), OUTPUT.double()
    expected = scheduler.step(
        output, step, x, generator=torch.Generator().manual_seed(1)
    ).prev_sample
    fresh = torch.randn(
        X.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    data, noise = ours("noise", step, X, OUTPUT)
    t, s = torch.tensor((step + 1) / 1000), torch.tensor((after + 1) / 1000)
    found = stochastic_step(PATH, data, noise, t, s, 1.0, fresh.float())
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_dpm_solvers_steps():
    scheduler = diffusers.DPMSolverMultistepScheduler(
        final_sigmas_type="zero", timestep_spacing="trailing"
    )
    scheduler.set_timesteps(10)
    x = X
    for step in scheduler.timesteps:
        x = scheduler.step(torch.tanh(x), step, x).prev_sample
    times = np.append((scheduler.timesteps.numpy() + 1) / 1000, 0)

    def denoise(x, t):
        return Prediction(PATH, "noise").estimates(x, torch.tanh(x), t)

    found = solve("multistep", denoise, PATH, X, times.astype("float32"))
    np.testing.assert_allclose(found, x, rtol=1e-5, atol=1e-5)
