"""What a run refuses before it starts."""

import pytest

from zoo.distribution.layout import Mesh
from zoo.training import engine
from zoo.training.run import Run, RunConfig


def test_a_run_shares_the_devices_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr(engine(), "mesh", Mesh(data=2, model=2))
    for number, asked in enumerate(((2, 2), (-1, 2), (1, 1))):  # the last asks nothing
        Run(
            RunConfig(
                out=tmp_path / str(number), mesh_data=asked[0], mesh_model=asked[1]
            )
        )
    with pytest.raises(ValueError, match=r"mesh_data=4 and mesh_model=1 .* in use"):
        Run(RunConfig(out=tmp_path / "other", mesh_data=4))
    assert not (tmp_path / "other").exists()
