"""Layers shared by the models."""

from zoo.layers.attention.multi_head import MultiHeadAttention
from zoo.layers.attention.relative import T5Bias, TransformerXLPositions
from zoo.layers.attention.rotary import Rotary, rotate
from zoo.layers.attention.transformer import FeedForward, TransformerBlock
from zoo.layers.characters import CharacterConvolutions, Highway
from zoo.layers.convolution.convolution import Convolution
from zoo.layers.convolution.history import ImageHistory
from zoo.layers.convolution.padding import ReflectionPadding
from zoo.layers.convolution.resampling import Downsampling, Upsampling
from zoo.layers.convolution.residual import ResidualBlock
from zoo.layers.convolution.spectral_norm import SpectralNorm
from zoo.layers.denoising.adaptive import AdaptiveBlock, AdaptiveNorm
from zoo.layers.denoising.timed_residual import ImageAttention, TimedResidualBlock
from zoo.layers.denoising.times import TimeEmbedding
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import (
    LearnedPositions,
    SinusoidalPositions,
    TokenEmbedding,
)
from zoo.layers.latent.vector_quantizer import VectorQuantizer
from zoo.layers.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from zoo.layers.recurrent.cells import GRU, LSTM, Elman
from zoo.layers.scalar_mix import ScalarMix

__all__ = [
    "GRU",
    "LSTM",
    "AdaptiveBlock",
    "AdaptiveNorm",
    "BatchNorm",
    "CharacterConvolutions",
    "Convolution",
    "Dense",
    "Downsampling",
    "Dropout",
    "Elman",
    "FeedForward",
    "GroupNorm",
    "Highway",
    "ImageAttention",
    "ImageHistory",
    "InstanceNorm",
    "LayerNorm",
    "LearnedPositions",
    "MultiHeadAttention",
    "RMSNorm",
    "ReflectionPadding",
    "ResidualBlock",
    "Rotary",
    "ScalarMix",
    "SinusoidalPositions",
    "SpectralNorm",
    "T5Bias",
    "TimeEmbedding",
    "TimedResidualBlock",
    "TokenEmbedding",
    "TransformerBlock",
    "TransformerXLPositions",
    "Upsampling",
    "VectorQuantizer",
    "rotate",
]
