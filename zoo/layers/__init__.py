"""Layers that the models share."""

from zoo.layers.attention import MultiHeadAttention
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import (
    LearnedPositions,
    SinusoidalPositions,
    TokenEmbedding,
    rotate,
)
from zoo.layers.norm import BatchNorm, LayerNorm
from zoo.layers.transformer import FeedForward, TransformerBlock

__all__ = [
    "BatchNorm",
    "Dense",
    "Dropout",
    "FeedForward",
    "LayerNorm",
    "LearnedPositions",
    "MultiHeadAttention",
    "SinusoidalPositions",
    "TokenEmbedding",
    "TransformerBlock",
    "rotate",
]
