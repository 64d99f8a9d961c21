"""The shipped checkpoints compute the same on every backend."""

import json
from pathlib import Path

import numpy as np
import pytest
from keras import ops

import zoo
from zoo.store.manifest import checkpoints

EXPECTED = json.loads((Path(__file__).parent / "checkpoint_outputs.json").read_text())
IMAGES = (np.indices((28, 28)).sum(axis=0) % 7 / 6).astype("float32")[None, :, :, None]
LATENTS = np.cos(np.arange(100, dtype="float32"))[None]
IDS = (np.arange(64, dtype="int32") * 7 % 65)[None]


def outputs(name) -> np.ndarray:
    """Returns some outputs for inputs that are the same everywhere."""
    model = zoo.from_preset(name)
    kind = type(model).__name__
    if kind == "GPT":
        found = model(IDS)
    elif kind == "BertPretrainer":
        logits = (np.ravel(ops.convert_to_numpy(x)) for x in model(IDS).values())
        found = np.concatenate([*logits][::-1])  # both networks of the pair first
    elif kind == "ImageClassifier":
        found = model.features(IMAGES)
    elif kind == "VAE":
        found = model.decode(LATENTS[:, :50])
    elif kind == "ImageTokens":
        codes = np.arange(49, dtype="int32").reshape(1, 7, 7)
        logits = model.gpt(np.arange(49, dtype="int32")[None])
        drawn, logits = (
            np.ravel(ops.convert_to_numpy(x))
            for x in (model.vqvae.decode(codes), logits)
        )
        return np.concatenate([drawn[::97], logits[::301]])
    elif kind == "DCGAN":
        found = model.generate(LATENTS)
    else:
        found = model.translate(IMAGES, "a_to_b")
    array = np.ravel(ops.convert_to_numpy(found))
    return array[:: max(1, len(array) // 16)]


@pytest.mark.parametrize("name", checkpoints())
def test_outputs_are_those_of_the_other_backends(name):
    """Expected outputs come from torch: `python -m tests.presets.test_checkpoints`."""
    np.testing.assert_allclose(outputs(name), EXPECTED[name], atol=1e-4)


if __name__ == "__main__":
    recorded = {name: outputs(name).astype(float).tolist() for name in checkpoints()}
    Path(__file__).with_name("checkpoint_outputs.json").write_text(
        json.dumps(recorded, indent=1) + "\n"
    )
