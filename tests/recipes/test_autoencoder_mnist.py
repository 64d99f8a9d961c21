import json

import numpy as np
import pytest

import zoo
from recipes.autoencoder_mnist import Config, main
from zoo.training.runs.flags import replace


def test_errors_beside_pcas(tmp_path):
    config = replace(
        Config(),
        dataset="digits",
        out=tmp_path,
        hidden=(32,),
        code_dim=4,
        batch_size=100,
        epochs=4,
        eval_every=2,
        warmup_steps=0,
        learning_rate=1e-2,
    )
    summary = main(config)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    data = zoo.data.load("digits")
    train = data.train_images.reshape(len(data.train_images), -1) / 255
    test = data.test_images.reshape(len(data.test_images), -1) / 255
    # PCA by the eigenvectors of the covariance.
    mean = train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train.T))
    kept = vectors[:, -4:]
    residual = (test - mean) - (test - mean) @ kept @ kept.T
    expected = np.square(residual).sum(axis=1).mean()
    assert summary["pca_squared_error"] == pytest.approx(expected, rel=1e-4)
    ratio = summary["val_squared_error"] / expected
    assert summary["error_ratio"] == pytest.approx(ratio, rel=1e-4)

    for name in ("reconstructions", "codes", "loss"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    model = zoo.Autoencoder.from_preset(tmp_path / "preset")
    decoded = model.reconstruct(data.test_images / np.float32(255))
    error = np.square(decoded.reshape(len(test), -1) - test).sum(axis=1).mean()
    assert error == pytest.approx(summary["val_squared_error"], rel=1e-4)


def test_smoke(tmp_path):
    summary = main(replace(Config(), out=tmp_path, smoke=True))
    assert summary["steps"] == 2
