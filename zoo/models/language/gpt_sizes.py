"""Published sizes of GPT and of the decoders that followed it."""

from typing import Any

from zoo.layers.attention.rotary import Rotary
from zoo.models.language.gpt_config import GPTConfig


def _gpt2(num_layers: int, num_heads: int, width: int) -> GPTConfig:
    return GPTConfig(50257, 1024, num_layers, num_heads, width)


def _gpt3(num_layers: int, num_heads: int, width: int) -> GPTConfig:
    return GPTConfig(50257, 2048, num_layers, num_heads, width)


def _llama(
    context: int, layers: int, heads: int, width: int, hidden: int, **options: Any
) -> GPTConfig:
    """LLaMA's block: RMS norm, rotary positions, SwiGLU, no biases."""
    fields: dict[str, Any] = {
        "vocab_size": 32000,
        "norm": "rms",
        "norm_epsilon": 1e-5,
        "positions": "rotary",
        "activation": "silu",
        "gated": True,
        "use_bias": False,
        "tie_embeddings": False,
        "num_key_value_heads": 8,
    }
    return GPTConfig(
        **fields
        | {
            "context_length": context,
            "num_layers": layers,
            "num_heads": heads,
            "width": width,
            "feed_forward_width": hidden,
        }
        | options
    )


# Touvron et al. 2023a, 2023b; Grattafiori et al. 2024.
_LLAMA1: dict[str, Any] = {"norm_epsilon": 1e-6, "num_key_value_heads": 0}
_LLAMA2: dict[str, Any] = {"num_key_value_heads": 0}
_LLAMA3: dict[str, Any] = {"vocab_size": 128256, "rotary": Rotary(theta=5e5)}


def _longer(factor: float) -> dict[str, Any]:
    """LLaMA 3.1's scaling from 8,192 to 131,072 tokens."""
    rotary = Rotary(
        theta=5e5,
        scaling="llama3",
        factor=factor,
        original_length=8192,
        slow=1.0,
        fast=4.0,
    )
    return _LLAMA3 | {"rotary": rotary}


# Yang et al. 2024, 2025.
_QWEN2: dict[str, Any] = {
    "vocab_size": 151936,
    "norm_epsilon": 1e-6,
    "qkv_bias": True,
    "rotary": Rotary(theta=1e6),
}
_TIED: dict[str, Any] = {"tie_embeddings": True}
_QWEN3: dict[str, Any] = {
    **_QWEN2,
    "qkv_bias": None,
    "query_key_norm": True,
    "head_width": 128,
}
# Allal et al. 2025.
_SMOLLM2: dict[str, Any] = {
    "vocab_size": 49152,
    "tie_embeddings": True,
    "rotary": Rotary(theta=1e5),
}


def _palm(layers: int, heads: int, width: int) -> GPTConfig:
    """PaLM's block: parallel, one head of keys and values, heads 256 wide."""
    return GPTConfig(
        256000,
        2048,
        layers,
        heads,
        width,
        head_width=256,
        num_key_value_heads=1,
        positions="rotary",
        activation="silu",
        gated=True,
        use_bias=False,
        sublayers="parallel_shared_norm",
    )


