"""Generative models in Keras 3, on TensorFlow, JAX and PyTorch.

Names load what they need at first use, so that `import zoo` is light.
"""

import importlib
from typing import TYPE_CHECKING

from zoo import saved

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
    from zoo.data.tokenizers import Tokenizer
    from zoo.models.autoencoder import Autoencoder, AutoencoderConfig
    from zoo.models.bert import BertBackbone, BertConfig
    from zoo.models.bert_pretrainer import BertPretrainer
    from zoo.models.bert_tasks import (
        BertClassifier,
        BertClassifierConfig,
        BertSpanQA,
        BertTagger,
        BertTaggerConfig,
    )
    from zoo.models.classifier import ImageClassifier, ImageClassifierConfig
    from zoo.models.cyclegan import (
        CycleGAN,
        CycleGANConfig,
        Translator,
        TranslatorConfig,
    )
    from zoo.models.dcgan import DCGAN, DCGANConfig
    from zoo.models.distiller import Distiller
    from zoo.models.electra import Electra, ElectraConfig
    from zoo.models.elmo import (
        ELMo,
        ELMoClassifier,
        ELMoClassifierConfig,
        ELMoConfig,
    )
    from zoo.models.gpt import GPT, GPTConfig
    from zoo.models.image_tokens import ImageTokens, LabelPrefix, TextPrefix
    from zoo.models.linear import LinearLM, LinearLMConfig
    from zoo.models.ngram import NgramConfig, NgramLM
    from zoo.models.recurrent import RecurrentLM, RecurrentLMConfig
    from zoo.models.self_attention import (
        SelfAttentionClassifier,
        SelfAttentionClassifierConfig,
    )
    from zoo.models.transformer import Transformer, TransformerConfig
    from zoo.models.vae import VAE, VAEConfig
    from zoo.models.vqvae import VQVAE, VQVAEConfig
    from zoo.presets import from_preset, list_presets

__version__ = "0.1.0"

_HOMES = {
    "Autoencoder": "zoo.models.autoencoder",
    "AutoencoderConfig": "zoo.models.autoencoder",
    "BertBackbone": "zoo.models.bert",
    "BertClassifier": "zoo.models.bert_tasks",
    "BertClassifierConfig": "zoo.models.bert_tasks",
    "BertConfig": "zoo.models.bert",
    "BertPretrainer": "zoo.models.bert_pretrainer",
    "BertSpanQA": "zoo.models.bert_tasks",
    "BertTagger": "zoo.models.bert_tasks",
    "BertTaggerConfig": "zoo.models.bert_tasks",
    "CycleGAN": "zoo.models.cyclegan",
    "CycleGANConfig": "zoo.models.cyclegan",
    "DCGAN": "zoo.models.dcgan",
    "DCGANConfig": "zoo.models.dcgan",
    "Distiller": "zoo.models.distiller",
    "ELMo": "zoo.models.elmo",
    "ELMoClassifier": "zoo.models.elmo",
    "ELMoClassifierConfig": "zoo.models.elmo",
    "ELMoConfig": "zoo.models.elmo",
    "Electra": "zoo.models.electra",
    "ElectraConfig": "zoo.models.electra",
    "GPT": "zoo.models.gpt",
    "GPTConfig": "zoo.models.gpt",
    "ImageClassifier": "zoo.models.classifier",
    "ImageClassifierConfig": "zoo.models.classifier",
    "ImageTokens": "zoo.models.image_tokens",
    "LabelPrefix": "zoo.models.image_tokens",
    "LinearLM": "zoo.models.linear",
    "LinearLMConfig": "zoo.models.linear",
    "NgramConfig": "zoo.models.ngram",
    "NgramLM": "zoo.models.ngram",
    "SelfAttentionClassifier": "zoo.models.self_attention",
    "SelfAttentionClassifierConfig": "zoo.models.self_attention",
    "RecurrentLM": "zoo.models.recurrent",
    "RecurrentLMConfig": "zoo.models.recurrent",
    "TextPrefix": "zoo.models.image_tokens",
    "Transformer": "zoo.models.transformer",
    "TransformerConfig": "zoo.models.transformer",
    "Translator": "zoo.models.cyclegan",
    "TranslatorConfig": "zoo.models.cyclegan",
    "VAE": "zoo.models.vae",
    "VAEConfig": "zoo.models.vae",
    "VQVAE": "zoo.models.vqvae",
    "VQVAEConfig": "zoo.models.vqvae",
    "Tokenizer": "zoo.data.tokenizers",
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
    "Translator",
    "TranslatorConfig",
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


def __getattr__(name: str) -> object:
    if name in _PACKAGES:
        return importlib.import_module(f"zoo.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"zoo has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
