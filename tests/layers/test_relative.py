"""Relative positions against their formulas and against `transformers`."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.layers.compiled import compiled
from zoo.layers import MultiHeadAttention, T5Bias, TransformerXLPositions
from zoo.layers.attention.relative import shifted

B, T, S, N, H = 2, 5, 7, 3, 4
D = N * H
TOLERANCE = 1e-5


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(layer):
    layer.build((None, None, D))
    for index, weight in enumerate(layer.weights):
        weight.assign(0.3 * normal(index, *weight.shape))
    return layer


def attention(kind, causal, **options):
    if kind == "t5":
        relative = T5Bias(N, causal=causal, num_buckets=4, max_distance=8)
    else:
        relative = TransformerXLPositions(N, D, causal=causal)
    zeros = {"initializer": "zeros"}  # which `built` fills
    layer = MultiHeadAttention(
        N, D, causal=causal, relative=relative, **zeros, **options
    )
    return built(layer)


def transformer_xl(layer, x, causal):
    """Equation (d) of section 3.3 for each pair of tokens, in float64."""
    kernels = [
        ops.convert_to_numpy(w).astype("float64")
        for part in (layer.query_key_value, layer.output_projection)
        for w in part.weights
    ]
    inward, inward_bias, outward, outward_bias = kernels
    positions = layer.relative
    w_r = ops.convert_to_numpy(positions.position.kernel).astype("float64")
    u, v = (
        ops.convert_to_numpy(bias).astype("float64").reshape(N, H)
        for bias in (positions.content_bias, positions.position_bias)
    )
    parts = (x @ inward + inward_bias).reshape(*x.shape[:2], N, 3, H)
    q, k, values = (parts[:, :, :, i] for i in range(3))
    out = np.zeros((*x.shape[:2], N, H))
    for b, i, n in np.ndindex(x.shape[0], x.shape[1], N):
        scores = []
        for j in range(x.shape[1]):
            angles = (i - j) / 10000 ** (np.arange(0, D, 2) / D)
            r = np.concatenate([np.sin(angles), np.cos(angles)])
            r = (r @ w_r).reshape(N, H)[n]
            key = k[b, j, n]
            score = q[b, i, n] @ key + q[b, i, n] @ r + u[n] @ key + v[n] @ r
            scores.append(-np.inf if causal and j > i else score / np.sqrt(H))
        shares = np.exp(scores - np.max(scores))
        out[b, i, n] = shares / shares.sum() @ values[b, :, n]
    return out.reshape(x.shape) @ outward + outward_bias


@pytest.mark.parametrize("causal", [False, True])
def test_transformer_xl_is_the_formula(causal):
    layer, x = attention("xl", causal), normal(9, B, T, D)
    expected = transformer_xl(layer, x, causal)
    assert np.abs(compiled(layer, x) - expected).max() < TOLERANCE


@pytest.mark.parametrize("causal", [False, True])
def test_t5_buckets_are_those_of_transformers(causal):
    torch = pytest.importorskip("torch")
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distances = np.arange(-300, 301)
    for num_buckets, max_distance in ((32, 128), (8, 20)):
        expected = t5.T5Attention._relative_position_bucket(
            torch.from_numpy(-distances), not causal, num_buckets, max_distance
        )
        layer = T5Bias(
            1, causal=causal, num_buckets=num_buckets, max_distance=max_distance
        )
        found = compiled(layer.bucket, distances.astype("int32"))
        assert np.array_equal(found, expected.numpy())


@pytest.mark.parametrize("causal", [False, True])
def test_t5_bias_is_that_of_transformers(causal):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.models.t5.modeling_t5 import T5Attention

    config = transformers.T5Config(d_model=D, d_kv=H, num_heads=N, is_decoder=causal)
    theirs = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    layer = T5Bias(N, causal=causal)
    layer.build()
    table = theirs.relative_attention_bias.weight.detach().numpy()
    layer.embeddings.assign(table)
    with torch.no_grad():
        expected = theirs.compute_bias(40, 40).numpy()
    q = normal(0, B, 40, N, H)
    unchanged, bias = compiled(lambda q: layer(q, num_keys=40), q)
    seen = np.tri(40, dtype=bool) if causal else np.ones((40, 40), bool)
    assert np.array_equal(unchanged, q)
    assert bias.shape == (1, N, 40, 40)
    assert np.abs(bias - expected)[..., seen].max() < 1e-6


def test_shifted_is_a_choice_of_columns():
    x = normal(0, B, N, T, T + S - 1)
    found = compiled(lambda x: shifted(x, S), x)
    for t in range(T):
        assert np.array_equal(found[:, :, t], x[:, :, t, T - 1 - t :][..., :S])


@pytest.mark.parametrize("kind", ["t5", "xl"])
def test_what_counts_is_the_distance(kind):
    """A text's own scores are the same wherever in a row it begins."""
    layer, x = attention(kind, causal=False), normal(1, B, T, D)
    longer = np.concatenate([normal(2, B, 3, D), x], axis=1)

    def both(x, longer):
        mask = (np.arange(T + 3) >= 3)[None, None, :]
        moved = layer(longer, attention_mask=ops.convert_to_tensor(mask))
        return layer(x), moved[:, 3:], layer(ops.flip(x, 1))

    alone, moved, turned = compiled(both, x, longer)
    assert np.abs(moved - alone).max() < TOLERANCE
    # And it counts: a text turned round is another.
    assert np.abs(turned[:, ::-1] - alone).max() > 1e-3


