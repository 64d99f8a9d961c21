"""The options of today's decoders, in Hugging Face's terms and in ours.

LLaMA and what shares its blocks (Mistral, Qwen2, Qwen3, SmolLM3, Gemma), and GPT-NeoX:
all are options of `zoo.GPT`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.configs.checks import shown
from zoo.files.limits import MAX_LAYERS
from zoo.formats.huggingface.activation_names import ACTIVATIONS, THEIR_ACTIVATIONS
from zoo.formats.huggingface.options import check_fixed, option
from zoo.formats.huggingface.rotary_options import rotary_of, their_rotary


@dataclass(frozen=True)
class Family:
    """What one of their model types is, in our terms.

    Attributes:
        model: the name of their model with a language model's head.
        prefix: of the names of its body's weights.
        head: the name of the head's weight.
        fields: fields of `GPTConfig` that all models of this type have.
        fixed: their options with a single supported value.
        theta: the rotation's base where config.json names none.
        tied: whether the head is the embedding where config.json says nothing.
        scales: how norms are stored, a transform of `rows`.
    """

    model: str
    prefix: str = "model."
    head: str = "lm_head.weight"
    fields: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    theta: float = 10000.0
    tied: bool = False
    scales: str = ""


LLAMA = {
    "positions": "rotary",
    "norm": "rms",
    "gated": True,
    "use_bias": False,
    "activation": "silu",
}
FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaForCausalLM", fields=LLAMA),
    "mistral": Family("MistralForCausalLM", fields=LLAMA),
    "qwen2": Family("Qwen2ForCausalLM", fields=LLAMA | {"qkv_bias": True}),
    "qwen3": Family("Qwen3ForCausalLM", fields=LLAMA | {"query_key_norm": True}),
    "smollm3": Family("SmolLM3ForCausalLM", fields=LLAMA, theta=2e6, tied=True),
    "gemma": Family(
        "GemmaForCausalLM",
        fields=LLAMA | {"activation": "gelu_tanh", "scale_embeddings": True},
        fixed={"use_bidirectional_attention": (None, False)},
        tied=True,
        scales="plus_one",
    ),
    "gpt_neox": Family(
        "GPTNeoXForCausalLM",
        prefix="gpt_neox.",
        head="embed_out.weight",
        fields={"positions": "rotary", "activation": "gelu"},
        fixed={"is_decoder": (False, True)},
    ),
}
# Options of all of them that change what is computed.
FIXED: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,),
    "pretraining_tp": (1,),
}


def family_of(theirs: Mapping[str, Any]) -> tuple[str, Family]:
    """Their model type, and what it is."""
    kind = str(theirs["model_type"])
    return kind, FAMILIES[kind]


# === From theirs ===


def config_fields(
    theirs: Mapping[str, Any], names: Iterable[str] | None = None
) -> dict[str, Any]:
    """The fields of `GPTConfig` for their config.json.

    Raises:
        ValueError: an option has a value that `zoo.GPT` does not support.
    """
    del names
    kind, family = family_of(theirs)
    check_fixed(theirs, {**FIXED, **family.fixed}, "zoo.GPT")
    heads = option(theirs, "num_attention_heads", 32)
    fields: dict[str, Any] = {
        **family.fields,
        "vocab_size": option(theirs, "vocab_size", 32000),
        "context_length": option(theirs, "max_position_embeddings", 2048),
        "num_layers": option(theirs, "num_hidden_layers", 32, most=MAX_LAYERS),
        "num_heads": heads,
        "width": option(theirs, "hidden_size", 4096),
        "feed_forward_width": option(theirs, "intermediate_size", 11008),
        "activation": _activation(theirs, family),
        "attention_dropout": float(option(theirs, "attention_dropout", 0.0)),
        "tie_embeddings": option(theirs, "tie_word_embeddings", family.tied),
        "initial_stddev": option(theirs, "initializer_range", 0.02),
    }
    special = _neox if kind == "gpt_neox" else _llama
    return fields | special(kind, family, theirs, fields)


def _activation(theirs: Mapping[str, Any], family: Family) -> str:
    # Gemma's first files have hidden_act="gelu" and mean the approximation.
    name = theirs.get("hidden_activation") or theirs.get("hidden_act")
    if name is None or (family.scales and name == "gelu"):
        return str(family.fields["activation"])
    if name not in ACTIVATIONS:
        raise ValueError(
            f"hidden_act must be one of {', '.join(ACTIVATIONS)}, got {shown(name)}."
        )
    return ACTIVATIONS[name]


def _llama(
    kind: str, family: Family, theirs: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields that LLaMA and its relatives state in their own way."""
    head_width = 128 if kind == "qwen3" else 256 if kind == "gemma" else 0
    mlp_bias = option(theirs, "mlp_bias", False)
    attention_bias = option(theirs, "attention_bias", False)
    found: dict[str, Any] = {
        "norm_epsilon": option(theirs, "rms_norm_eps", 1e-6),
        "num_key_value_heads": option(theirs, "num_key_value_heads", 0),
        "head_width": option(theirs, "head_dim", head_width),
        "window": _window(kind, theirs, fields["num_layers"]),
        "use_bias": mlp_bias,
        "rotary": rotary_of(
            theirs,
            family.theta,
            unrotated=_unrotated(theirs, fields["num_layers"])
            if kind == "smollm3"
            else 0,
        ),
    }
    if kind != "qwen2":
        found |= {"qkv_bias": attention_bias, "output_bias": attention_bias}
    return found


