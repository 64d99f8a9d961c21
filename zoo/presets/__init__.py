"""Named configurations; weights saved, loaded and converted."""

from zoo.presets.convert_bert import export_bert
from zoo.presets.convert_gpt2 import export_gpt2
from zoo.presets.preset import FromPreset
from zoo.presets.registry import count_parameters, list_presets

__all__ = [
    "FromPreset",
    "count_parameters",
    "export_bert",
    "export_gpt2",
    "list_presets",
]
