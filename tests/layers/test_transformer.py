"""Blocks against those of `torch`."""

import numpy as np
import pytest
from keras import ops

from tests.layers.torch_weights import copy_block, randomize
from zoo.layers import TransformerBlock

B, T, S, N, D, F = 2, 5, 7, 3, 12, 24
TOLERANCE = 1e-5


def gelu(x):
    return ops.gelu(x, approximate=False)


def inputs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(B, T, D)).astype("float32")
    context = rng.normal(size=(B, S, D)).astype("float32")
    return x, context


def far(ours, theirs) -> float:
    return float(np.abs(ops.convert_to_numpy(ours) - theirs.detach().numpy()).max())


@pytest.mark.parametrize("norm_position", ["pre", "post"])
@pytest.mark.parametrize("causal", [False, True])
def test_encoder_block_is_that_of_torch(norm_position, causal):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.TransformerEncoderLayer(
        D, N, F, 0.0, "gelu", batch_first=True, norm_first=norm_position == "pre"
    )
    randomize(theirs)
    block = TransformerBlock(
        N, D, F, norm_position=norm_position, causal=causal, activation=gelu
    )
    block.build((None, None, D))
    copy_block(block, theirs)
    x, _ = inputs()
    visible = np.arange(T)[None, :] < np.array([T, 3])[:, None]
    expected = theirs(
        torch.from_numpy(x),
        src_mask=torch.from_numpy(~np.tri(T, dtype=bool)) if causal else None,
        src_key_padding_mask=torch.from_numpy(~visible),
    )
    ours = block(x, attention_mask=visible[:, None, :])
    assert far(ours, expected) < TOLERANCE


@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_decoder_block_is_that_of_torch(norm_position):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.TransformerDecoderLayer(
        D, N, F, 0.0, batch_first=True, norm_first=norm_position == "pre"
    )
    randomize(theirs)
    block = TransformerBlock(
        N,
        D,
        F,
        norm_position=norm_position,
        causal=True,
        cross=True,
        activation=ops.relu,
    )
    block.build((None, None, D))
    copy_block(block, theirs)
    x, context = inputs()
    visible = np.arange(S)[None, :] < np.array([S, 3])[:, None]
    expected = theirs(
        torch.from_numpy(x),
        torch.from_numpy(context),
        tgt_mask=torch.from_numpy(~np.tri(T, dtype=bool)),
        memory_key_padding_mask=torch.from_numpy(~visible),
    )
    ours = block(x, context, context_mask=visible[:, None, :])
    assert far(ours, expected) < TOLERANCE


def test_seeds_drawn_beforehand_drop_the_same():
    block = TransformerBlock(N, D, F, cross=True, dropout=0.5, activation=ops.relu)
    block.build((None, None, D))
    x, context = inputs()
    seeds = block.draw_seeds()
    assert len(seeds) == 3
    first, second = (
        ops.convert_to_numpy(block(x, context, training=True, seeds=seeds))
        for _ in range(2)
    )
    assert np.array_equal(first, second)
    other = ops.convert_to_numpy(block(x, context, training=True))
    assert not np.array_equal(first, other)


def test_unknown_norm_position():
    with pytest.raises(ValueError, match="pre.*post.*got 'middle'"):
        TransformerBlock(N, D, F, norm_position="middle")


@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_some_of_the_tokens_alone(norm_position):
    block = TransformerBlock(N, D, F, norm_position=norm_position, activation=ops.relu)
    block.build((None, None, D))
    x, _ = inputs()
    queries = np.array([[3, 0], [1, 1]], "int32")
    mask = np.arange(T)[None, None, :] < np.array([T, 3])[:, None, None]
    whole = ops.convert_to_numpy(block(x, attention_mask=mask))
    some = ops.convert_to_numpy(block(x, attention_mask=mask, queries=queries))
    expected = np.take_along_axis(whole, queries[:, :, None], axis=1)
    assert np.abs(some - expected).max() < TOLERANCE
    with pytest.raises(ValueError, match="neither causal, relative"):
        causal = TransformerBlock(N, D, F, causal=True)
        causal(x, queries=queries)
