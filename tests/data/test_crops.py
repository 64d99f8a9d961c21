"""Crops: a function of (seed, update), split over hosts; windows miss no token."""

import itertools
import subprocess
import sys
import threading

import numpy as np
import pytest

from zoo.data import (
    RandomCrops,
    read_tokens,
    windows,
    windows_with_weights,
    write_tokens,
)

TOKENS = np.arange(1000, dtype=np.uint16)


def test_a_batch_holds_windows_of_the_tokens():
    batch = RandomCrops(TOKENS, length=8, batch_size=6).batch(0)
    assert batch.dtype == np.int32
    assert batch.shape == (6, 9)
    np.testing.assert_array_equal(np.diff(batch), 1)
    assert len(set(batch[:, 0])) > 1


def test_the_order_is_what_it_was():
    """Fails if Grain or NumPy draw other numbers, so that older runs can't resume."""
    crops = RandomCrops(TOKENS, length=2, batch_size=4, seed=1)
    starts = [crops.batch(update)[:, 0].tolist() for update in (0, 1, 10**12)]
    assert starts == [[0, 691, 33, 894], [333, 862, 557, 460], [846, 745, 815, 836]]


def test_a_batch_depends_on_seed_and_update_alone():
    crops = RandomCrops(TOKENS, 8, 6, seed=3)
    forward = [crops.batch(update) for update in range(5)]
    backward = [RandomCrops(TOKENS, 8, 6, seed=3).batch(u) for u in range(5)[::-1]]
    np.testing.assert_array_equal(forward, backward[::-1])
    assert len({batch.tobytes() for batch in forward}) == 5
    others = [RandomCrops(TOKENS, 8, 6, seed=seed).batch(0) for seed in (0, 4, 2**40)]
    assert len({batch.tobytes() for batch in (forward[0], *others)}) == 4


@pytest.mark.parametrize("start", [0, 7, 10**12])
def test_batches_begin_at_start(start):
    crops = RandomCrops(TOKENS, 8, 6)
    stream = list(itertools.islice(crops.batches(start), 3))
    np.testing.assert_array_equal(stream, [crops.batch(start + i) for i in range(3)])


@pytest.mark.parametrize("count", [2, 3])
def test_shares_make_up_the_batch(count):
    whole = RandomCrops(TOKENS, 8, 6, seed=5).batch(11)
    shares = [
        RandomCrops(TOKENS, 8, 6, seed=5, shard=(index, count)).batch(11)
        for index in range(count)
    ]
    assert shares[0].shape == (6 // count, 9)
    np.testing.assert_array_equal(np.concatenate(shares), whole)


def test_every_window_can_be_drawn():
    crops = RandomCrops(np.arange(10), length=6, batch_size=200)
    assert set(crops.batch(0)[:, 0]) == {0, 1, 2, 3}
    only = RandomCrops(np.arange(7), length=6, batch_size=2).batch(0)
    np.testing.assert_array_equal(only, [range(7)] * 2)


def test_memory_maps_are_read(tmp_path):
    write_tokens(tmp_path / "tokens.npy", TOKENS)
    tokens = read_tokens(tmp_path / "tokens.npy")
    expected = RandomCrops(TOKENS, 8, 6).batch(2)
    batch = RandomCrops(tokens, 8, 6).batch(2)
    np.testing.assert_array_equal(batch, expected)
    assert type(batch) is np.ndarray
    batch += 1  # the caller owns the batch


def test_threads_draw_the_same():
    crops = RandomCrops(TOKENS, 8, 6)
    expected = [crops.batch(update) for update in range(200)]
    drawn: dict[int, list[np.ndarray]] = {}

    def draw(thread: int) -> None:
        drawn[thread] = [crops.batch(update) for update in range(200)]

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for batches in drawn.values():
        np.testing.assert_array_equal(batches, expected)
    assert len(drawn) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 1000}, "at least 1001 tokens for length=1000, got 1000"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be .*got -1"),
        ({"shard": (2, 2)}, r"shard must be .*got \(2, 2\)"),
        ({"shard": (-1, 2)}, r"shard must be .*got \(-1, 2\)"),
        ({"shard": (0, 4)}, "batch_size must be a multiple of 4.*got 6"),
        ({"tokens": np.zeros((2, 2), int)}, r"shape \(2, 2\)"),
        ({"tokens": np.zeros(100)}, "float64"),
    ],
)
def test_crops_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomCrops(**{"tokens": TOKENS, "length": 8, "batch_size": 6, **arguments})


