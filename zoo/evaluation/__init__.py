"""Figures that say how good a model is."""

from zoo.evaluation.annealed import (
    annealed_importance_sampling,
    bidirectional_bounds,
)
from zoo.evaluation.importance import elbo, importance_weighted_bound
from zoo.evaluation.language import bits_per_byte, perplexity, text_metrics
from zoo.evaluation.parzen import parzen_log_likelihood

__all__ = [
    "annealed_importance_sampling",
    "bidirectional_bounds",
    "bits_per_byte",
    "elbo",
    "importance_weighted_bound",
    "parzen_log_likelihood",
    "perplexity",
    "text_metrics",
]
