"""Named configurations, and saving, loading and converting weights.

Names are imported on first use, so that reading a manifest imports no backend.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.presets.export import export_inference
    from zoo.presets.preset import FromPreset, from_preset
    from zoo.presets.registration import register
    from zoo.presets.registry import count_parameters, list_presets

_HOMES = {
    "FromPreset": "zoo.presets.preset",
    "count_parameters": "zoo.presets.registry",
    "export_bert": "zoo.formats.huggingface.bert",
    "export_gpt2": "zoo.formats.huggingface.gpt2",
    "export_inference": "zoo.presets.export",
    "export_keras_hub": "zoo.formats.keras_hub.writing",
    "from_preset": "zoo.presets.preset",
    "list_presets": "zoo.presets.registry",
    "register": "zoo.presets.registration",
}

__all__ = [
    "FromPreset",
    "count_parameters",
    "export_bert",
    "export_gpt2",
    "export_inference",
    "export_keras_hub",
    "from_preset",
    "list_presets",
    "register",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"zoo.presets has no {name!r}.")
