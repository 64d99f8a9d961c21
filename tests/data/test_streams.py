import numpy as np
import pytest

from zoo.data import Streams

pytestmark = pytest.mark.host

TOKENS = np.arange(100, dtype="uint16")


def test_rows_go_on_from_batch_to_batch():
    streams = Streams(TOKENS, 5, 3)
    assert streams.steps_per_epoch == 6  # 90 of 99 targets
    batches = [streams.batch(update) for update in range(6)]
    for batch in batches:
        assert batch["windows"].shape == (3, 6)
        assert batch["windows"].dtype == np.int32
    for before, after in zip(batches, batches[1:], strict=False):
        assert np.array_equal(before["windows"][:, -1], after["windows"][:, 0])
    targets = np.concatenate([batch["windows"][:, 1:] for batch in batches], axis=1)
    assert np.all(np.diff(targets) == 1)
    assert np.array_equal(np.diff(targets[:, 0]), [30, 30])  # no target twice
    continues = [batch["continues"].tolist() for batch in batches]
    assert continues == [[False] * 3, *[[True] * 3] * 5]


def test_passes_leave_out_other_parts():
    streams = Streams(TOKENS, 5, 3, seed=4)
    firsts = {int(streams.batch(6 * number)["windows"][0, 0]) for number in range(50)}
    assert firsts == set(range(10))
    assert not streams.batch(60)["continues"].any()
    assert Streams(TOKENS[:91], 5, 3).batch(6)["windows"][0, 0] == 0


def test_a_function_of_seed_and_update():
    streams = Streams(TOKENS, 5, 3, seed=4)
    late = next(streams.batches(17))
    for name, array in Streams(TOKENS, 5, 3, seed=4).batch(17).items():
        assert np.array_equal(array, late[name])
    starts = [
        [Streams(TOKENS, 5, 3, seed).batch(6 * n)["windows"][0, 0] for n in range(9)]
        for seed in (4, 5)
    ]
    assert starts[0] != starts[1]


def test_hosts_share_the_rows():
    whole = Streams(TOKENS, 5, 4, seed=1).batch(9)
    shares = [Streams(TOKENS, 5, 4, seed=1, shard=(i, 2)).batch(9) for i in range(2)]
    for name, array in whole.items():
        assert np.array_equal(np.concatenate([s[name] for s in shares]), array)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TOKENS[:15], 5, 3), "at least 16 tokens for length=5, got 15"),
        ((TOKENS, 0, 3), "length must be at least 1, got 0"),
        ((TOKENS, 5, 0), "batch_size must be at least 1, got 0"),
        ((TOKENS, 5, 3, -1), "seed must be .*got -1"),
        ((TOKENS.reshape(2, 50), 5, 3), "one-dimensional"),
        ((TOKENS, 5, 3, 0, (0, 2)), "batch_size must be a multiple of 2.*got 3"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Streams(*arguments)
    with pytest.raises(ValueError, match="update must be 0 or more, got -1"):
        Streams(TOKENS, 5, 3).batch(-1)
