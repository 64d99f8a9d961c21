"""The part of a batch that each of several hosts loads."""


def share(batch_size: int, shard: tuple[int, int]) -> slice:
    """Returns the rows of host `index` out of `count`, one contiguous block.

    Args:
        batch_size: the number of rows over all hosts.
        shard: (index, count).

    Raises:
        ValueError: the index is out of range, or `count` does not divide the batch.
    """
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(
            f"shard must be (index, count) with 0 <= index < count, got {shard}."
        )
    if batch_size % count:
        raise ValueError(
            f"batch_size must be a multiple of {count}, the number of hosts in "
            f"shard={shard}, got {batch_size}."
        )
    rows = batch_size // count
    return slice(index * rows, (index + 1) * rows)