@pytest.mark.parametrize("kind", ["t5", "xl"])
def test_a_cache_changes_nothing(kind):
    layer = attention(kind, causal=True)

    def in_parts(x, starts):
        cache, parts = layer.empty_cache(B, S), []
        for number, (start, end) in enumerate(((0, 2), (2, 3), (3, 5))):
            rows = np.arange(start, end)
            seen = (np.arange(S)[None, :] <= rows[:, None])[None]
            part, cache = layer(
                x[:, start:end],
                attention_mask=ops.convert_to_tensor(seen),
                cache=cache,
                index=starts[number],
            )
            parts.append(part)
        return layer(x), ops.concatenate(parts, axis=1)

    starts = np.array([0, 2, 3], "int32")
    whole, parts = compiled(in_parts, normal(1, B, T, D), starts)
    assert np.abs(parts - whole).max() < TOLERANCE


@pytest.mark.parametrize("kind", ["t5", "xl"])
def test_gradients_reach_every_weight(kind):
    """Also where a query sees nothing, which leaves them finite."""
    layer = attention(kind, causal=True)
    x, mask = normal(1, B, T, D), np.ones((1, T, T), bool)
    mask[:, 0] = False
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, layer(inputs, attention_mask=mask))
    start = model.get_weights()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, normal(2, B, T, D), verbose=0)
    for before, after in zip(start, model.get_weights(), strict=True):
        assert np.isfinite(after).all() and not np.array_equal(before, after)


def test_probabilities_are_what_is_attended_by():
    """Causal, and within a window."""
    layer = attention("xl", causal=True, window=3)

    def both(x):
        shares = layer.probabilities(x)
        _, _, v = layer.query_key_value.heads(x)
        attended = ops.einsum("bnts,bsnh->btnh", shares, v)
        expected = layer.output_projection(ops.reshape(attended, (-1, T, D)))
        return shares, expected, layer(x)

    shares, expected, found = compiled(both, normal(1, B, T, D))
    assert np.abs(found - expected).max() < TOLERANCE
    assert np.abs(shares.sum(-1) - 1).max() < 1e-6
    seen = np.tri(T, dtype=bool) & ~np.tri(T, k=-3, dtype=bool)
    assert not shares[..., ~seen].any() and shares[..., seen].all()


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match="multiple of 4 up to max_distance=128, got 6"):
        T5Bias(1, num_buckets=6)
    with pytest.raises(ValueError, match="even width, got 9"):
        TransformerXLPositions(3, 9)
    with pytest.raises(ValueError, match="neither relative positions nor a window"):
        MultiHeadAttention(N, D, cross=True, window=3)
