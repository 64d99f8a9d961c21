"""Downloads files once, and verifies them."""

import os
import tempfile
from pathlib import Path

from zoo.files.locks import locked


def downloaded(name: str, url: str, sha256: str, instead: str) -> Path:
    """The path of a file in Keras's cache, downloaded if it is not there.

    If several processes need the file, one downloads it and the others wait.

    Args:
        name: the file's name in the cache.
        url: its address.
        sha256: checksum of its content, in hexadecimal digits.
        instead: what to do without a network, for the error message.

    Raises:
        ConnectionError: the download failed.
        ValueError: the checksum differs.
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
    """Keras's cache, or the temporary folder if it can't be made, as Keras does."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return home
