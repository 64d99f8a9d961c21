import logging

import keras

if keras.config.backend() == "torch":
    # pytest captures every record, and torch traces each tensor that it fakes.
    logging.getLogger("torch.__trace").setLevel(logging.CRITICAL)
