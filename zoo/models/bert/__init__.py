"""BERT: its encoder, pretraining, tasks and descendants."""

from zoo.models.bert.backbone import (
    INPUTS,
    PRESETS,
    Bert,
    BertBackbone,
    BertConfig,
    BertEncoder,
    inputs_of,
    num_segments_of,
)

__all__ = [
    "Bert",
    "BertBackbone",
    "BertConfig",
    "BertEncoder",
    "INPUTS",
    "PRESETS",
    "inputs_of",
    "num_segments_of",
]
