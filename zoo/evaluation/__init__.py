"""Figures that say how good a model is."""

from zoo.evaluation.language import bits_per_byte, perplexity, text_metrics

__all__ = ["bits_per_byte", "perplexity", "text_metrics"]
