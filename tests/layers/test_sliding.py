"""Sliding windows beside full attention with the window in its mask."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.layers.compiled import compiled
from tests.layers.sixteen_bits import PRECISIONS, assert_trains_alike
from tests.layers.test_attention import TOLERANCE, B, D, N, attend
from zoo.layers import MultiHeadAttention, T5Bias, TransformerXLPositions

T = 11
PADDING = np.arange(T)[None, None, :] < np.array([T, 8])[:, None, None]
# Two global tokens of the first row; of the second one, at a place that is padding.
GLOBALS = np.array([[0, 6], [9, -1]], "int32")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(window, causal=False, **options):
    layer = MultiHeadAttention(
        N, D, causal=causal, window=window, initializer="zeros", **options
    )
    layer.build((None, None, D))
    for index, weight in enumerate(layer.weights):
        weight.assign(0.3 * normal(index, *weight.shape))
    return layer


def seen(window, causal, global_positions=None):
    """(B, T, T): who may look at whom, pair by pair."""
    found = np.zeros((B, T, T), bool)
    for b, i, j in np.ndindex(*found.shape):
        near = abs(i - j) < window
        if global_positions is not None:
            near |= i in global_positions[b] or j in global_positions[b]
        found[b, i, j] = near and not (causal and j > i)
    return found


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("window", "positions"), [(3, None), (10, None), (3, GLOBALS)])
def test_is_full_attention_with_a_mask(window, positions, causal):
    """Padded, chunk by chunk; and with a mask a query, which needs all keys."""
    layer, x = built(window, causal), normal(9, B, T, D)
    options = {} if positions is None else {"global_positions": positions}

    def both(x, padding, everything):
        return (
            layer(x, attention_mask=padding, **options),
            layer(x, attention_mask=everything, **options),
        )

    padded, masked = compiled(both, x, PADDING, np.ones((B, T, T), bool))
    assert np.isfinite(padded).all()
    allowed = seen(window, causal, positions)
    assert np.abs(masked - attend(layer, x, allowed=allowed)).max() < TOLERANCE
    # A query that sees nothing, as padding far from tokens, gets some mean.
    allowed = allowed & PADDING
    sees = allowed.any(axis=2)
    allowed = allowed | ~sees[:, :, None]
    expected = attend(layer, x, allowed=allowed)
    assert np.abs(padded - expected)[sees].max() < TOLERANCE


def test_windows_over_one_token_and_over_the_whole_text():
    cases = [(window, causal) for window in (1, T, 40) for causal in (False, True)]
    layers, x = [built(*case) for case in cases], normal(9, B, T, D)
    found = compiled(lambda x: [layer(x) for layer in layers], x)
    for case, ours in zip(cases, found, strict=True):
        expected = attend(layers[0], x, allowed=seen(*case))
        assert np.abs(ours - expected).max() < TOLERANCE, case


@pytest.mark.parametrize(("kind", "causal"), [("t5", True), ("xl", False)])
def test_relative_positions_within_a_window(kind, causal):
    def relative():
        if kind == "t5":
            return T5Bias(N, causal=causal, num_buckets=4, max_distance=6)
        return TransformerXLPositions(N, D, causal=causal)

    layer = built(3, causal, relative=relative())
    full = built(0, causal, relative=relative())
    x = normal(9, B, T, D)
    ours, theirs = compiled(
        lambda x, mask: (layer(x), full(x, attention_mask=mask)), x, seen(3, causal)
    )
    assert np.abs(ours - theirs).max() < TOLERANCE


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(
    "kind", ["t5", pytest.param("xl", marks=pytest.mark.slow), "global"]
)
def test_in_sixteen_bits(kind, dtype):
    """Where there are padding and windows; also what goes back."""
    relative = {
        "t5": lambda **own: T5Bias(
            N, causal=True, num_buckets=4, max_distance=6, **own
        ),
        "xl": lambda **own: TransformerXLPositions(N, D, causal=True, **own),
        "global": lambda **own: None,
    }[kind]
    given = {"global_positions": GLOBALS} if kind == "global" else {}

    def model_in(policy):
        own = relative(dtype=policy)
        layer = built(3, causal=True, relative=own, dtype=policy)
        inputs = keras.Input((T, D))
        outputs = layer(inputs, attention_mask=PADDING, **given)
        outputs = outputs * ops.cast(PADDING, outputs.dtype)[:, 0, :, None]
        return keras.Model(inputs, outputs)

    x, target = normal(9, B, T, D), 10 * normal(10, B, T, D)
    assert_trains_alike(model_in, dtype, x, target)


def test_relative_positions_know_no_global_tokens():
    layer = MultiHeadAttention(N, D, window=3, relative=T5Bias(N))
    with pytest.raises(ValueError, match="use global_positions without `relative`"):
        layer(normal(9, B, T, D), global_positions=GLOBALS)


def test_a_cache_changes_nothing():
    layer = built(3, causal=True, rotary=True)

    def in_parts(x, starts):
        cache, parts = layer.empty_cache(B, T + 2), []
        for number, (start, end) in enumerate(((0, 6), (6, 7), (7, T))):
            rows = np.arange(start, end)
            past = (np.arange(T + 2)[None, :] <= rows[:, None])[None]
            part, cache = layer(
                x[:, start:end],
                attention_mask=ops.convert_to_tensor(past),
                positions=ops.convert_to_tensor(rows),
                cache=cache,
                index=starts[number],
            )
            parts.append(part)
        return layer(x), ops.concatenate(parts, axis=1)

    starts = np.array([0, 6, 7], "int32")
    whole, parts = compiled(in_parts, normal(1, B, T, D), starts)
    assert np.abs(parts - whole).max() < TOLERANCE


def test_gradients_are_those_of_the_mask():
    x, target = normal(1, B, T, D), normal(2, B, T, D)
    mask = seen(3, True)
    ends = []
    for window, given in ((3, None), (0, mask[:1])):
        layer = built(window, causal=True)
        inputs = keras.Input((T, D))
        model = keras.Model(inputs, layer(inputs, attention_mask=given))
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.fit(x, target, verbose=0)
        ends.append(model.get_weights())
    for ours, theirs in zip(*ends, strict=True):
        assert np.abs(ours - theirs).max() < TOLERANCE


def test_longformer_of_transformers():
    """With the global projections equal to the others, as they are here."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.models.longformer.modeling_longformer import (
        LongformerSelfAttention,
    )

    length, reach = 16, 2
    config = transformers.LongformerConfig(
        hidden_size=D, num_attention_heads=N, attention_window=[2 * reach]
    )
    theirs = LongformerSelfAttention(config, layer_id=0).eval()
    parts = [theirs.query, theirs.key, theirs.value]
    for own, shared in zip(
        (theirs.query_global, theirs.key_global, theirs.value_global),
        parts,
        strict=True,
    ):
        own.load_state_dict(shared.state_dict())
    layer = built(reach + 1)
    kernels = [p.weight.detach().numpy().T.reshape(D, N, -1) for p in parts]
    biases = [p.bias.detach().numpy().reshape(N, -1) for p in parts]
    layer.query_key_value.kernel.assign(np.stack(kernels, axis=2).reshape(D, 3 * D))
    layer.query_key_value.bias.assign(np.stack(biases, axis=1).reshape(3 * D))
    layer.output_projection.kernel.assign(np.eye(D))
    layer.output_projection.bias.assign(np.zeros(D))
    x = normal(3, B, length, D)
    real = np.arange(length)[None] < np.array([[length], [13]])
    positions = np.array([[0, 9], [0, -1]])
    is_global = np.zeros((B, length), bool)
    is_global[0, [0, 9]] = is_global[1, 0] = True
    # Their mask: below 0 padding, 0 local, above 0 global.
    kinds = torch.from_numpy(np.where(real, np.where(is_global, 1e4, 0.0), -1e4))
    with torch.no_grad():
        expected = theirs(
            torch.from_numpy(x),
            attention_mask=kinds.float(),
            is_index_masked=kinds < 0,
            is_index_global_attn=kinds > 0,
            is_global_attn=True,
        )[0].numpy()
    ours = compiled(
        lambda x, mask: layer(x, attention_mask=mask, global_positions=positions),
        x,
        real[:, None],
    )
    assert np.abs(ours - expected)[real].max() < TOLERANCE
