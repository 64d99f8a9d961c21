"""Reads and writes today's decoders in Hugging Face's format: their weights.

For their options, and for which models these are, see `decoder_options`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zoo.files.stored_arrays import LazyArrays
from zoo.formats.huggingface.decoder_options import (
    FAMILIES,
    Family,
    config_fields,
    family_of,
    nearest,
    refusals,
    their_config,
)
from zoo.formats.huggingface.options import option
from zoo.formats.huggingface.rows import (
    Row,
    converted,
    rows_of,
    taken,
    their_arrays,
    untied,
)

__all__ = [
    "architecture",
    "config_fields",
    "convert",
    "nearest",
    "refusals",
    "their_form",
    "their_names",
    "unknown_head",
]

# Tables that old checkpoints store along with the weights.
BUFFERS = re.compile(r".*(rotary_emb\.inv_freq|attention\.(bias|masked_bias))")


def architecture(theirs: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    """Our architecture: all of them are a `GPT`."""
    del theirs, names
    return "GPT"


def unknown_head(theirs: Mapping[str, Any]) -> str:
    """Their name of a model with another head than the language model's; else ""."""
    _, family = family_of(theirs)
    body = family.model.removesuffix("ForCausalLM") + "Model"
    name = (option(theirs, "architectures", (), tuple[str, ...]) or (body,))[0]
    return "" if name in (family.model, body) else name


def rows(kind: str, config: Any) -> list[Row]:
    """Which of their weights make each of ours."""
    family = FAMILIES[kind]
    table = _neox_rows(family) if kind == "gpt_neox" else _llama_rows(family, config)
    if not config.tie_embeddings:
        table.append(Row("head/kernel", (family.head,), "transpose"))
    return rows_of(table, config.num_layers)


def _llama_rows(family: Family, config: Any) -> list[Row]:
    qkv = config.use_bias if config.qkv_bias is None else config.qkv_bias
    output = config.use_bias if config.output_bias is None else config.output_bias
    block, scales = f"{family.prefix}layers.*.", family.scales
    attention = f"{block}self_attn."

    def projections(part: str) -> tuple[str, ...]:
        return tuple(f"{attention}{name}_proj.{part}" for name in "qkv")

    def norm(ours: str, theirs: str) -> Row:
        return Row(f"block_*/{ours}/scale", (f"{block}{theirs}.weight",), scales)

    table = [
        Row("token_embedding/embeddings", (f"{family.prefix}embed_tokens.weight",)),
        norm("attention_norm", "input_layernorm"),
        Row(
            "block_*/attention/query_key_value/kernel", projections("weight"), "grouped"
        ),
        Row(
            "block_*/attention/output/kernel",
            (f"{attention}o_proj.weight",),
            "transpose",
        ),
        norm("feed_forward_norm", "post_attention_layernorm"),
        Row("final_norm/scale", (f"{family.prefix}norm.weight",), scales),
    ]
    if qkv:
        table.append(
            Row(
                "block_*/attention/query_key_value/bias", projections("bias"), "grouped"
            )
        )
    if output:
        table.append(Row("block_*/attention/output/bias", (f"{attention}o_proj.bias",)))
    if config.query_key_norm:
        table += [
            norm("attention/query_norm", "self_attn.q_norm"),
            norm("attention/key_norm", "self_attn.k_norm"),
        ]
    for ours, theirs in (("gate", "gate"), ("expand", "up"), ("contract", "down")):
        layer, name = f"block_*/feed_forward/{ours}", f"{block}mlp.{theirs}_proj"
        table.append(Row(f"{layer}/kernel", (f"{name}.weight",), "transpose"))
        if config.use_bias:
            table.append(Row(f"{layer}/bias", (f"{name}.bias",)))
    return table


def _neox_rows(family: Family) -> list[Row]:
    block = f"{family.prefix}layers.*."
    table = [Row("token_embedding/embeddings", (f"{family.prefix}embed_in.weight",))]
    for ours, theirs in (
        ("block_*/attention_norm", f"{block}input_layernorm"),
        ("block_*/feed_forward_norm", f"{block}post_attention_layernorm"),
        ("final_norm", f"{family.prefix}final_layer_norm"),
    ):
        table += [
            Row(f"{ours}/gamma", (f"{theirs}.weight",)),
            Row(f"{ours}/beta", (f"{theirs}.bias",)),
        ]
    for ours, theirs in (
        # Both order the columns by head: a head's query, key and value.
        ("attention/query_key_value", "attention.query_key_value"),
        ("attention/output", "attention.dense"),
        ("feed_forward/expand", "mlp.dense_h_to_4h"),
        ("feed_forward/contract", "mlp.dense_4h_to_h"),
    ):
        table += [
            Row(f"block_*/{ours}/kernel", (f"{block}{theirs}.weight",), "transpose"),
            Row(f"block_*/{ours}/bias", (f"{block}{theirs}.bias",)),
        ]
    return table


def _heads(config: Any) -> tuple[int, int]:
    """Heads of keys and values, and query heads for each."""
    return config.key_value_heads, config.num_heads // config.key_value_heads


def convert(
    theirs: Mapping[str, np.ndarray],
    config: Any,
    architecture: str = "GPT",
    head: str = "",
    strict: bool = True,
) -> LazyArrays:
    """Converts their weights to ours.

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
    kind = nearest(config)
    family = FAMILIES[kind]
    table = rows(kind, config)
    if kind == "gpt_neox":
        table = [row for row in table if _has(config, row.ours)]
    names = {_full(name, family): name for name in theirs}
    names = {name: x for name, x in names.items() if not BUFFERS.fullmatch(name)}
    if config.tie_embeddings:
        untied(theirs, names, family.head, table[0].theirs[0])
    table, others = taken(names, table, strict, head, f"the {family.model} folder")
    return converted(theirs, names, table, _heads(config), others)


def _full(name: str, family: Family) -> str:
    """A weight's name in the model with a head; the body alone has no prefix."""
    if name == "lm_head.weight":
        return family.head  # GPT-NeoX has it by either name
    whole = name.startswith(family.prefix) or name == family.head
    return name if whole else family.prefix + name


def _has(config: Any, ours: str) -> bool:
    """Whether a GPT-NeoX of ours has this weight: biases are options."""
    if not ours.endswith("bias"):
        return True
    given = {
        "query_key_value": config.qkv_bias,
        "output": config.output_bias,
    }.get(ours.split("/")[-2])
    return config.use_bias if given is None else given


def their_form(model: Any, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights by their names and the contents of config.json."""
    arrays = their_arrays(model, rows(kind, model.config), _heads(model.config))
    return arrays, their_config(model, kind)


def their_names(model: Any) -> dict[str, list[str]]:
    """Hugging Face's names of each of our weights."""
    table = rows(nearest(model.config), model.config)
    return {row.ours: list(row.theirs) for row in table}
