"""Metrics of model quality."""

from zoo.evaluation.classification import classification_metrics, regression_metrics
from zoo.evaluation.confidence import (
    Interval,
    difference_interval,
    mean_interval,
)
from zoo.evaluation.images.features import (
    ClassifierFeatures,
    Features,
    InceptionFeatures,
)
from zoo.evaluation.images.frechet import Moments, frechet_distance
from zoo.evaluation.images.judged import (
    judged_requests,
    judged_samples,
    judged_translations,
)
from zoo.evaluation.images.kernel_mmd import kernel_distance, squared_mmd
from zoo.evaluation.images.manifolds import manifold_scores
from zoo.evaluation.images.modes import mode_coverage
from zoo.evaluation.images.neighbours import (
    memorisation,
    nearest_neighbours,
    neighbour_grid,
)
from zoo.evaluation.images.samples import feature_metrics, sample_metrics
from zoo.evaluation.scaling_laws import (
    ChinchillaLaw,
    ComputeLaw,
    KaplanLaw,
    fit_scaling_law,
    isoflop_minimum,
)
from zoo.evaluation.text.answers import (
    NoAnswerThreshold,
    answer_metrics,
    best_no_answer_threshold,
)
from zoo.evaluation.text.language import bits_per_byte, perplexity, text_metrics
from zoo.evaluation.text.masked_text import masked_once, masked_text_metrics
from zoo.evaluation.text.probes import linear_probe
from zoo.evaluation.text.tagging import entities, entity_metrics
from zoo.evaluation.text.translation import translation_metrics
from zoo.evaluation.trainings import Trainings
from zoo.likelihood.annealed import (
    annealed_importance_sampling,
    bidirectional_bounds,
)
from zoo.likelihood.importance import (
    elbo,
    importance_weighted_bound,
    likelihood_metrics,
)
from zoo.likelihood.parzen import parzen_log_likelihood

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
