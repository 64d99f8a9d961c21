"""Layers that the models share."""

from zoo.layers.attention import MultiHeadAttention
from zoo.layers.characters import CharacterConvolutions, Highway
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import (
    LearnedPositions,
    SinusoidalPositions,
    TokenEmbedding,
    rotate,
)
from zoo.layers.history import ImageHistory
from zoo.layers.norm import BatchNorm, InstanceNorm, LayerNorm
from zoo.layers.padding import ReflectionPadding
from zoo.layers.recurrent import GRU, LSTM, Elman
from zoo.layers.relative import T5Bias, TransformerXLPositions
from zoo.layers.residual import ResidualBlock
from zoo.layers.scalar_mix import ScalarMix
from zoo.layers.spectral_norm import SpectralNorm
from zoo.layers.transformer import FeedForward, TransformerBlock
from zoo.layers.vector_quantizer import VectorQuantizer

__all__ = [
    "GRU",
    "LSTM",
    "BatchNorm",
    "CharacterConvolutions",
    "Dense",
    "Dropout",
    "Elman",
    "FeedForward",
    "Highway",
    "ImageHistory",
    "InstanceNorm",
    "LayerNorm",
    "LearnedPositions",
    "MultiHeadAttention",
    "ReflectionPadding",
    "ResidualBlock",
    "ScalarMix",
    "SinusoidalPositions",
    "SpectralNorm",
    "T5Bias",
    "TokenEmbedding",
    "TransformerBlock",
    "TransformerXLPositions",
    "VectorQuantizer",
    "rotate",
]
