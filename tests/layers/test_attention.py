"""Attention against its formula, against `torch`, and against itself with a cache."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.layers.sixteen_bits import PRECISIONS, assert_trains_alike
from tests.layers.torch_weights import copy_attention, randomize
from zoo.layers import MultiHeadAttention

B, T, S, N, H = 2, 5, 7, 3, 4
D = N * H
TOLERANCE = 1e-5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def built(rng, **options) -> MultiHeadAttention:
    layer = MultiHeadAttention(N, D, **options)
    layer.build((None, None, D))
    for weight in layer.weights:
        weight.assign(0.3 * normal(rng, *weight.shape))
    return layer


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def attend(layer, x, context=None, allowed=None):
    """The formula, in float64, head by head."""
    dense = {
        name: [ops.convert_to_numpy(w).astype("float64") for w in part.weights]
        for name, part in {
            "in": layer.query if layer.cross else layer.query_key_value,
            "context": layer.key_value if layer.cross else None,
            "out": layer.output_projection,
        }.items()
        if part is not None
    }

    def project(x, name):
        kernel, bias = dense[name]
        return (x @ kernel + bias).reshape(*x.shape[:2], N, -1, H)

    parts = project(x, "in")
    query = parts[:, :, :, 0]
    if layer.cross:
        parts = project(context, "context")
        key, value = parts[:, :, :, 0], parts[:, :, :, 1]
    else:
        key, value = parts[:, :, :, 1], parts[:, :, :, 2]
    heads = []
    for n in range(N):
        scores = query[:, :, n] @ np.swapaxes(key[:, :, n], 1, 2) / np.sqrt(H)
        if allowed is not None:
            scores = np.where(allowed, scores, -np.inf)
        heads.append(softmax(scores) @ value[:, :, n])
    kernel, bias = dense["out"]
    return np.concatenate(heads, axis=-1) @ kernel + bias


def far(ours, theirs) -> float:
    return float(np.abs(ops.convert_to_numpy(ours) - theirs).max())


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_self_attention_is_the_formula(rng, causal, padded):
    layer, x = built(rng, causal=causal), normal(rng, B, T, D)
    allowed = np.tri(T, dtype=bool)[None] if causal else np.ones((1, T, T), bool)
    mask = None
    if padded:
        mask = np.arange(T)[None, None, :] < np.array([T, 3])[:, None, None]
        allowed = allowed & mask
    ours = layer(x, attention_mask=mask)
    assert far(ours, attend(layer, x, allowed=allowed)) < TOLERANCE


def test_cross_attention_is_the_formula(rng):
    layer = built(rng, cross=True)
    x, context = normal(rng, B, T, D), normal(rng, B, S, D)
    mask = np.arange(S)[None, None, :] < np.array([S, 4])[:, None, None]
    assert far(layer(x, context), attend(layer, x, context)) < TOLERANCE
    masked = layer(x, context, mask)
    assert far(masked, attend(layer, x, context, mask)) < TOLERANCE


@pytest.mark.parametrize("kind", ["self", "causal", "padded", "cross"])
def test_is_that_of_torch(rng, kind):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.MultiheadAttention(D, N, batch_first=True)
    randomize(theirs)
    layer = MultiHeadAttention(N, D, causal=kind == "causal", cross=kind == "cross")
    layer.build((None, None, D))
    copy_attention(layer, theirs)
    x = normal(rng, B, T, D)
    context = normal(rng, B, S, D) if kind == "cross" else x
    allowed = np.arange(context.shape[1])[None, :] < np.array([T, 3])[:, None]
    allowed = allowed if kind in ("padded", "cross") else None
    with torch.no_grad():
        expected, _ = theirs(
            *map(torch.from_numpy, (x, context, context)),
            key_padding_mask=None if allowed is None else torch.from_numpy(~allowed),
            attn_mask=torch.from_numpy(~np.tri(T, dtype=bool))
            if kind == "causal"
            else None,
        )
    ours = layer(
        x,
        context if kind == "cross" else None,
        None if allowed is None else allowed[:, None, :],
    )
    assert far(ours, expected.numpy()) < TOLERANCE


@pytest.mark.parametrize("rotary", [False, True])
def test_a_cache_changes_nothing(rng, rotary):
    layer, x = built(rng, causal=True, rotary=rotary), normal(rng, B, T, D)
    whole = ops.convert_to_numpy(layer(x))
    cache, parts = layer.empty_cache(B, S), []
    for start, end in ((0, 2), (2, 3), (3, 5)):
        rows = np.arange(start, end)
        part, cache = layer(
            x[:, start:end],
            attention_mask=(np.arange(S)[None, :] <= rows[:, None])[None],
            positions=rows,
            cache=cache,
            index=ops.convert_to_tensor(start, "int32"),
        )
        parts.append(ops.convert_to_numpy(part))
    assert far(np.concatenate(parts, axis=1), whole) < TOLERANCE


def test_rows_that_see_nothing_harm_no_others(rng):
    layer, x = built(rng), normal(rng, B, T, D)
    mask = np.ones((B, T, T), bool)
    mask[:, 0] = False
    ours = ops.convert_to_numpy(layer(x, attention_mask=mask))
    assert np.isfinite(ours).all()
    assert far(ours[:, 1:], attend(layer, x)[:, 1:]) < TOLERANCE


def test_gradients_are_finite_where_a_row_sees_nothing(rng):
    layer, x = built(rng), normal(rng, B, T, D)
    mask = np.ones((B, T, T), bool)
    mask[:, 0] = False
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, layer(inputs, attention_mask=mask[:1]))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, x, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("causal", [False, True])
def test_trains_in_sixteen_bits(rng, causal, dtype):
    mask = np.arange(T) < 3

    def model_in(policy):
        layer = built(np.random.default_rng(1), causal=causal, dtype=policy)
        inputs = keras.Input((T, D))
        return keras.Model(inputs, layer(inputs, attention_mask=mask[None]))

    x, target = normal(rng, B, T, D), 10 * normal(rng, B, T, D)
    assert_trains_alike(model_in, dtype, x, target)


@pytest.mark.parametrize("kind", ["plain", "causal", "window"])
def test_drops_probabilities_in_training_alone(rng, kind):
    """Each of the heads' shares is dropped or scaled; what is learned is the same."""
    options = {"causal": {"causal": True}, "window": {"window": 2}}.get(kind, {})
    layer = built(rng, attention_dropout=0.5, **options)
    plain = built(rng, **options)
    plain.set_weights(layer.get_weights())
    x = normal(rng, B, T, D)
    assert far(layer(x), ops.convert_to_numpy(plain(x))) < TOLERANCE
    seeds = layer.draw_seeds()
    found = ops.convert_to_numpy(layer(x, training=True, seeds=seeds))
    assert np.array_equal(
        found, ops.convert_to_numpy(layer(x, training=True, seeds=seeds))
    )
    if kind == "window":  # is attended to chunk by chunk
        assert far(layer(x, training=True), found) > 1e-3
        return
    shares = layer.probabilities(x)
    shares = layer.attention_dropout(shares, training=True, seed=seeds[0])
    value = layer.query_key_value.heads(x)[2]
    mixed = ops.reshape(ops.einsum("bnts,bsnh->btnh", shares, value), (B, T, D))
    expected = ops.convert_to_numpy(layer.output_projection(mixed))
    assert far(found, expected) < TOLERANCE
    many = ops.convert_to_numpy(layer(np.repeat(x[:1], 400, axis=0), training=True))
    assert far(plain(x[:1]), many.mean(axis=0)) < 5 * many.std(axis=0).max() / 20


def test_without_biases_has_none(rng):
    layer = built(rng, use_bias=False)
    assert [w.name for w in layer.weights] == ["kernel", "kernel"]


def test_indivisible_width_says_what_would_fit():
    with pytest.raises(ValueError, match=r"width=10, num_heads=4.*8 and 12"):
        MultiHeadAttention(4, 10)
    with pytest.raises(ValueError, match="multiple of num_heads"):
        MultiHeadAttention(0, 10)
