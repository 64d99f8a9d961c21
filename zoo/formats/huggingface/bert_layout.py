"""Hugging Face's names of the layers of BERT and its variants."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Their layer, ours, and the kind of conversion between their weights. A star stands
# for the block's number.
Row = tuple[str, str, str]

EMBEDDINGS: tuple[Row, ...] = (
    ("embeddings.word_embeddings", "bert/token_embedding", "embedding"),
    ("embeddings.token_type_embeddings", "bert/segment_embedding", "embedding"),
    ("embeddings.position_embeddings", "bert/positions", "embedding"),
    ("embeddings.LayerNorm", "bert/embedding_norm", "norm"),
)


def _blocks(
    prefix: str, attention: str, output: str, norm: str, expand: str, contract: str,
    last_norm: str,
) -> tuple[Row, ...]:  # fmt: skip
    return tuple(
        (f"{prefix}.{theirs}", f"bert/block_*/{ours}", kind)
        for theirs, ours, kind in (
            (attention, "attention/query_key_value", "by_head"),
            (output, "attention/output", "dense"),
            (norm, "attention_norm", "norm"),
            (expand, "feed_forward/expand", "dense"),
            (contract, "feed_forward/contract", "dense"),
            (last_norm, "feed_forward_norm", "norm"),
        )
    )


# The encoder's layers, by the prefix of its blocks' names.
BODIES: dict[str, tuple[Row, ...]] = {
    "encoder.layer.": (
        *EMBEDDINGS,
        ("embeddings_project", "bert/projection", "dense"),
        *_blocks(
            "encoder.layer.*",
            "attention.self.(query|key|value)",
            "attention.output.dense",
            "attention.output.LayerNorm",
            "intermediate.dense",
            "output.dense",
            "output.LayerNorm",
        ),
    ),
    "encoder.albert_layer_groups.": (
        *EMBEDDINGS,
        ("encoder.embedding_hidden_mapping_in", "bert/projection", "dense"),
        *_blocks(
            "encoder.albert_layer_groups.*.albert_layers.0",
            "attention.(query|key|value)",
            "attention.dense",
            "attention.LayerNorm",
            "ffn",
            "ffn_output",
            "full_layer_layer_norm",
        ),
    ),
    "transformer.layer.": (
        *EMBEDDINGS,
        *_blocks(
            "transformer.layer.*",
            "attention.(q_lin|k_lin|v_lin)",
            "attention.out_lin",
            "sa_layer_norm",
            "ffn.lin1",
            "ffn.lin2",
            "output_layer_norm",
        ),
    ),
}

# Variants whose blocks are named differently from BERT's.
BODY_OF = {"albert": "encoder.albert_layer_groups.", "distilbert": "transformer.layer."}

# BERT's heads in the order in which they are written, then ELECTRA's discriminator.
HEADS: tuple[Row, ...] = (
    ("pooler.dense", "pooler", "dense"),
    ("cls.predictions", "masked_lm", "bias"),
    ("cls.predictions.transform.dense", "masked_lm/transform", "dense"),
    ("cls.predictions.transform.LayerNorm", "masked_lm/norm", "norm"),
    ("cls.seq_relationship", "next_sentence", "dense"),
    ("classifier.dense", "transform", "dense"),
    ("classifier", "classifier", "dense"),
    ("classifier", "tagger", "dense"),
    ("qa_outputs", "span", "dense"),
    ("discriminator_predictions.dense", "replaced/transform", "dense"),
    ("discriminator_predictions.dense_prediction", "replaced/score", "dense"),
)

# The variants' names of layers, and BERT's.
SYNONYMS: dict[str, dict[str, str]] = {
    "bert": {},
    "roberta": {
        "lm_head": "cls.predictions",
        "lm_head.decoder": "cls.predictions.decoder",
        "lm_head.dense": "cls.predictions.transform.dense",
        "lm_head.layer_norm": "cls.predictions.transform.LayerNorm",
        "classifier.out_proj": "classifier",
    },
    "albert": {
        "pooler": "pooler.dense",
        "predictions": "cls.predictions",
        "predictions.decoder": "cls.predictions.decoder",
        "predictions.dense": "cls.predictions.transform.dense",
        "predictions.LayerNorm": "cls.predictions.transform.LayerNorm",
        "sop_classifier.classifier": "cls.seq_relationship",
    },
    "electra": {
        "generator_lm_head": "cls.predictions",
        "generator_predictions.dense": "cls.predictions.transform.dense",
        "generator_predictions.LayerNorm": "cls.predictions.transform.LayerNorm",
        "classifier.out_proj": "classifier",
    },
    "distilbert": {
        "vocab_projector": "cls.predictions",
        "vocab_transform": "cls.predictions.transform.dense",
        "vocab_layer_norm": "cls.predictions.transform.LayerNorm",
        "pre_classifier": "classifier.dense",
    },
}
ALL_SYNONYMS = {k: name for names in SYNONYMS.values() for k, name in names.items()}
# Names in checkpoints converted from TensorFlow.
OLD_NORMS = {"gamma": "weight", "beta": "bias"}

# Position indices, which are not weights.
PASSED_OVER = re.compile(r"embeddings\.position_ids")

PARTS = {
    "dense": (("weight", "kernel"), ("bias", "bias")),
    "by_head": (("weight", "kernel"), ("bias", "bias")),
    "norm": (("weight", "gamma"), ("bias", "beta")),
    "embedding": (("weight", "embeddings"),),
    "bias": (("bias", "bias"),),
}


def renamed(name: str) -> str:
    """BERT's name of a variant's weight, without the encoder's prefix."""
    name = re.sub(rf"^({'|'.join(SYNONYMS)})\.", "", name)
    layer, dot, end = name.rpartition(".")
    return f"{ALL_SYNONYMS.get(layer, layer)}{dot}{OLD_NORMS.get(end, end)}"


def head_of(row: Row) -> str:
    """Our name of the head that a row belongs to."""
    return row[1].split("/")[0]


def expanded(rows: Sequence[Row], config: Any) -> Iterator[Row]:
    """Yields the rows of an encoder with this configuration, block by block."""
    for theirs, ours, kind in rows:
        if ours == "bert/segment_embedding" and not config.num_segments:
            continue
        if ours == "bert/projection" and not config.embedding_width:
            continue
        distinct = 1 if config.shared_layers else config.num_layers
        for block in range(distinct if "*" in ours else 1):
            index = str(block)
            yield theirs.replace("*", index), ours.replace("*", index), kind


def parts_of(row: Row) -> Iterator[tuple[str, str, str]]:
    """Yields a row's weights: their layer, their weight in it, and our name."""
    theirs, ours, kind = row
    before, _, choices = theirs.partition("(")
    for end, our_end in PARTS[kind]:
        for choice in choices.rstrip(")").split("|"):
            yield before + choice, end, f"{ours}/{our_end}"


def layer_name(layer: str, row: Row, names: Mapping[str, str]) -> str:
    """A variant's name of a layer; a tagger's head is named as BERT's in all."""
    return layer if head_of(row) == "tagger" else names.get(layer, layer)
