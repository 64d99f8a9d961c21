"""Reads and writes GPT-2 in Hugging Face's format."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zoo.files.limits import MAX_LAYERS
from zoo.files.stored_arrays import LazyArrays
from zoo.formats.huggingface.activation_names import ACTIVATIONS, THEIR_ACTIVATIONS
from zoo.formats.huggingface.options import check_fixed, option
from zoo.formats.huggingface.rows import (
    Row,
    converted,
    rows_of,
    taken,
    their_arrays,
    untied,
)
from zoo.presets import weights

TABLE, HEAD = "wte.weight", "lm_head.weight"


def _layer(ours: str, theirs: str, transform: str = "") -> tuple[Row, Row]:
    """Both weights of a layer. Their matrices are laid out as ours are."""
    parts = ("gamma", "beta") if "norm" in ours else ("kernel", "bias")
    matrix, offset = (
        Row(f"{ours}/{part}", (f"{theirs}.{end}",), transform)
        for part, end in zip(parts, ("weight", "bias"), strict=True)
    )
    return matrix, offset


ROWS = (
    Row("token_embedding/embeddings", (TABLE,)),
    Row("positions/embeddings", ("wpe.weight",)),
    *_layer("block_*/attention_norm", "h.*.ln_1"),
    *_layer("block_*/attention/query_key_value", "h.*.attn.c_attn", "by_head"),
    *_layer("block_*/attention/output", "h.*.attn.c_proj"),
    *_layer("block_*/feed_forward_norm", "h.*.ln_2"),
    *_layer("block_*/feed_forward/expand", "h.*.mlp.c_fc"),
    *_layer("block_*/feed_forward/contract", "h.*.mlp.c_proj"),
    *_layer("final_norm", "ln_f"),
)

# Their models without a head other than `HEAD`.
MODELS = ("GPT2LMHeadModel", "GPT2Model")

# Causal masks, which old checkpoints store along with the weights.
BUFFERS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")

# Options that change what the model computes, and the values that we support.
FIXED: dict[str, tuple[Any, ...]] = {
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
}


def architecture(theirs: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    """Our architecture: all of their models become a `GPT`."""
    del theirs, names
    return "GPT"


def unknown_head(theirs: Mapping[str, Any]) -> str:
    """Their name of a model with another head than the language model's; else ""."""
    name = (option(theirs, "architectures", (), tuple[str, ...]) or MODELS)[0]
    return "" if name in MODELS else name


def config_fields(
    theirs: Mapping[str, Any], names: Iterable[str] | None = None
) -> dict[str, Any]:
    """The fields of `GPTConfig` for their config.json.

    Our dropout of embeddings and of the residual stream is their `resid_pdrop`.
    """
    del names
    check_fixed(theirs, FIXED, "zoo.GPT")
    activation = option(theirs, "activation_function", "gelu_new")
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation_function must be one of {', '.join(ACTIVATIONS)}, got "
            f"activation_function={activation!r}."
        )
    return {
        "vocab_size": option(theirs, "vocab_size", 50257),
        "context_length": option(theirs, "n_positions", 1024),
        "num_layers": option(theirs, "n_layer", 12, most=MAX_LAYERS),
        "num_heads": option(theirs, "n_head", 12),
        "width": option(theirs, "n_embd", 768),
        "feed_forward_width": option(theirs, "n_inner", 0),
        "dropout": option(theirs, "resid_pdrop", 0.1),
        "attention_dropout": option(theirs, "attn_pdrop", 0.1),
        "activation": ACTIVATIONS[activation],
        "norm_epsilon": option(theirs, "layer_norm_epsilon", 1e-5),
        "tie_embeddings": option(theirs, "tie_word_embeddings", True),
        "initial_stddev": option(theirs, "initializer_range", 0.02),
    }


def convert(
    theirs: Mapping[str, np.ndarray],
    config: Any,
    architecture: str = "GPT",
    head: str = "",
    strict: bool = True,
) -> LazyArrays:
    """Converts the weights of a GPT2LMHeadModel or GPT2Model to ours.

    Args:
        theirs: their weights, by name.
        config: the configuration of our model.
        architecture: always "GPT".
        head: what `unknown_head` returned; the weights of such a head keep their names.
        strict: False ignores missing weights, and keeps the names of weights that
            belong to none of our layers.

    Returns:
        Our weights by name, each read on access.

    Raises:
        ValueError: weights are missing, or belong to none of our layers.
    """
    del architecture
    names = {name.removeprefix("transformer."): name for name in theirs}
    names = {short: x for short, x in names.items() if not BUFFERS.fullmatch(short)}
    if config.tie_embeddings:
        untied(theirs, names, HEAD, TABLE)
    table, others = taken(names, rows(config), strict, head, "the GPT-2 folder")
    return converted(theirs, names, table, (config.num_heads, 1), others)


def export_gpt2(model: Any, directory: str | os.PathLike[str]) -> None:
    """Writes a folder that `transformers` loads as GPT2LMHeadModel.

    Absent biases (`use_bias=False`) are written as zeros, which is equivalent.

    Args:
        model: a `zoo.GPT`.
        directory: the folder to write.

    Raises:
        ValueError: the model computes something that GPT-2 does not.
    """
    arrays, config = their_form(model)
    texts = {"config.json": config, **tokenizer_files(model)}
    weights.write(directory, arrays, texts, {"format": "pt"})


def tokenizer_files(model: Any) -> dict[str, Any]:
    """The tokenizer's files; GPT's end of text is every special token of theirs."""
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), _end(model))
    return weights.transformers_tokenizer_texts(
        model, **(special if _end(model) else {})
    )


def their_form(model: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights by their names and the contents of config.json, for `export_gpt2`."""
    config = model.config
    supported = {"norm_position": "pre", "positions": "learned", "window": 0}
    for name, value in supported.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"{name} must be {value!r} for Hugging Face's GPT-2, got "
                f"{getattr(config, name)!r}."
            )
    arrays = {
        name if name == HEAD else f"transformer.{name}": array
        for name, array in their_arrays(model, rows(config)).items()
    }
    return arrays, _their_config(model)


def their_names(model: Any) -> dict[str, list[str]]:
    """Hugging Face's name of each of our weights."""
    return {row.ours: list(row.theirs) for row in rows(model.config)}


def rows(config: Any) -> list[Row]:
    """Which of their weights make each of ours."""
    table = rows_of(ROWS, config.num_layers)
    if not config.tie_embeddings:
        table.append(Row("head/kernel", (HEAD,), "transpose"))
    return table


def _their_config(model: Any) -> dict[str, Any]:
    config, tokenizer = model.config, model.tokenizer
    end = None if tokenizer is None else tokenizer.end_of_text_id
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_ctx": config.context_length,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_embd": config.width,
        "n_inner": config.feed_forward_width or None,
        "activation_function": THEIR_ACTIVATIONS[config.activation],
        "layer_norm_epsilon": config.norm_epsilon,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.attention_dropout,
        "initializer_range": config.initial_stddev,
        "tie_word_embeddings": config.tie_embeddings,
        "bos_token_id": end,
        "eos_token_id": end,
        "dtype": "float32",
    }


def _end(model: Any) -> str | None:
    """The tokenizer's end-of-text token, if any."""
    tokenizer = model.tokenizer
    if tokenizer is None or tokenizer.end_of_text_id is None:
        return None
    return tokenizer.id_to_token(tokenizer.end_of_text_id)


write = export_gpt2
