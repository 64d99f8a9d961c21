"""GANs, DCGAN and CycleGAN."""

from zoo.models.gan.gan import GAN, GANConfig, split

__all__ = ["GAN", "GANConfig", "split"]
