"""What reading a file may cost: all limits in one place, each with its reason.

A size that a file claims is compared with the file, or with a limit here, before
anything of that size is allocated. The error names the limit.
"""

import os
from pathlib import Path

from zoo.files import checked_reads

# Pixels of an image, before it is made smaller: Pillow's own bound for its warning. In
# RGB they take 256 MiB.
MAX_PIXELS = 2**28 // 3

# How many times a compressed file may grow, and what size any may grow to. MNIST grows
# fivefold, text tenfold; deflate reaches 1032 times, on zeros alone.
MAX_EXPANSION = 100
SMALL_BYTES = 64 * 2**20

# Bytes of a varint of 7 bits per byte: 64 bits take ten, which protocol buffers allow.
MAX_VARINT_BYTES = 10

# Layers, blocks and entries of a list of widths. GPT-3 has 96 layers, common ResNets up
# to 152; Keras's Sequential recurses once per layer, and Python stops at about 1000.
MAX_LAYERS = 512

# Any other integer in a configuration: every backend uses int32 for some indices and
# shapes.
MAX_SIZE = 2**31 - 1

# Axes of an array, as in NumPy.
MAX_AXES = 64

# How many times a table's names may grow: each is stored only as its difference from
# the one before.
MAX_NAME_EXPANSION = 16

# Bytes of a configuration or manifest. A classifier's with 21,000 named classes has
# 2 MB.
MAX_CONFIG_BYTES = 16 * 2**20

# Bytes of a tokenizer's file: Gemma's, with 256,000 tokens, has 34 MB.
MAX_TOKENIZER_BYTES = 128 * 2**20

# Token ids, for which tables are allocated. The largest published vocabulary, XLM-V's,
# has a million.
MAX_TOKENS = 2**24

# Bytes of the pickle in a weight file: the names and shapes of about 100,000 weights.
# In memory it takes up to 64 times as many.
MAX_PICKLE_BYTES = 16 * 2**20


def grown_limit(size: int) -> int:
    """How many bytes a compressed file of `size` bytes may grow to."""
    return max(SMALL_BYTES, MAX_EXPANSION * size)


def check_plain(file: Path) -> None:
    """Raises ValueError for a pipe or a device, which may have no end."""
    if file.exists() and not file.is_file():
        raise ValueError(
            f"{file} must be a regular file, got a folder, pipe or device, which may "
            "have no end."
        )


def read_bytes(file: Path, limit: int) -> bytes:
    """Reads a file of at most `limit` bytes.

    Raises:
        ValueError: the file is larger; it is a pipe or a device, which may have no end;
            another program is writing it; or a check (`zoo.files.checked_reads`) finds
            other bytes than it expects.
    """
    check_plain(file)
    with open(file, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > limit:
            raise ValueError(
                f"{file} must have at most {limit:,} bytes, got {size:,} (the limits "
                "are in zoo/files/limits.py)."
            )
        data = opened.read(size + 1)
    if len(data) != size:
        raise ValueError(f"{file} changed while it was read. Try again.")
    if (check := checked_reads.current()) is not None:
        check(file, data)
    return data
