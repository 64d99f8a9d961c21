import logging
import os

import keras

if keras.config.backend() == "torch":
    # pytest captures every record, and torch logs each tensor that it fakes.
    logging.getLogger("torch.__trace").setLevel(logging.CRITICAL)


def pytest_collection_modifyitems(config, items):
    """Deselects `host` tests that an earlier process ran on another backend."""
    if os.environ.get("ZOO_HOST_TESTS") != "no":
        return
    left_out = [item for item in items if item.get_closest_marker("host")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("host")]