PRESETS: dict[str, GPTConfig] = {
    "gpt1": GPTConfig(40478, 512, 12, 12, 768, norm_position="post"),
    "gpt2": _gpt2(12, 12, 768),
    "gpt2_medium": _gpt2(24, 16, 1024),
    "gpt2_large": _gpt2(36, 20, 1280),
    "gpt2_xl": _gpt2(48, 25, 1600),
    # Brown et al. 2020, table 2.1. Two rows can't be built as printed: XL's 24 heads of
    # width 128 do not add up to its width of 2048 (16 do), and 13B's width of 5140 is
    # not a multiple of its 40 heads (5120, 40 heads of width 128, is).
    "gpt3_125m": _gpt3(12, 12, 768),
    "gpt3_350m": _gpt3(24, 16, 1024),
    "gpt3_760m": _gpt3(24, 16, 1536),
    "gpt3_1_3b": _gpt3(24, 16, 2048),
    "gpt3_2_7b": _gpt3(32, 32, 2560),
    "gpt3_6_7b": _gpt3(32, 32, 4096),
    "gpt3_13b": _gpt3(40, 40, 5120),
    "gpt3_175b": _gpt3(96, 96, 12288),
    # Black et al. 2022.
    "gpt_neox_20b": GPTConfig(
        50432,
        2048,
        44,
        64,
        6144,
        positions="rotary",
        rotary=Rotary(share=0.25),
        activation="gelu",
        sublayers="parallel",
        tie_embeddings=False,
    ),
    # Chowdhery et al. 2022, table 1.
    "palm_8b": _palm(32, 16, 4096),
    "palm_62b": _palm(64, 32, 8192),
    "palm_540b": _palm(118, 48, 18432),
    # Hoffmann et al. 2022, table 4: Gopher's block (Rae et al. 2021).
    "chinchilla_70b": GPTConfig(
        32000, 2048, 80, 64, 8192, norm="rms", positions="transformer_xl"
    ),
    "llama_7b": _llama(2048, 32, 32, 4096, 11008, **_LLAMA1),
    "llama_13b": _llama(2048, 40, 40, 5120, 13824, **_LLAMA1),
    "llama_33b": _llama(2048, 60, 52, 6656, 17920, **_LLAMA1),
    "llama_65b": _llama(2048, 80, 64, 8192, 22016, **_LLAMA1),
    "llama2_7b": _llama(4096, 32, 32, 4096, 11008, **_LLAMA2),
    "llama2_13b": _llama(4096, 40, 40, 5120, 13824, **_LLAMA2),
    "llama2_70b": _llama(4096, 80, 64, 8192, 28672),
    "llama3_8b": _llama(8192, 32, 32, 4096, 14336, **_LLAMA3),
    "llama3_70b": _llama(8192, 80, 64, 8192, 28672, **_LLAMA3),
    "llama3_1_8b": _llama(131072, 32, 32, 4096, 14336, **_longer(8.0)),
    "llama3_1_405b": _llama(131072, 126, 128, 16384, 53248, **_longer(8.0)),
    "llama3_2_1b": _llama(131072, 16, 32, 2048, 8192, **_longer(32.0) | _TIED),
    "llama3_2_3b": _llama(131072, 28, 24, 3072, 8192, **_longer(32.0) | _TIED),
    # Jiang et al. 2023.
    "mistral_7b": _llama(32768, 32, 32, 4096, 14336, window=4096),
    "qwen2_0_5b": _llama(
        32768, 24, 14, 896, 4864, **_QWEN2 | _TIED, num_key_value_heads=2
    ),
    "qwen2_1_5b": _llama(
        32768, 28, 12, 1536, 8960, **_QWEN2 | _TIED, num_key_value_heads=2
    ),
    "qwen2_7b": _llama(
        32768,
        28,
        28,
        3584,
        18944,
        **_QWEN2 | {"vocab_size": 152064, "num_key_value_heads": 4},
    ),
    "qwen2_72b": _llama(32768, 80, 64, 8192, 29568, **_QWEN2 | {"vocab_size": 152064}),
    "qwen3_0_6b": _llama(40960, 28, 16, 1024, 3072, **_QWEN3 | _TIED),
    "qwen3_1_7b": _llama(40960, 28, 16, 2048, 6144, **_QWEN3 | _TIED),
    "qwen3_4b": _llama(40960, 36, 32, 2560, 9728, **_QWEN3 | _TIED),
    "qwen3_8b": _llama(40960, 36, 32, 4096, 12288, **_QWEN3),
    "qwen3_14b": _llama(40960, 40, 40, 5120, 17408, **_QWEN3),
    "qwen3_32b": _llama(40960, 64, 64, 5120, 25600, **_QWEN3),
    "smollm2_135m": _llama(8192, 30, 9, 576, 1536, **_SMOLLM2, num_key_value_heads=3),
    "smollm2_360m": _llama(8192, 32, 15, 960, 2560, **_SMOLLM2, num_key_value_heads=5),
    "smollm2_1_7b": _llama(
        8192,
        24,
        32,
        2048,
        8192,
        **_SMOLLM2 | {"rotary": Rotary(theta=1.3e5), "num_key_value_heads": 0},
    ),
}

GPT3_LEARNING_RATES = {
    "gpt3_125m": 6.0e-4,
    "gpt3_350m": 3.0e-4,
    "gpt3_760m": 2.5e-4,
    "gpt3_1_3b": 2.0e-4,
    "gpt3_2_7b": 1.6e-4,
    "gpt3_6_7b": 1.2e-4,
    "gpt3_13b": 1.0e-4,
    "gpt3_175b": 0.6e-4,
}
