"""BERT: its encoder, pretraining, tasks and variants."""

from zoo.models.bert.backbone import (
    INPUTS,
    PRESETS,
    Bert,
    BertBackbone,
    BertConfig,
    BertEncoder,
    encoder_inputs,
    num_segments_of,
)

__all__ = [
    "Bert",
    "BertBackbone",
    "BertConfig",
    "BertEncoder",
    "INPUTS",
    "PRESETS",
    "encoder_inputs",
    "num_segments_of",
]
