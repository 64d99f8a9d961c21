"""Names of classes as targets: `fit(x, ["cat", "dog", ...])`."""

from typing import Any

import numpy as np

from zoo.training.raw.texts import segments_of


def class_numbers(model: Any, y: Any) -> Any:
    """Targets with the names of classes replaced by their numbers.

    The categories of a pandas column become the model's `class_names` if it has none.

    Args:
        model: a model that may have `class_names`.
        y: targets of any kind; numbers are returned as they are.

    Raises:
        ValueError: the model has no names for classes, or lacks a name.
    """
    categories = getattr(getattr(y, "dtype", None), "categories", None)
    if categories is not None and len(categories):
        return _of_categories(model, y, [*categories])
    if y is None or (found := segments_of(y)) is None:
        return np.asarray(y) if isinstance(y, (list, tuple)) and _is_flat(y) else y
    (names,) = found if len(found) == 1 else ([],)
    known = _known(model, sorted(set(names)))
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(
            f"Names of classes must be among class_names={known}, got {unknown[:8]}."
        )
    return np.array([known[name] for name in names], "int32")


def _of_categories(model: Any, y: Any, categories: list[Any]) -> np.ndarray:
    codes = np.asarray(y.cat.codes if hasattr(y, "cat") else y.codes)
    if (codes < 0).any():
        raise ValueError(
            f"Each row must have a class, got none in row {int(np.argmax(codes < 0))}. "
            "Leave such rows out."
        )
    names = [str(category) for category in categories]
    has_names = hasattr(model, "class_names")
    if has_names and not model.class_names and len(names) == model.config.num_classes:
        model.class_names = names
    known = _known(model, names)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"Categories must be among class_names={known}, got {unknown[:8]}."
        )
    return np.array([known[name] for name in names], "int32")[codes]


def _known(model: Any, names: list[str]) -> dict[str, int]:
    """The number of each name that the model has."""
    model_names = getattr(model, "class_names", None)
    if model_names is None:
        raise ValueError(
            f"{type(model).__name__} has no classes by name: give numbers as targets, "
            f"got {names[:8]}."
        )
    if not model_names:
        raise ValueError(
            f"Targets are names of classes ({', '.join(names[:8])}), and the model "
            "does not know their order. Set it: model.class_names = "
            f"{tuple(names[:8])!r}, or give numbers."
        )
    return {name: number for number, name in enumerate(model_names)}


def _is_flat(y: Any) -> bool:
    return all(isinstance(value, (int, float, np.number)) for value in y)
