"""One class for each example, as classifiers need them."""

from typing import Any

from zoo.training.phases import same_shape, shape_of


def check_classes(model: Any, classes: Any, examples: Any, example: str) -> None:
    """Raises unless a batch has one class for each of its examples.

    Args:
        model: the classifier, which the error names.
        classes: (B,), or None where the batch has none.
        examples: an array or tensor with B rows.
        example: what an example is called, such as "image".

    Raises:
        ValueError: there are no classes, or not B of them.
    """
    name, wanted = type(model).__name__, shape_of(examples)[:1]
    if classes is None:
        raise ValueError(
            f"{name} is trained with ({example}s, classes[, weights]), got {example}s "
            f"alone. Give one class for each {example}."
        )
    if not same_shape(shape_of(classes), wanted):
        raise ValueError(
            f"{name} needs one class for each {example}: expected shape {wanted}, got "
            f"{shape_of(classes)}."
        )
