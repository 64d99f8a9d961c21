"""Lets only one of several processes write a file."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.training.saving.unsaved_layers import check_saved


@contextlib.contextmanager
def written(model: Any, filepath: Any) -> Iterator[Any]:
    """Within the block, a model's weights can be read and written to the path given.

    All processes gather the weights; all but the main one get a temporary path.

    Args:
        model: a `zoo.training.Model`.
        filepath: where the main process writes.
    """
    check_saved(model)
    variables = [
        *model.variables,
        *(model.optimizer.variables if model.compiled else ()),
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        model.engine.readable(variables),
    ):
        kept = model.engine.is_main
        yield filepath if kept else Path(folder) / Path(filepath).name
    model.engine.wait()