def test_updates_are_not_negative():
    crops = RandomCrops(TOKENS, 8, 6)
    with pytest.raises(ValueError, match="update must be 0 or more, got -1"):
        crops.batch(-1)
    with pytest.raises(ValueError, match="start must be 0 or more, got -1"):
        crops.batches(-1)


@pytest.mark.parametrize(("num_tokens", "rows"), [(9, 2), (10, 2), (12, 2), (13, 3)])
def test_windows_predict_each_token_once(num_tokens, rows):
    batch = windows(np.arange(num_tokens, dtype=np.uint16), length=4)
    assert batch.dtype == np.int32
    assert batch.shape == (rows, 5)
    np.testing.assert_array_equal(batch[:, 1:].ravel(), np.arange(1, 4 * rows + 1))
    np.testing.assert_array_equal(batch[:, 0], np.arange(rows) * 4)


@pytest.mark.parametrize("num_tokens", [2, 4, 5, 9, 10, 12, 13, 100])
def test_weighted_windows_miss_none(num_tokens):
    tokens = np.arange(num_tokens, dtype=np.uint16) + 7
    inputs, targets, weights = windows_with_weights(tokens, length=4)
    assert inputs.shape == targets.shape == weights.shape
    assert inputs.shape == (-(-(num_tokens - 1) // 4), 4)
    assert (inputs.dtype, targets.dtype, weights.dtype) == (
        np.int32,
        np.int32,
        np.float32,
    )
    assert set(weights.ravel()) <= {0.0, 1.0}
    np.testing.assert_array_equal(inputs[weights == 1], tokens[:-1])
    np.testing.assert_array_equal(targets[weights == 1], tokens[1:])
    assert not targets[weights == 0].any()


@pytest.mark.parametrize("num_tokens", [2, 5, 9, 10, 11, 30])
@pytest.mark.parametrize("stride", [1, 3, 8])
def test_overlapping_windows_count_every_target_once(num_tokens, stride):
    tokens = np.arange(1, num_tokens + 1)
    inputs, targets, weights = windows_with_weights(tokens, 8, stride)
    counted = weights == 1
    np.testing.assert_array_equal(inputs[counted], tokens[:-1])
    np.testing.assert_array_equal(targets[counted], tokens[1:])
    assert not weights[1:, : 8 - stride].any()
    # The context of a counted token is the preceding text of its window.
    for row, own in enumerate(inputs):
        seen = own[: np.flatnonzero(counted[row])[-1] + 1]
        np.testing.assert_array_equal(seen, 1 + row * stride + np.arange(len(seen)))


def test_windows_refuse():
    with pytest.raises(ValueError, match="at least 5 tokens for length=4, got 4"):
        windows(np.arange(4), 4)
    with pytest.raises(ValueError, match="at least 2 tokens .*got 1"):
        windows_with_weights(np.arange(1), 4)
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        windows_with_weights(np.arange(9), 0)
    for stride in (0, 5):
        with pytest.raises(ValueError, match=f"stride must be from 1 .*got {stride}"):
            windows_with_weights(np.arange(9), 4, stride)


def test_grain_is_silent_without_jax():
    """It warns that JAX's profiler is missing, in the demo of every other backend."""
    code = """
import sys
sys.modules["jax"] = None
import numpy, zoo.data
zoo.data.RandomCrops(numpy.arange(40), 4, 2)
import absl.logging
absl.logging.warning("still heard")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "profiler" not in done.stderr
    assert "still heard" in done.stderr
