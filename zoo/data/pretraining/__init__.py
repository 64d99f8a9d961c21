"""Masked tokens and pairs of sentences."""
