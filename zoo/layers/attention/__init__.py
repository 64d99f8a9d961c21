"""Attention and the transformer block."""

from zoo.layers.attention.multi_head import MultiHeadAttention, check_heads

__all__ = ["MultiHeadAttention", "check_heads"]
