"""Packages that few need, and that an extra installs."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from zoo.extras import installed_by


def optional(module: str, purpose: str, extra: str) -> Any:
    """The module.

    Args:
        module: its name.
        purpose: what it is for, as a sentence's subject.
        extra: of zoo, that installs it.

    Raises:
        ValueError: it is not installed; the message says what installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{purpose} needs {error.name}, which is not installed: "
            f"{installed_by(extra)}"
        ) from error


@contextlib.contextmanager
def quiet_export() -> Iterator[None]:
    """Within, exporters keep to themselves what concerns their authors alone."""
    names = ("tf2onnx", "torch.onnx", "onnx_ir", "onnxscript", "absl")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
