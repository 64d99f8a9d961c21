"""Runs of recipes: stopped, and compared."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from zoo.training.runs.run import Run


def metrics(out):
    """The logged figures, without those of time."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        {k: v for k, v in row.items() if not k.endswith("_per_second")} for row in rows
    ]


def stopped_at_checkpoint(monkeypatch, main, config, number=1):
    """Runs a recipe until it has written its first checkpoint, or a later one."""
    save = Run.save

    def save_then_stop(self, model, *samples):
        save(self, model, *samples)
        if len(self.rows) == number:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", save_then_stop)
        with pytest.raises(KeyboardInterrupt):
            main(config)


def assert_same_run(found, expected):
    """The same figures, and bit for bit the same checkpoint."""
    assert metrics(found) == metrics(expected)
    arrays = load_file(found / "checkpoint.safetensors")
    wanted = load_file(expected / "checkpoint.safetensors")
    assert set(arrays) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
