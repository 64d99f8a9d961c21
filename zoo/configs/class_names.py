"""Class names: a field of configurations, and an attribute of their models."""

import dataclasses
from collections.abc import Iterable
from typing import Any


def check_class_names(config: Any) -> None:
    """Raises ValueError unless `class_names` names every class, or none."""
    count = len(config.class_names)
    if count not in (0, config.num_classes):
        raise ValueError(
            f"class_names must name each of num_classes={config.num_classes} classes, "
            f"or be empty; got {count}: {', '.join(config.class_names[:8])}."
        )


class NamesClasses:
    """A model whose configuration has `num_classes` and `class_names`."""

    config: Any
    predict_probabilities: Any

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in order; presets and exports keep them."""
        return self.config.class_names

    @class_names.setter
    def class_names(self, names: Iterable[str]) -> None:
        self.config = dataclasses.replace(self.config, class_names=tuple(names))

    def classify(self, inputs: Any, top: int = 1) -> list[list[tuple[str, float]]]:
        """The most probable classes of each example, by name.

        Args:
            inputs: what `predict` takes, held in memory: images, texts or token ids.
            top: classes per example.

        Returns:
            For each example `top` pairs of a name and its probability, the most
            probable first. Without `class_names`, names are numbers: "0", "1".

        Raises:
            ValueError: `top` is not from 1 to the number of classes.
        """
        count = self.config.num_classes
        if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= count:
            raise ValueError(
                f"top must be a whole number from 1 to num_classes={count}, got "
                f"{top!r}."
            )
        names = self.class_names or tuple(map(str, range(count)))
        return [
            [(names[i], float(row[i])) for i in (-row).argsort(kind="stable")[:top]]
            for row in self.predict_probabilities(inputs)
        ]
