"""The part of a batch that one of several hosts feeds."""


def share(batch_size: int, shard: tuple[int, int]) -> slice:
    """The rows of host `index` out of `count`, as a block.

    Args:
        batch_size: Rows of all hosts.
        shard: (index, count).

    Raises:
        ValueError: The index is out of range, or `count` does not divide the batch.
    """
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(
            f"shard={shard}; expected (index, count) with 0 <= index < count"
        )
    if batch_size % count:
        raise ValueError(
            f"batch_size={batch_size} does not divide by the {count} hosts of "
            f"shard={shard}; expected a multiple of {count}"
        )
    rows = batch_size // count
    return slice(index * rows, (index + 1) * rows)
