"""Loss and accuracy of classifiers."""

from keras import ops

from zoo.engine.tensors import Tensor
from zoo.training.phases import WeightedMean


def classified(
    logits: Tensor,
    classes: Tensor,
    weights: Tensor | None = None,
    counted: Tensor | None = None,
) -> tuple[WeightedMean, WeightedMean]:
    """Mean cross-entropy in nats, and accuracy, over all axes.

    Args:
        logits: class scores (..., C), float32.
        classes: target classes (...).
        weights: weights (...) in the cross-entropy; 1 each by default.
        counted: weights (...) in the accuracy; 1 each by default.
    """
    logits = ops.reshape(logits, (-1, logits.shape[-1]))
    classes = ops.cast(ops.reshape(classes, (-1,)), "int32")
    weights, counted = (
        None if x is None else ops.reshape(x, (-1,)) for x in (weights, counted)
    )
    nats = ops.sparse_categorical_crossentropy(classes, logits, from_logits=True)
    right = ops.cast(ops.argmax(logits, axis=-1), "int32") == classes
    return WeightedMean.of(nats, weights), WeightedMean.of(right, counted)
