"""Log-likelihoods of a VAE's decoder and a GAN's generator on the same test digits.

    python -m recipes.vae_mnist --observation gaussian --binarize none --nll-samples 0
    python -m recipes.dcgan_mnist
    python -m benchmarks.decoder_likelihoods --vae runs/vae_mnist/preset \
        --gan runs/dcgan_mnist/preset

Wu et al. 2017: both decode a standard normal code and add Gaussian noise to the pixels,
with a standard deviation chosen for each on training images. Annealed importance
sampling from the prior estimates log p(x), on pixels dequantised with uniform noise.
Bidirectional Monte Carlo, on data that each decoder generated itself, bounds the
estimate's error; the VAE's encoder gives another bound.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import zoo
from zoo.evaluation import importance_weighted_bound, mean_interval
from zoo.layers.convolution.image_format import from_signed
from zoo.layers.latent.observations import Gaussian
from zoo.likelihood.annealed import AnnealedSampler

STDDEVS = (0.05, 0.1, 0.15, 0.2)


def continuous(images: np.ndarray, seed: int) -> np.ndarray:
    """Dequantises bytes (N, H, W, C) with uniform noise and scales them to [0, 1)."""
    noise = np.random.default_rng(seed).random(images.shape, dtype="float32")
    return (images + noise) / np.float32(256)


def decoders(flags: argparse.Namespace) -> dict:
    """Returns (decode to pixel means, L, variables, encoder or None) by name."""
    vae, gan = zoo.VAE.from_preset(flags.vae), zoo.DCGAN.from_preset(flags.gan)

    def decode(latents):
        return vae.observation.mean(vae.decoder(latents))

    def generate(latents):
        return from_signed(gan.generator(latents, training=False))

    return {
        "vae": (decode, vae.config.latent_dim, vae.variables, vae.posterior),
        "gan": (generate, gan.config.latent_dim, gan.generator.variables, None),
    }


def main() -> None:
    """Prints one line of JSON per decoder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vae", required=True, help="a preset")
    parser.add_argument("--gan", required=True, help="a preset")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--images", type=int, default=20, help="of the test set")
    parser.add_argument("--temperatures", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    data = zoo.data.load("mnist", flags.data_dir)
    rows = zoo.data.fixed_subset(len(data.test_images), flags.images)
    x = continuous(data.test_images[rows], flags.seed)
    rows = zoo.data.fixed_subset(len(data.train_images), 10)
    known = continuous(data.train_images[rows], flags.seed)
    for name, (decode, latent_dim, variables, encode) in decoders(flags).items():
        start = time.perf_counter()

        def sampler(stddev, decode=decode, latent_dim=latent_dim, variables=variables):
            return AnnealedSampler(
                decode,
                Gaussian(stddev),
                latent_dim,
                num_chains=flags.chains,
                variables=variables,
            )

        tried = {
            stddev: sampler(stddev).estimate(known, flags.temperatures // 10)
            for stddev in STDDEVS
        }
        stddev = max(tried, key=lambda s: tried[s].log_likelihood.mean())
        chosen = sampler(stddev)
        found = chosen.estimate(x, flags.temperatures, seed=flags.seed)
        bounds = chosen.bounds(len(x), flags.temperatures, seed=flags.seed)
        row = {
            "decoder": name,
            "stddev": stddev,
            "nats": str(mean_interval(found.log_likelihood)),
            "effective_chains": float(found.effective_sample_size.mean()),
            "acceptance": float(found.acceptance.mean()),
            "simulated_lower": float(bounds.lower.mean()),
            "simulated_upper": float(bounds.upper.mean()),
            "seconds": round(time.perf_counter() - start, 1),
        }
        if encode:
            bound = importance_weighted_bound(
                x, encode, decode, Gaussian(stddev), variables=variables
            )
            row["by_the_encoder"] = str(mean_interval(bound))
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
