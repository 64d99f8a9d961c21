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
            f"or be empty; got {count}: {', '.join(config.class_names[:8])}"
        )


class NamesClasses:
    """A model whose configuration has `num_classes` and `class_names`."""

    config: Any

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in order; presets and exports keep them."""
        return self.config.class_names

    @class_names.setter
    def class_names(self, names: Iterable[str]) -> None:
        self.config = dataclasses.replace(self.config, class_names=tuple(names))
