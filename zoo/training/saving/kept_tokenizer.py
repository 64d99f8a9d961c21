"""Stores a model's tokenizer in `.keras` files."""

import os
import warnings
from typing import Any

import keras

TOKENIZER_FILE = "tokenizer.json"


class KeepsTokenizer:
    """Writes `tokenizer` as text into the assets of a `.keras` file, and reads it.

    Weight files (`.weights.h5`) contain no tokenizer.
    """

    tokenizer: Any = None

    def save_assets(self, folder: str) -> None:
        """Writes the tokenizer's file; Keras calls it when saving."""
        from zoo.tokenizers.tokenizer import Tokenizer

        if isinstance(self.tokenizer, Tokenizer):
            self.tokenizer.save(folder)
        elif not isinstance(self.tokenizer, (type(None), keras.layers.Layer)):
            warnings.warn(
                f"The file holds no tokenizer: {type(self).__name__}.tokenizer is "
                f"{self.tokenizer!r}, and only a zoo.Tokenizer can be saved. Set it "
                "again on the loaded model.",
                stacklevel=2,
            )

    def load_assets(self, folder: str | None) -> None:
        """Reads the tokenizer's file, if there is one."""
        from zoo.tokenizers.tokenizer import Tokenizer

        file = os.path.join(folder or "", TOKENIZER_FILE)
        if folder is not None and os.path.isfile(file):
            self.tokenizer = Tokenizer.load(file)
