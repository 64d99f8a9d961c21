import json

import pytest

from recipes.gan_1d import Config, PointGAN, main
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


def test_bad_requests_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="'mixture', 'gaussian'.* got 'mnist'"):
        main(replace(SMOKE, dataset="mnist", out=tmp_path))
