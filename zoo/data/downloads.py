"""Files that are downloaded once and verified."""

from pathlib import Path


def downloaded(name: str, url: str, sha256: str, instead: str) -> Path:
    """Returns the place of a file in Keras's cache, downloading it if need be.

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
        return Path(
            keras.utils.get_file(name, url, file_hash=sha256, hash_algorithm="sha256")
        )
    except ValueError:  # the checksum differs; Keras names both
        raise
    except Exception as error:
        raise ConnectionError(
            f"{name} could not be downloaded from {url}; {instead}"
        ) from error
