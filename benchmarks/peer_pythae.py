"""Test likelihood of Pythae's VAE and ours, trained the same way in one run.

    pip install pythae
    KERAS_BACKEND=torch python -m benchmarks.peer_pythae --data-dir ... --epochs 100

784-400-40 with ReLU, MNIST binarised once with one seed, Adam at 1e-4, batches of 100:
the setting of Pythae's reproduction script, except for its epochs (500) and its
binarised file. Both start from the same weights, drawn by torch, unless `--own-start`
lets ours draw its own. Both likelihoods are importance-weighted bounds with 200 samples
over the same test images: ours from `zoo.evaluation`, Pythae's from its `get_nll`.
`zoo.evaluation` also measures Pythae's weights.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from torch import nn

import zoo

LATENT_DIM, WIDTH, BATCH, RATE = 40, 400, 100, 1e-4


class Encoder(BaseEncoder):
    """784-400-40, as in Pythae's script."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(784, WIDTH), nn.ReLU())
        self.mean = nn.Linear(WIDTH, LATENT_DIM)
        self.log_variance = nn.Linear(WIDTH, LATENT_DIM)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """Returns mean and log-covariance under Pythae's names."""
        h = self.hidden(x.reshape(len(x), -1))
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class Decoder(BaseDecoder):
    """40-400-784."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT_DIM, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, 784),
            nn.Sigmoid(),
        )

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """Returns the pixels' probabilities."""
        return ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 28, 28))


def pythae_model(seed: int) -> VAE:
    """Returns Pythae's VAE, untrained."""
    torch.manual_seed(seed)
    config = VAEConfig(
        input_dim=(1, 28, 28), latent_dim=LATENT_DIM, reconstruction_loss="bce"
    )
    return VAE(config, Encoder(), Decoder())


def train_pythae(model: VAE, train: np.ndarray, epochs: int, seed: int) -> VAE:
    """Trains with Pythae's pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            learning_rate=RATE,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=1000,
            seed=seed,
        )
        pipeline = TrainingPipeline(model=model, training_config=trainer)
        pipeline(train_data=train.transpose(0, 3, 1, 2))
    return model


def train_ours(model: zoo.VAE, train: np.ndarray, epochs: int) -> zoo.VAE:
    """Trains with `fit`."""
    model.compile(keras.optimizers.Adam(RATE))
    model.fit(train, batch_size=BATCH, epochs=epochs, verbose=2)
    return model


def our_model() -> zoo.VAE:
    """Returns our VAE, untrained."""
    config = zoo.VAEConfig(hidden=(WIDTH,), latent_dim=LATENT_DIM, activation="relu")
    return zoo.VAE(config)


def with_weights_of(pythae: VAE) -> zoo.VAE:
    """Returns our VAE with Pythae's weights."""
    model = our_model()
    names = {
        "encoder/hidden_0": pythae.encoder.hidden[0],
        "posterior/mean": pythae.encoder.mean,
        "posterior/log_variance": pythae.encoder.log_variance,
        "decoder/hidden_0": pythae.decoder.layers[0],
        "decoder/output": pythae.decoder.layers[2],
    }
    variables = {v.path: v for v in model.trainable_variables}
    for name, linear in names.items():
        variables[f"{name}/kernel"].assign(linear.weight.detach().cpu().numpy().T)
        variables[f"{name}/bias"].assign(linear.bias.detach().cpu().numpy())
    return model


def main() -> None:
    """Trains both; prints seconds and nats as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--images", type=int, default=1000, help="of the test set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--own-start", action="store_true")
    arguments = parser.parse_args()
    data = zoo.data.load("mnist", arguments.data_dir)
    train = zoo.data.binarized(data.train_images, seed=arguments.seed)
    test = zoo.data.binarized(data.test_images, seed=arguments.seed + 1)
    test = test[zoo.data.fixed_subset(len(test), arguments.images)]
    found = {}
    start = time.perf_counter()
    keras.utils.set_random_seed(arguments.seed)
    theirs = pythae_model(arguments.seed)
    ours = our_model() if arguments.own_start else with_weights_of(theirs)
    train_ours(ours, train, arguments.epochs)
    found["zoo_seconds"] = time.perf_counter() - start
    found["zoo_nll"] = -float(ours.log_likelihood(test, num_samples=200).mean())
    start = time.perf_counter()
    train_pythae(theirs, train, arguments.epochs, arguments.seed)
    found["pythae_seconds"] = time.perf_counter() - start
    by_us = with_weights_of(theirs).log_likelihood(test, num_samples=200)
    found["pythae_nll_by_zoo"] = -float(by_us.mean())
    theirs.eval()
    pictures = torch.from_numpy(test.transpose(0, 3, 1, 2).copy())
    nll = theirs.get_nll(pictures, n_samples=200, batch_size=200)
    found["pythae_nll_by_pythae"] = float(np.abs(nll))
    print(json.dumps({**vars(arguments), **found}, default=str))


if __name__ == "__main__":
    main()
