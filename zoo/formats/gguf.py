"""Presents a GGUF file as a Hugging Face folder: LLaMA, Mistral, Qwen2 and Qwen3.

The file holds everything: configuration, weights, tokenizer. Quantised weights become
float32.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.configs.checks import shown
from zoo.files.gguf_files import GGUF
from zoo.files.stored_arrays import LazyArrays

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
# llama.cpp's names, and Hugging Face's.
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# Their names of our options of rotary positions.
SCALINGS = ("linear", "yarn")


def settings(file: Path) -> dict[str, Any]:
    """The equivalent of Hugging Face's config.json.

    Raises:
        ValueError: the file has another architecture.
    """
    found = GGUF(file)
    kind = found.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise ValueError(
            f"general.architecture must be one of {tuple(ARCHITECTURES)}, got "
            f"{shown(kind)}."
        )

    def option(name: str, default: Any = None) -> Any:
        return found.get(f"{kind}.{name}", default)

    vocabulary, width = found.stored["token_embd.weight"].shape
    heads = option("attention.head_count")
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": option("rope.freq_base", 10000.0),
    }
    if scaling := option("rope.scaling.type"):
        if scaling not in ("none", *SCALINGS):
            raise ValueError(
                f"{kind}.rope.scaling.type must be one of {SCALINGS}, got "
                f"{shown(scaling)}."
            )
        if scaling != "none":
            rope |= {"rope_type": scaling, "factor": option("rope.scaling.factor", 1.0)}
            length = option("rope.scaling.original_context_length")
            rope |= {"original_max_position_embeddings": length} if length else {}
    return {
        "model_type": kind,
        "architectures": [ARCHITECTURES[kind]],
        "vocab_size": vocabulary,
        "hidden_size": width,
        "max_position_embeddings": option("context_length"),
        "num_hidden_layers": option("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": option("attention.head_count_kv", heads),
        "head_dim": option("attention.key_length", width // heads),
        "intermediate_size": option("feed_forward_length"),
        # A float32 in the file, whose digits beyond its precision are noise.
        "rms_norm_eps": float(str(np.float32(option(_EPSILON, 1e-5)))),
        "tie_word_embeddings": "output.weight" not in found.stored,
        "attention_bias": kind == "llama" and "blk.0.attn_q.bias" in found.stored,
        "rope_parameters": rope,
    }


_EPSILON = "attention.layer_norm_rms_epsilon"


def names(file: Path) -> list[str]:
    """The names of the weights in Hugging Face's format."""
    return [_renamed(name) for name in GGUF(file).stored]


def read(file: Path) -> LazyArrays:
    """The weights in Hugging Face's format."""
    found = GGUF(file)
    arrays, kind = found.arrays(), found.get("general.architecture")
    heads = {
        "attn_q": found.get(f"{kind}.attention.head_count"),
        "attn_k": found.get(f"{kind}.attention.head_count_kv"),
    }

    def maker(name: str) -> Callable[[], np.ndarray]:
        part = name.split(".")[-2] if "." in name else name
        if kind == "llama" and part in heads:
            return lambda: _halves(arrays, name, heads[part])
        return lambda: arrays[name]

    return LazyArrays(
        {_renamed(name): maker(name) for name in arrays},
        {_renamed(name): shape for name, shape in arrays.shapes.items()},
    )


def _halves(arrays: Mapping[str, np.ndarray], name: str, heads: int) -> np.ndarray:
    """Queries or keys with the pairs of rotary features in halves of each head.

    llama.cpp's LLaMA rotates neighbouring features.
    """
    x = arrays[name]
    parts = x.reshape(heads, -1, 2, *x.shape[1:])
    return np.ascontiguousarray(np.swapaxes(parts, 1, 2).reshape(x.shape))


def _renamed(name: str) -> str:
    """Hugging Face's name; unknown names stay, to be reported as unexpected."""
    if found := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name):
        block, part, end = found.groups()
        if part in BLOCK:
            return f"model.layers.{block}.{BLOCK[part]}.{end}"
    layer, _, end = name.rpartition(".")
    return f"{NAMES[layer]}.{end}" if layer in NAMES else name
