"""The loss and the accuracy of classifiers."""

from keras import ops

from zoo.training.phases import WeightedMean


def classified(
    logits, classes, weights=None, counted=None
) -> tuple[WeightedMean, WeightedMean]:
    """Cross-entropy in nats and accuracy of float32 scores (..., number of classes).

    Args:
        logits: the scores.
        classes: the right ones, (...).
        weights: how much each counts in the cross-entropy, (...).
        counted: how much in the accuracy, likewise; default is once each.
    """
    logits = ops.reshape(logits, (-1, logits.shape[-1]))
    classes = ops.cast(ops.reshape(classes, (-1,)), "int32")
    weights, counted = (
        None if x is None else ops.reshape(x, (-1,)) for x in (weights, counted)
    )
    nats = ops.sparse_categorical_crossentropy(classes, logits, from_logits=True)
    right = ops.cast(ops.argmax(logits, axis=-1), "int32") == classes
    return WeightedMean.of(nats, weights), WeightedMean.of(right, counted)
