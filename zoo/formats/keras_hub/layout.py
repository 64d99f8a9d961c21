"""Where Keras Hub's presets of BERT and GPT-2 store their weights.

Weights are identified by Hugging Face's names; see `formats.huggingface.bert_layout`
and `formats.huggingface.gpt2`.

Shapes: D width, N heads, H head width.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

# Keras Hub's layer, Hugging Face's, and the kind of layout. A star stands for the
# block's number. Rows with the same name are parts of one array, side by side.
Row = tuple[str, str, str]
KINDS = ("embedding", "norm", "dense", "to_heads", "from_heads")


def _block(block: str, prefix: str, names: Sequence[str]) -> tuple[Row, ...]:
    rows = (
        ("_self_attention_layer/query_dense", "to_heads"),
        ("_self_attention_layer/key_dense", "to_heads"),
        ("_self_attention_layer/value_dense", "to_heads"),
        ("_self_attention_layer/output_dense", "from_heads"),
        ("_self_attention_layer_norm", "norm"),
        ("_feedforward_intermediate_dense", "dense"),
        ("_feedforward_output_dense", "dense"),
        ("_feedforward_layer_norm", "norm"),
    )
    return tuple(
        (f"{block}*/{theirs}", f"{prefix}.*.{name}", kind)
        for (theirs, kind), name in zip(rows, names, strict=True)
    )


@dataclasses.dataclass(frozen=True)
class Family:
    """One of Keras Hub's backbones.

    Attributes:
        module: the module of Keras Hub's class.
        layers: the rows of its layers.
        transposed: whether Hugging Face's kernels are (out, in); Keras Hub's are
            (in, out).
        fields: Hugging Face's name of each field, and Keras Hub's.
        fixed: further fields of Hugging Face's config.json, which describe what Keras
            Hub always computes.
        prefix: the prefix of Hugging Face's names in models with a head.
    """

    module: str
    layers: tuple[Row, ...]
    transposed: bool
    fields: dict[str, str]
    fixed: dict[str, Any]
    prefix: str


FAMILIES = {
    "BertBackbone": Family(
        "bert",
        (
            ("reversible_embedding", "embeddings.word_embeddings", "embedding"),
            ("embedding", "embeddings.token_type_embeddings", "embedding"),
            ("position_embedding", "embeddings.position_embeddings", "embedding"),
            ("layer_normalization", "embeddings.LayerNorm", "norm"),
            *_block(
                "transformer_encoder",
                "encoder.layer",
                (
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "attention.output.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ),
            ),
            ("dense", "pooler.dense", "dense"),
        ),
        transposed=True,
        fields={
            "vocab_size": "vocabulary_size",
            "num_hidden_layers": "num_layers",
            "num_attention_heads": "num_heads",
            "hidden_size": "hidden_dim",
            "intermediate_size": "intermediate_dim",
            "hidden_dropout_prob": "dropout",
            "max_position_embeddings": "max_sequence_length",
            "type_vocab_size": "num_segments",
        },
        fixed={
            "model_type": "bert",
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-12,
        },
        prefix="bert.",
    ),
    "GPT2Backbone": Family(
        "gpt2",
        (
            ("reversible_embedding", "wte", "embedding"),
            ("position_embedding", "wpe", "embedding"),
            *_block(
                "transformer_decoder",
                "h",
                (
                    *("attn.c_attn",) * 3,
                    "attn.c_proj",
                    "ln_1",
                    "mlp.c_fc",
                    "mlp.c_proj",
                    "ln_2",
                ),
            ),
            ("layer_normalization", "ln_f", "norm"),
        ),
        transposed=False,
        fields={
            "vocab_size": "vocabulary_size",
            "n_layer": "num_layers",
            "n_head": "num_heads",
            "n_embd": "hidden_dim",
            "n_inner": "intermediate_dim",
            "resid_pdrop": "dropout",
            "n_positions": "max_sequence_length",
        },
        fixed={
            "model_type": "gpt2",
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "tie_word_embeddings": True,
        },
        prefix="transformer.",
    ),
}
HEAD: Row = ("dense", "classifier", "dense")
MODEL_WEIGHTS, TASK_WEIGHTS = "model.weights.h5", "task.weights.h5"


def expanded(rows: Sequence[Row], num_layers: int) -> Iterator[Row]:
    """Yields the rows with stars replaced by block numbers."""
    for theirs, name, kind in rows:
        if "*" not in theirs:
            yield theirs, name, kind
            continue
        # Rows stay in order within a block, so that parts of an array do too.
        for block in range(num_layers):
            there = theirs.replace("*", f"_{block}" if block else "")
            yield there, name.replace("*", str(block)), kind


def ends(kind: str) -> tuple[str, ...]:
    """The names of the weights of a kind of layer."""
    return ("weight",) if kind == "embedding" else ("weight", "bias")


def place(theirs: str, end: str) -> str:
    """The path of a layer's weight in Keras Hub's file."""
    return f"layers/{theirs}/vars/{('weight', 'bias').index(end)}"
