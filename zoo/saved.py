"""Registers the classes that Keras's files name, for `keras.saving.load_model`.

Keras finds a class by the name that it registers when its module is imported, but
`import zoo` imports no such module. So each name is registered here from the start, by
a stand-in that imports the module when a file asks for the class.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

from zoo import catalog

PACKAGE = "zoo"
# Names that are registered as "zoo>NAME", by module.
HOMES: dict[str, tuple[str, ...]] = {
    "zoo.layers.attention.multi_head": ("MultiHeadAttention",),
    "zoo.layers.recurrent.carried_state": ("CarriedState",),
    "zoo.layers.characters": ("CharacterConvolutions", "Highway"),
    "zoo.layers.dense": ("Dense", "HeadsDense"),
    "zoo.layers.dropout": ("Dropout",),
    "zoo.layers.embeddings": (
        "LearnedPositions",
        "SinusoidalPositions",
        "TokenEmbedding",
    ),
    "zoo.layers.invertible.actnorm": ("ActNorm",),
    "zoo.layers.invertible.coupling": ("Coupling",),
    "zoo.layers.invertible.mixing": ("Mixing",),
    "zoo.layers.invertible.multiscale": ("Multiscale",),
    "zoo.layers.invertible.networks": ("CouplingNetwork", "GatedBlock", "ReluBlock"),
    "zoo.layers.invertible.squeeze": ("Squeeze",),
    "zoo.layers.latent.dequantization": ("VariationalDequantization",),
    "zoo.layers.latent.gaussian": ("DiagonalGaussian",),
    "zoo.layers.convolution.history": ("ImageHistory",),
    "zoo.layers.initializers": ("Normal", "TruncatedNormal"),
    "zoo.layers.norm": (
        "BatchNorm",
        "GroupNorm",
        "InstanceNorm",
        "LayerNorm",
        "RMSNorm",
    ),
    "zoo.layers.convolution.padding": ("ReflectionPadding",),
    "zoo.layers.recurrent.cells": ("Elman", "GRU", "LSTM"),
    "zoo.layers.attention.relative": ("T5Bias", "TransformerXLPositions"),
    "zoo.layers.convolution.residual": ("ResidualBlock",),
    "zoo.layers.scalar_mix": ("ScalarMix",),
    "zoo.layers.convolution.spectral_norm": ("SpectralNorm",),
    "zoo.layers.attention.transformer": ("FeedForward", "TransformerBlock"),
    "zoo.layers.latent.vector_quantizer": ("VectorQuantizer",),
    "zoo.layers.latent.warmup": ("Warmup",),
    "zoo.layers.convolution.convolution": ("Convolution",),
    "zoo.layers.convolution.resampling": ("Downsampling", "Upsampling"),
    "zoo.layers.denoising.adaptive": ("AdaptiveBlock", "AdaptiveNorm"),
    "zoo.layers.denoising.timed_residual": ("ImageAttention", "TimedResidualBlock"),
    "zoo.layers.denoising.times": ("TimeEmbedding",),
    "zoo.models.diffusion.dit": ("DiT",),
    "zoo.models.diffusion.unet": ("UNet",),
    "zoo.models.diffusion.conditions": ("ClassCondition", "TextCondition"),
    "zoo.models.gan.cyclegan_networks": ("CycleGANResidual",),
    "zoo.training.optimizers.group": ("OptimizerGroup",),
    "zoo.training.optimizers.schedules": (
        "ConstantThenLinear",
        "Scaled",
        "WarmupCosine",
        "WarmupInverseSqrt",
    ),
} | catalog.serialised()


class StandIn:
    """Stands for a registered class, and imports it when it is first used."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _found(self) -> Any:
        importlib.import_module(self._module)
        return _registered()[self._name]

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._found(), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Makes an instance, as the class would."""
        return self._found()(*args, **kwargs)


class _AfterKeras:
    """An import finder that registers the names as soon as anyone imports Keras."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """Keras's own spec, whose loader also registers the names at its end."""
        if fullname != "keras":
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(fullname)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _register()

            spec.loader.exec_module = exec_module
        return spec


def _registered() -> dict[str, Any]:
    import keras

    return keras.saving.get_custom_objects()


def _register() -> None:
    registered = _registered()
    for module, names in HOMES.items():
        for name in names:
            key = f"{PACKAGE}>{name}"
            registered.setdefault(key, StandIn(module, key))


def announce() -> None:
    """Registers the names with Keras: now if it is imported, else on its import."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterKeras())
