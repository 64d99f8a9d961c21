"""One engine per backend: how the training step differentiates, loops and compiles.

Names load what they need on first use, since `zoo.engine.layout` needs no backend.
"""

import importlib
from typing import Any

_HOMES = {
    "Engine": "zoo.engine.base",
    "activate": "zoo.engine.current",
    "deactivate": "zoo.engine.current",
    "engine": "zoo.engine.current",
    "input_gradient": "zoo.engine.current",
    "tracing": "zoo.engine.tracing",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
