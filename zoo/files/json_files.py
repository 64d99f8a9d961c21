"""JSON files that hold an object."""

import json
from pathlib import Path
from typing import Any

from zoo.files.damaged import reading
from zoo.files.limits import MAX_CONFIG_BYTES, read_bytes


def read_json(
    file: Path, expected: str = "a JSON object", limit: int = MAX_CONFIG_BYTES
) -> dict[str, Any]:
    """Reads the object in a JSON file.

    Args:
        file: its path.
        expected: what it should hold, for the error message.
        limit: the most bytes that it may have.

    Raises:
        ValueError: the file holds something else, or is larger.
        FileNotFoundError: there is no such file.
    """
    data = read_bytes(file, limit)
    with reading(file, expected):
        found = json.loads(data)
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}.")
    return found
