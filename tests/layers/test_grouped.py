"""Grouped queries, norms of queries and keys, sinks, and layers of today's decoders."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.layers.compiled import compiled
from tests.layers.test_attention import TOLERANCE, B, D, T
from tests.layers.test_sliding import normal
from zoo.layers import FeedForward, MultiHeadAttention, RMSNorm, Rotary
from zoo.layers.dense import HeadsDense
from zoo.layers.norm import token_norm


def built(layer, seed=0):
    layer.build((None, None, D))
    for index, weight in enumerate(layer.weights):
        weight.assign(0.3 * normal(seed + index, *weight.shape))
    return layer


def grouped(**options):
    return built(MultiHeadAttention(4, D, key_value_heads=2, head_width=6, **options))


def plain_of(layer, **options):
    """A layer with as many heads of keys as of queries, which computes the same."""
    plain = built(MultiHeadAttention(4, D, head_width=6, **options))
    for part in ("kernel", "bias"):
        x = ops.convert_to_numpy(getattr(layer.query_key_value, part))
        x = x.reshape(-1, 2, 4, 6)  # two heads of (query, query, key, value)
        heads = [x[:, n // 2, [n % 2, 2, 3]] for n in range(4)]
        joined = np.stack(heads, 1).reshape(-1, 4 * 3 * 6)
        weight = getattr(plain.query_key_value, part)
        weight.assign(joined.reshape(weight.shape))
        weight = getattr(plain.output_projection, part)
        weight.assign(getattr(layer.output_projection, part))
    return plain


@pytest.mark.parametrize("rotary", [False, Rotary(theta=100.0)])
def test_is_attention_with_repeated_keys_and_values(rotary):
    layer = grouped(causal=True, rotary=rotary)
    plain, x = plain_of(layer, causal=True, rotary=rotary), normal(9, B, T, D)
    got, expected = compiled(lambda x: [layer(x), plain(x)], x)
    assert np.abs(got - expected).max() < TOLERANCE
    shares = layer.probabilities(x), plain.probabilities(x)
    assert np.abs(np.subtract(*map(ops.convert_to_numpy, shares))).max() < TOLERANCE


def test_one_token_at_a_time_equals_all_at_once():
    layer = grouped(causal=True, rotary=True, query_key_norm=True)
    x, cache, parts = normal(9, B, T, D), layer.empty_cache(B, T), []
    assert cache[0].shape == (B, T, 2, 6)
    whole = ops.convert_to_numpy(layer(x))
    for row in range(T):
        part, cache = layer(
            x[:, row : row + 1],
            attention_mask=np.broadcast_to(np.arange(T) <= row, (B, 1, T)),
            positions=np.array([row]),
            cache=cache,
            index=ops.convert_to_tensor(row, "int32"),
        )
        parts.append(ops.convert_to_numpy(part))
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < TOLERANCE


def test_queries_and_keys_are_normalised_head_by_head():
    layer = grouped(query_key_norm=True, norm_epsilon=1e-3)
    x = normal(9, B, T, D)
    q, k, _ = layer._project(x, None)
    for got, norm, number in ((q, layer.query_norm, 0), (k, layer.key_norm, 1)):
        raw = ops.convert_to_numpy(layer.query_key_value.heads(x)[number])
        scale = ops.convert_to_numpy(norm.scale)
        expected = raw / np.sqrt((raw**2).mean(-1, keepdims=True) + 1e-3) * scale
        assert np.abs(ops.convert_to_numpy(got) - expected).max() < TOLERANCE


@pytest.mark.parametrize("sinks", [1, 4, 30])
def test_sinks_are_seen_from_outside_the_window(sinks):
    """Chunk by chunk, and with a mask for each query, which needs all keys."""
    layer = built(
        MultiHeadAttention(2, D, causal=True, window=3, sinks=sinks, rotary=True)
    )
    plain = built(MultiHeadAttention(2, D, causal=True, rotary=True))
    x, tokens = normal(9, B, 13, D), np.arange(13)
    allowed = tokens[:, None] - tokens < 3
    allowed = (allowed | (tokens < sinks)) & (tokens <= tokens[:, None])
    everything = np.ones((B, 13, 13), bool)

    def all_of(x):
        return [
            layer(x),
            layer(x, attention_mask=everything),
            plain(x, attention_mask=np.broadcast_to(allowed, everything.shape)),
        ]

    chunked, masked, expected = compiled(all_of, x)
    assert np.abs(chunked - expected).max() < TOLERANCE
    assert np.abs(masked - expected).max() < TOLERANCE


def test_padded_sinks_are_not_seen():
    layer = built(MultiHeadAttention(2, D, causal=True, window=3, sinks=2))
    x = normal(9, 1, 13, D)
    visible = (np.arange(13) >= 2)[None, None]
    other = x.copy()
    other[:, :2] += 1.0
    first, second = compiled(
        lambda a, b: [
            layer(a, attention_mask=visible),
            layer(b, attention_mask=visible),
        ],
        x,
        other,
    )
    assert np.abs(first - second)[:, 2:].max() < 1e-6


def test_the_gate_multiplies():
    layer = built(FeedForward(D, 8, activation="silu", gated=True))
    x = normal(9, B, T, D)
    weights = {w.path.split("/", 1)[-1]: ops.convert_to_numpy(w) for w in layer.weights}

    def dense(name, x):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    gate = dense("gate", x)
    hidden = gate / (1 + np.exp(-gate)) * dense("expand", x)
    got = ops.convert_to_numpy(layer(x))
    assert np.abs(got - dense("contract", hidden)).max() < TOLERANCE


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_rms_norm_is_the_formula(dtype):
    layer = built(RMSNorm(epsilon=1e-2, dtype=dtype))
    x = normal(9, B, T, D)
    scale = ops.convert_to_numpy(layer.scale)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-2) * scale
    got = layer(ops.cast(x, layer.compute_dtype))
    assert keras.backend.standardize_dtype(got.dtype) == layer.compute_dtype
    close = TOLERANCE if dtype == "float32" else 0.02
    got = ops.convert_to_numpy(ops.cast(got, "float32"))
    assert np.abs(got - expected).max() < close


def test_lora_on_queries_that_share_keys_has_one_first_factor():
    layer = HeadsDense(("query", "query", "key", "value"), 2, 3, name="heads")
    layer.build((None, None, D))
    layer.enable_lora(2, parts=("query", "value"))
    a = normal(0, *layer.lora_kernel_a.shape)
    b = normal(1, *layer.lora_kernel_b.shape)
    assert a.shape == (D, 4) and b.shape == (6, 6)
    got = ops.convert_to_numpy(layer.lora_product(a, b)).reshape(D, 2, 4, 3)
    b = b.reshape(3, 2, 2, 3)  # parts, rank, heads, width
    for place, part, own in ((0, 0, a[:, :2]), (1, 1, a[:, :2]), (3, 2, a[:, 2:])):
        expected = np.einsum("dr,rnh->dnh", own, b[part])
        assert np.abs(got[:, :, place] - expected).max() < TOLERANCE
    assert np.all(got[:, :, 2] == 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key_value_heads": 3}, "num_heads must be a multiple of key_value_heads"),
        ({"sinks": 2}, "sinks=2 needs a window"),
        ({"cross": True, "rotary": True}, "Cross-attention has no rotary positions"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(4, D, head_width=6, **options)


def test_an_unknown_norm():
    with pytest.raises(ValueError, match="norm must be one of .*got 'batch'"):
        token_norm("batch", 1e-5, True)
