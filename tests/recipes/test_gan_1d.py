import json

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import kstest, norm

from recipes.gan_1d import LINE, Config, PointGAN, density, draw, main
from zoo.training.runs.flags import replace

SMOKE = replace(Config(), smoke=True, hidden=(4,))


def test_a_run_leaves_what_the_contract_names(tmp_path):
    summary = main(replace(SMOKE, out=tmp_path))
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    names = "val_wasserstein steps seconds peak_memory_bytes backend seed"
    assert set(names.split()) <= set(summary)
    assert summary["steps"] == 2
    for name in ("densities", "gradients", "loss"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    again = PointGAN.from_preset(tmp_path / "preset")
    assert again.sample(3, seed=0).shape == (3, 1)


def test_data_have_the_density_that_is_drawn():
    numbers = draw("gaussian", 2000, np.random.default_rng(0))
    assert kstest(numbers[:, 0], norm(2, 0.5).cdf).pvalue > 1e-3
    for target in ("gaussian", "mixture"):
        assert trapezoid(density(target), LINE) == pytest.approx(1, abs=1e-3)


def test_bad_requests_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="'mixture', 'gaussian'.* got 'mnist'"):
        main(replace(SMOKE, dataset="mnist", out=tmp_path))
