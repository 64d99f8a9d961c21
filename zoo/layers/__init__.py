"""Layers that the models share."""

from zoo.layers.attention import MultiHeadAttention
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import (
    LearnedPositions,
    SinusoidalPositions,
    TokenEmbedding,
    rotate,
)
from zoo.layers.transformer import FeedForward, TransformerBlock

__all__ = [
    "Dropout",
    "FeedForward",
    "LearnedPositions",
    "MultiHeadAttention",
    "SinusoidalPositions",
    "TokenEmbedding",
    "TransformerBlock",
    "rotate",
]
