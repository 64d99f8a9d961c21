"""Generative models in Keras 3, on TensorFlow, JAX and PyTorch.

Names load what they need at first use, so that `import zoo` is light.
"""

import importlib
from typing import TYPE_CHECKING

from zoo import moved, saved
from zoo.version import __version__

if TYPE_CHECKING:
    from zoo import (
        data,
        distribution,
        evaluation,
        generation,
        layers,
        models,
        presets,
        training,
    )
    from zoo.models.autoencoders.autoencoder import Autoencoder, AutoencoderConfig
    from zoo.models.autoencoders.vae import VAE, VAEConfig
    from zoo.models.autoencoders.vqvae import VQVAE, VQVAEConfig
    from zoo.models.bert.backbone import BertBackbone, BertConfig
    from zoo.models.bert.distiller import Distiller
    from zoo.models.bert.electra import Electra, ElectraConfig
    from zoo.models.bert.pretrainer import BertPretrainer
    from zoo.models.bert.tasks import (
        BertClassifier,
        BertClassifierConfig,
        BertSpanQA,
        BertTagger,
        BertTaggerConfig,
    )
    from zoo.models.gan.cyclegan import (
        CycleGAN,
        CycleGANConfig,
        CycleGANGenerator,
        CycleGANGeneratorConfig,
    )
    from zoo.models.gan.dcgan import DCGAN, DCGANConfig
    from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig
    from zoo.models.image_tokens import ImageTokens, LabelPrefix, TextPrefix
    from zoo.models.language.elmo import (
        ELMo,
        ELMoClassifier,
        ELMoClassifierConfig,
        ELMoConfig,
    )
    from zoo.models.language.gpt import GPT, GPTConfig
    from zoo.models.language.linear import LinearLM, LinearLMConfig
    from zoo.models.language.ngram import NgramConfig, NgramLM
    from zoo.models.language.recurrent import RecurrentLM, RecurrentLMConfig
    from zoo.models.language.self_attention import (
        SelfAttentionClassifier,
        SelfAttentionClassifierConfig,
    )
    from zoo.models.language.transformer import Transformer, TransformerConfig
    from zoo.presets import from_preset, list_presets
    from zoo.tokenizers.tokenizer import Tokenizer


_HOMES = {
    "Autoencoder": "zoo.models.autoencoders.autoencoder",
    "AutoencoderConfig": "zoo.models.autoencoders.autoencoder",
    "BertBackbone": "zoo.models.bert.backbone",
    "BertClassifier": "zoo.models.bert.tasks",
    "BertClassifierConfig": "zoo.models.bert.tasks",
    "BertConfig": "zoo.models.bert.backbone",
    "BertPretrainer": "zoo.models.bert.pretrainer",
    "BertSpanQA": "zoo.models.bert.tasks",
    "BertTagger": "zoo.models.bert.tasks",
    "BertTaggerConfig": "zoo.models.bert.tasks",
    "CycleGAN": "zoo.models.gan.cyclegan",
    "CycleGANConfig": "zoo.models.gan.cyclegan",
    "CycleGANGenerator": "zoo.models.gan.cyclegan",
    "CycleGANGeneratorConfig": "zoo.models.gan.cyclegan",
    "DCGAN": "zoo.models.gan.dcgan",
    "DCGANConfig": "zoo.models.gan.dcgan",
    "Distiller": "zoo.models.bert.distiller",
    "ELMo": "zoo.models.language.elmo",
    "ELMoClassifier": "zoo.models.language.elmo",
    "ELMoClassifierConfig": "zoo.models.language.elmo",
    "ELMoConfig": "zoo.models.language.elmo",
    "Electra": "zoo.models.bert.electra",
    "ElectraConfig": "zoo.models.bert.electra",
    "GPT": "zoo.models.language.gpt",
    "GPTConfig": "zoo.models.language.gpt",
    "ImageClassifier": "zoo.models.image_classifier",
    "ImageClassifierConfig": "zoo.models.image_classifier",
    "ImageTokens": "zoo.models.image_tokens",
    "LabelPrefix": "zoo.models.image_tokens",
    "LinearLM": "zoo.models.language.linear",
    "LinearLMConfig": "zoo.models.language.linear",
    "NgramConfig": "zoo.models.language.ngram",
    "NgramLM": "zoo.models.language.ngram",
    "SelfAttentionClassifier": "zoo.models.language.self_attention",
    "SelfAttentionClassifierConfig": "zoo.models.language.self_attention",
    "RecurrentLM": "zoo.models.language.recurrent",
    "RecurrentLMConfig": "zoo.models.language.recurrent",
    "TextPrefix": "zoo.models.image_tokens",
    "Transformer": "zoo.models.language.transformer",
    "TransformerConfig": "zoo.models.language.transformer",
    "VAE": "zoo.models.autoencoders.vae",
    "VAEConfig": "zoo.models.autoencoders.vae",
    "VQVAE": "zoo.models.autoencoders.vqvae",
    "VQVAEConfig": "zoo.models.autoencoders.vqvae",
    "Tokenizer": "zoo.tokenizers.tokenizer",
    "from_preset": "zoo.presets",
    "list_presets": "zoo.presets",
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

__all__ = [
    "__version__",
    "Autoencoder",
    "AutoencoderConfig",
    "BertBackbone",
    "BertClassifier",
    "BertClassifierConfig",
    "BertConfig",
    "BertPretrainer",
    "BertSpanQA",
    "BertTagger",
    "BertTaggerConfig",
    "CycleGAN",
    "CycleGANConfig",
    "CycleGANGenerator",
    "CycleGANGeneratorConfig",
    "DCGAN",
    "DCGANConfig",
    "Distiller",
    "ELMo",
    "ELMoClassifier",
    "ELMoClassifierConfig",
    "ELMoConfig",
    "Electra",
    "ElectraConfig",
    "GPT",
    "GPTConfig",
    "ImageClassifier",
    "ImageClassifierConfig",
    "ImageTokens",
    "LabelPrefix",
    "LinearLM",
    "LinearLMConfig",
    "NgramConfig",
    "NgramLM",
    "SelfAttentionClassifier",
    "SelfAttentionClassifierConfig",
    "RecurrentLM",
    "RecurrentLMConfig",
    "TextPrefix",
    "Tokenizer",
    "Transformer",
    "TransformerConfig",
    "VAE",
    "VAEConfig",
    "VQVAE",
    "VQVAEConfig",
    "data",
    "distribution",
    "evaluation",
    "from_preset",
    "generation",
    "layers",
    "list_presets",
    "models",
    "presets",
    "training",
]


saved.announce()
moved.announce()


def __getattr__(name: str) -> object:
    if name in _PACKAGES:
        return importlib.import_module(f"zoo.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in moved.RENAMED:
        return moved.renamed(name)
    raise AttributeError(f"zoo has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
