"""Generative models in Keras 3, on TensorFlow, JAX and PyTorch.

Names load what they need at first use, so that `import zoo` is light.
"""

import importlib
from typing import TYPE_CHECKING

from zoo import catalog, moved, saved
from zoo.version import __version__ as __version__

if TYPE_CHECKING:
    from zoo import data as data
    from zoo import distribution as distribution
    from zoo import evaluation as evaluation
    from zoo import generation as generation
    from zoo import layers as layers
    from zoo import models as models
    from zoo import presets as presets
    from zoo import training as training
    from zoo.models.autoencoders.autoencoder import Autoencoder as Autoencoder
    from zoo.models.autoencoders.autoencoder import (
        AutoencoderConfig as AutoencoderConfig,
    )
    from zoo.models.autoencoders.vae import VAE as VAE
    from zoo.models.autoencoders.vae import VAEConfig as VAEConfig
    from zoo.models.autoencoders.vqvae import VQVAE as VQVAE
    from zoo.models.autoencoders.vqvae import VQVAEConfig as VQVAEConfig
    from zoo.models.bert.backbone import BertBackbone as BertBackbone
    from zoo.models.bert.backbone import BertConfig as BertConfig
    from zoo.models.bert.distiller import Distiller as Distiller
    from zoo.models.bert.electra import Electra as Electra
    from zoo.models.bert.electra import ElectraConfig as ElectraConfig
    from zoo.models.bert.pretrainer import BertPretrainer as BertPretrainer
    from zoo.models.bert.tasks import BertClassifier as BertClassifier
    from zoo.models.bert.tasks import BertClassifierConfig as BertClassifierConfig
    from zoo.models.bert.tasks import BertSpanQA as BertSpanQA
    from zoo.models.bert.tasks import BertTagger as BertTagger
    from zoo.models.bert.tasks import BertTaggerConfig as BertTaggerConfig
    from zoo.models.diffusion.diffusion import Diffusion as Diffusion
    from zoo.models.diffusion.diffusion import DiffusionConfig as DiffusionConfig
    from zoo.models.flows.flow import NormalizingFlow as NormalizingFlow
    from zoo.models.flows.flow import NormalizingFlowConfig as NormalizingFlowConfig
    from zoo.models.gan.cyclegan import CycleGAN as CycleGAN
    from zoo.models.gan.cyclegan import CycleGANConfig as CycleGANConfig
    from zoo.models.gan.cyclegan_generator import (
        CycleGANGenerator as CycleGANGenerator,
    )
    from zoo.models.gan.cyclegan_networks import (
        CycleGANGeneratorConfig as CycleGANGeneratorConfig,
    )
    from zoo.models.gan.dcgan import DCGAN as DCGAN
    from zoo.models.gan.dcgan import DCGANConfig as DCGANConfig
    from zoo.models.image_classifier import ImageClassifier as ImageClassifier
    from zoo.models.image_classifier import (
        ImageClassifierConfig as ImageClassifierConfig,
    )
    from zoo.models.image_tokens import ImageTokens as ImageTokens
    from zoo.models.image_tokens import LabelPrefix as LabelPrefix
    from zoo.models.image_tokens import TextPrefix as TextPrefix
    from zoo.models.language.elmo import ELMo as ELMo
    from zoo.models.language.elmo import ELMoClassifier as ELMoClassifier
    from zoo.models.language.elmo import ELMoClassifierConfig as ELMoClassifierConfig
    from zoo.models.language.elmo import ELMoConfig as ELMoConfig
    from zoo.models.language.gpt import GPT as GPT
    from zoo.models.language.gpt import GPTConfig as GPTConfig
    from zoo.models.language.linear import LinearLM as LinearLM
    from zoo.models.language.linear import LinearLMConfig as LinearLMConfig
    from zoo.models.language.ngram import NgramConfig as NgramConfig
    from zoo.models.language.ngram import NgramLM as NgramLM
    from zoo.models.language.recurrent import RecurrentLM as RecurrentLM
    from zoo.models.language.recurrent import RecurrentLMConfig as RecurrentLMConfig
    from zoo.models.language.self_attention import (
        SelfAttentionClassifier as SelfAttentionClassifier,
    )
    from zoo.models.language.self_attention import (
        SelfAttentionClassifierConfig as SelfAttentionClassifierConfig,
    )
    from zoo.models.language.transformer import Transformer as Transformer
    from zoo.models.language.transformer import TransformerConfig as TransformerConfig
    from zoo.presets import from_preset as from_preset
    from zoo.presets import list_presets as list_presets
    from zoo.presets import register as register
    from zoo.tokenizers.tokenizer import Tokenizer as Tokenizer


_HOMES = catalog.homes() | {
    "Tokenizer": "zoo.tokenizers.tokenizer",
    "from_preset": "zoo.presets",
    "list_presets": "zoo.presets",
    "register": "zoo.presets",
}
_PACKAGES = (
    "data",
    "distribution",
    "evaluation",
    "generation",
    "layers",
    "models",
    "presets",
    "training",
)

__all__ = sorted([*_HOMES, *_PACKAGES, "__version__"])

saved.announce()
moved.announce()


def __getattr__(name: str) -> object:
    if name in _PACKAGES:
        return importlib.import_module(f"zoo.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in moved.RENAMED:
        return moved.renamed(name)
    raise AttributeError(f"zoo has no {name!r}; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