def _neox(
    kind: str, family: Family, theirs: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields that GPT-NeoX states in its own way."""
    del kind, fields
    parallel = option(theirs, "use_parallel_residual", True)
    bias = option(theirs, "attention_bias", True)
    theta = option(theirs, "rotary_emb_base", family.theta, float)
    share = option(theirs, "rotary_pct", 0.25)
    return {
        "norm_epsilon": option(theirs, "layer_norm_eps", 1e-5),
        "dropout": float(option(theirs, "hidden_dropout", 0.0)),
        "sublayers": "parallel" if parallel else "sequential",
        "qkv_bias": bias,
        "output_bias": bias,
        "rotary": rotary_of(theirs, theta, share),
    }


def _window(kind: str, theirs: Mapping[str, Any], num_layers: int) -> int:
    """The window that all layers have; 0 for none.

    Raises:
        ValueError: some layers have one and others have none.
    """
    window = option(theirs, "sliding_window", 0)
    if kind in ("llama", "gemma") or not window:
        return 0
    if kind == "mistral":
        return window
    if not option(theirs, "use_sliding_window", False):
        return 0
    default = num_layers if kind == "smollm3" else 28
    first = option(theirs, "max_window_layers", default)
    kinds = ["full_attention"] * min(first, num_layers)
    kinds += ["sliding_attention"] * (num_layers - len(kinds))
    named = option(theirs, "layer_types", tuple(kinds), tuple[str, ...])
    if set(named) == {"sliding_attention"}:
        return window
    if set(named) == {"full_attention"}:
        return 0
    raise ValueError(
        "layer_types must be the same for all layers, got sliding windows in "
        f"{named.count('sliding_attention')} of {num_layers}. zoo.GPT has one window "
        "for all of them."
    )


def _unrotated(theirs: Mapping[str, Any], num_layers: int) -> int:
    """Every how many layers one has no positions."""
    every = option(theirs, "no_rope_layer_interval", 4)
    given = theirs.get("no_rope_layers")
    if given is None:
        return every
    rotated = [bool(x) for x in option(theirs, "no_rope_layers", (), tuple[int, ...])]
    for step in (0, every, *range(1, num_layers + 1)):
        if rotated == [not step or (i + 1) % step != 0 for i in range(num_layers)]:
            return step
    raise ValueError(
        "no_rope_layers must leave out every n-th layer, got a list that does not."
    )


# === To theirs ===


def nearest(config: Any) -> str:
    """The model type that has most of these options."""
    if config.norm == "layer":
        return "gpt_neox"
    if config.scale_embeddings:
        return "gemma"
    if config.query_key_norm:
        return "qwen3"
    if config.rotary.unrotated_every:
        return "smollm3"
    biased = config.use_bias if config.output_bias is None else config.output_bias
    if config.qkv_bias and not biased:
        return "qwen2"
    return "mistral" if config.window else "llama"


def their_config(model: Any, kind: str) -> dict[str, Any]:
    """The contents of config.json."""
    config, family = model.config, FAMILIES[kind]
    tokenizer = model.tokenizer
    end = None if tokenizer is None else tokenizer.end_of_text_id
    found: dict[str, Any] = {
        "architectures": [family.model],
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward_width or 4 * config.width,
        "hidden_act": THEIR_ACTIVATIONS[config.activation],
        "attention_dropout": config.attention_dropout,
        "tie_word_embeddings": config.tie_embeddings,
        "initializer_range": config.initial_stddev,
        "bos_token_id": end,
        "eos_token_id": end,
        # Their default may lie outside the vocabulary.
        "pad_token_id": None,
        "dtype": "float32",
        **their_rotary(config.rotary),
    }
    if kind == "gpt_neox":
        share = config.rotary.share
        return found | {
            "layer_norm_eps": config.norm_epsilon,
            "hidden_dropout": config.dropout,
            "use_parallel_residual": config.sublayers == "parallel",
            "attention_bias": True,
            "rotary_pct": share,
            "rotary_emb_base": config.rotary.theta,
        }
    found |= {
        "rms_norm_eps": config.norm_epsilon,
        "num_key_value_heads": config.key_value_heads,
        "head_dim": config.head_width or config.width // config.num_heads,
        "attention_bias": bool(_meaning(config)["output_bias"]),
        "mlp_bias": config.use_bias,
    }
    if kind == "mistral":
        found["sliding_window"] = config.window
    elif config.window:
        layers = ["sliding_attention"] * config.num_layers
        found |= {"use_sliding_window": True, "max_window_layers": 0}
        found |= {"sliding_window": config.window, "layer_types": layers}
    if kind == "gemma":
        found["hidden_activation"] = found["hidden_act"]
    if kind == "smollm3":
        rotates = config.rotary.rotates
        found["no_rope_layer_interval"] = config.rotary.unrotated_every
        found["no_rope_layers"] = [int(rotates(i)) for i in range(config.num_layers)]
    return found


def _meaning(config: Any) -> dict[str, Any]:
    """What a model computes, with defaults written out, as far as a file can say it."""
    said = dict(vars(config))
    for name in ("dropout", "attention_dropout", "initial_stddev", "remat"):
        del said[name]
    said["num_key_value_heads"] = config.key_value_heads
    said["head_width"] = config.head_width or config.width // config.num_heads
    said["feed_forward_width"] = config.feed_forward_width or 4 * config.width
    for name in ("qkv_bias", "output_bias"):
        said[name] = config.use_bias if said[name] is None else said[name]
    return said


def refusals(model: Any, kind: str) -> list[str]:
    """What a model computes that this type can't; empty if it can be written."""
    wanted = _meaning(model.config)
    read = type(model.config)(**config_fields(their_config(model, kind)))
    got = _meaning(read)
    if kind == "gpt_neox":
        # Biases that we lack are written as zeros.
        for name in ("use_bias", "qkv_bias", "output_bias"):
            got[name] = wanted[name]
    return [
        f"{name} must be {got[name]!r}, got {wanted[name]!r}"
        for name in wanted
        if wanted[name] != got[name]
    ]
