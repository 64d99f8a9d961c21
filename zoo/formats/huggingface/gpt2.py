"""Reads and writes GPT-2 in Hugging Face's format (`transformers`, model_type "gpt2").

Shapes: D width, N heads, H head width.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from zoo.files.limits import MAX_LAYERS
from zoo.files.stored_arrays import LazyArrays, shape_of
from zoo.formats.huggingface.activation_names import ACTIVATIONS, THEIR_ACTIVATIONS
from zoo.formats.huggingface.options import check_fixed, option
from zoo.presets import weights

# Their name, ours, and a transform that reading applies and writing inverts. A star
# stands for the block's number.
KEYS = (
    ("wte.weight", "token_embedding/embeddings", None),
    ("wpe.weight", "positions/embeddings", None),
    ("h.*.ln_1.weight", "block_*/attention_norm/gamma", None),
    ("h.*.ln_1.bias", "block_*/attention_norm/beta", None),
    ("h.*.attn.c_attn.weight", "block_*/attention/query_key_value/kernel", "by_head"),
    ("h.*.attn.c_attn.bias", "block_*/attention/query_key_value/bias", "by_head"),
    ("h.*.attn.c_proj.weight", "block_*/attention/output/kernel", None),
    ("h.*.attn.c_proj.bias", "block_*/attention/output/bias", None),
    ("h.*.ln_2.weight", "block_*/feed_forward_norm/gamma", None),
    ("h.*.ln_2.bias", "block_*/feed_forward_norm/beta", None),
    ("h.*.mlp.c_fc.weight", "block_*/feed_forward/expand/kernel", None),
    ("h.*.mlp.c_fc.bias", "block_*/feed_forward/expand/bias", None),
    ("h.*.mlp.c_proj.weight", "block_*/feed_forward/contract/kernel", None),
    ("h.*.mlp.c_proj.bias", "block_*/feed_forward/contract/bias", None),
    ("ln_f.weight", "final_norm/gamma", None),
    ("ln_f.bias", "final_norm/beta", None),
)
TABLE = KEYS[0][0]
HEAD = ("lm_head.weight", "head/kernel", "transpose")

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
    if config.tie_embeddings and HEAD[0] in names:
        copy = names.pop(HEAD[0])
        # Only one of the two may have been saved.
        table_name = names.setdefault(TABLE, copy)
        if copy != table_name and not np.array_equal(theirs[copy], theirs[table_name]):
            raise ValueError(
                f"{HEAD[0]} must equal {TABLE}, since config.json ties the embeddings, "
                "but it does not. Set tie_word_embeddings to false in config.json."
            )
    table = _table(config)
    expected = {name for name, _, _ in table}
    others = {name: x for name, x in names.items() if name not in expected}
    if strict:
        taken = expected & set(names) if head else names
        weights.check_names(taken, expected, "the GPT-2 folder")
    table = [row for row in table if row[0] in names]

    def maker(name: str, transform: str | None) -> Callable[[], np.ndarray]:
        return lambda: _transformed(theirs[names[name]], transform, config, inward=True)

    makers = {ours: maker(name, x) for name, ours, x in table}
    makers |= {name: maker(name, None) for name in others}
    shapes = {ours: shape_of(theirs, names[name]) for name, ours, _ in table}
    shapes |= {name: shape_of(theirs, place) for name, place in others.items()}
    if HEAD[1] in shapes:
        shapes[HEAD[1]] = shapes[HEAD[1]][::-1]
    return LazyArrays(makers, shapes)


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
    ours = weights.arrays_of(model)
    arrays = {}
    for name, our_name, transform in _table(config):
        array = ours[our_name] if our_name in ours else _zero_bias(our_name, ours)
        array = _transformed(array, transform, config, inward=False)
        arrays[name if name == HEAD[0] else f"transformer.{name}"] = array
    return arrays, _their_config(model)


def their_names(model: Any) -> dict[str, list[str]]:
    """Hugging Face's name of each of our weights."""
    return {ours: [name] for name, ours, _ in _table(model.config)}


def _table(config: Any) -> list[tuple[str, str, str | None]]:
    """The rows of `KEYS` for a model of this size."""
    table: list[tuple[str, str, str | None]] = []
    for name, ours, transform in KEYS:
        blocks = range(config.num_layers) if "*" in name else range(1)
        for block in blocks:
            index = str(block)
            row = (name.replace("*", index), ours.replace("*", index), transform)
            table.append(row)
    return table if config.tie_embeddings else [*table, HEAD]


def _transformed(
    x: np.ndarray, transform: str | None, config: Any, inward: bool
) -> np.ndarray:
    if transform == "transpose":
        x = x.T
    elif transform == "by_head" and x.shape[-1] == 3 * config.width:
        # Theirs hold all queries, then all keys, then all values (3, N, H); ours are
        # ordered head by head (N, 3, H).
        outer = (3, config.num_heads) if inward else (config.num_heads, 3)
        parts = x.reshape(*x.shape[:-1], *outer, -1)
        x = np.swapaxes(parts, -3, -2).reshape(x.shape)
    return np.ascontiguousarray(x)


def _zero_bias(name: str, ours: Mapping[str, np.ndarray]) -> np.ndarray:
    layer, _ = name.rsplit("/", 1)
    beside = "gamma" if f"{layer}/gamma" in ours else "kernel"
    return np.zeros(ours[f"{layer}/{beside}"].shape[-1], "float32")


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
