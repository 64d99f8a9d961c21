"""Files that are downloaded once and verified."""

import os
import tempfile
from pathlib import Path

from zoo.files.atomic import locked


def downloaded(name: str, url: str, sha256: str, instead: str) -> Path:
    """Returns the place of a file in Keras's cache, downloading it if need be.

    Of several processes that want it one downloads it, and the others wait.

    Args:
        name: The file's name in the cache.
        url: Where it lies.
        sha256: Of its content.
        instead: What to do without a network, for the error message.

    Raises:
        ConnectionError: It could not be downloaded.
        ValueError: The checksum differs.
    """
    import keras

    try:
        with locked(_keras_home()):
            found = keras.utils.get_file(
                name, url, file_hash=sha256, hash_algorithm="sha256"
            )
        return Path(found)
    except ValueError:  # the checksum differs; Keras names both
        raise
    except Exception as error:
        raise ConnectionError(
            f"{name} could not be downloaded from {url}; {instead}"
        ) from error


def _keras_home() -> Path:
    """Where Keras has its cache, or a folder for temporary files, as it does itself."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return home
