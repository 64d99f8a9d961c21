"""Figures that say how good a model is."""

from zoo.evaluation.annealed import (
    annealed_importance_sampling,
    bidirectional_bounds,
)
from zoo.evaluation.answers import (
    NoAnswerThreshold,
    answer_metrics,
    best_no_answer_threshold,
)
from zoo.evaluation.classification import classification_metrics, regression_metrics
from zoo.evaluation.confidence import (
    Interval,
    difference_interval,
    mean_interval,
)
from zoo.evaluation.features import ClassifierFeatures, Features, InceptionFeatures
from zoo.evaluation.frechet import Moments, frechet_distance
from zoo.evaluation.importance import (
    elbo,
    importance_weighted_bound,
    likelihood_metrics,
)
from zoo.evaluation.judged import (
    judged_requests,
    judged_samples,
    judged_translations,
)
from zoo.evaluation.kernel_mmd import kernel_distance, squared_mmd
from zoo.evaluation.language import bits_per_byte, perplexity, text_metrics
from zoo.evaluation.manifolds import manifold_scores
from zoo.evaluation.masked_text import masked_once, masked_text_metrics
from zoo.evaluation.modes import mode_coverage
from zoo.evaluation.neighbours import (
    memorisation,
    nearest_neighbours,
    neighbour_grid,
)
from zoo.evaluation.parzen import parzen_log_likelihood
from zoo.evaluation.probes import linear_probe
from zoo.evaluation.samples import feature_metrics, sample_metrics
from zoo.evaluation.scaling_laws import (
    ChinchillaLaw,
    ComputeLaw,
    KaplanLaw,
    fit_scaling_law,
    isoflop_minimum,
)
from zoo.evaluation.tagging import entities, entity_metrics
from zoo.evaluation.trainings import Trainings
from zoo.evaluation.translation import translation_metrics

__all__ = [
    "ChinchillaLaw",
    "ClassifierFeatures",
    "ComputeLaw",
    "Features",
    "InceptionFeatures",
    "Interval",
    "KaplanLaw",
    "Moments",
    "NoAnswerThreshold",
    "Trainings",
    "annealed_importance_sampling",
    "answer_metrics",
    "best_no_answer_threshold",
    "bidirectional_bounds",
    "bits_per_byte",
    "classification_metrics",
    "difference_interval",
    "elbo",
    "entities",
    "entity_metrics",
    "feature_metrics",
    "fit_scaling_law",
    "frechet_distance",
    "importance_weighted_bound",
    "isoflop_minimum",
    "judged_requests",
    "judged_samples",
    "judged_translations",
    "kernel_distance",
    "likelihood_metrics",
    "linear_probe",
    "manifold_scores",
    "masked_once",
    "masked_text_metrics",
    "mean_interval",
    "memorisation",
    "mode_coverage",
    "nearest_neighbours",
    "neighbour_grid",
    "parzen_log_likelihood",
    "perplexity",
    "regression_metrics",
    "sample_metrics",
    "squared_mmd",
    "text_metrics",
    "translation_metrics",
]
