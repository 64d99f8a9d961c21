"""Named configurations; weights saved, loaded and converted.

Names load what they need at first use, so that reading a manifest imports no backend.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.presets.convert_bert import export_bert
    from zoo.presets.convert_gpt2 import export_gpt2
    from zoo.presets.export import export_inference
    from zoo.presets.keras_hub_writing import export_keras_hub
    from zoo.presets.preset import FromPreset, from_preset
    from zoo.presets.registry import count_parameters, list_presets

_HOMES = {
    "FromPreset": "preset",
    "count_parameters": "registry",
    "export_bert": "convert_bert",
    "export_gpt2": "convert_gpt2",
    "export_inference": "export",
    "export_keras_hub": "keras_hub_writing",
    "from_preset": "preset",
    "list_presets": "registry",
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
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"zoo.presets.{_HOMES[name]}"), name)
    raise AttributeError(f"zoo.presets has no {name!r}")
