"""A model's tokenizer in `.keras` files."""

import os
import warnings
from typing import Any

import keras

TOKENIZER_FILE = "tokenizer.json"


class KeepsTokenizer:
    """Writes `tokenizer` into the assets of a `.keras` file, as text, and reads it.

    Weights by themselves (`.weights.h5`) come without.
    """

    tokenizer: Any = None

    def save_assets(self, folder: str) -> None:
        """Writes the tokenizer's file, for Keras's saving."""
        from zoo.tokenizers.tokenizer import Tokenizer

        if isinstance(self.tokenizer, Tokenizer):
            self.tokenizer.save(folder)
        elif not isinstance(self.tokenizer, (type(None), keras.layers.Layer)):
            warnings.warn(
                f"The file holds no tokenizer: {type(self).__name__}.tokenizer is "
                f"{self.tokenizer!r}, and only a zoo.Tokenizer can be kept. Set it "
                "again on the model that is loaded.",
                stacklevel=2,
            )

    def load_assets(self, folder: str | None) -> None:
        """Reads the tokenizer's file, where there is one."""
        from zoo.tokenizers.tokenizer import Tokenizer

        file = os.path.join(folder or "", TOKENIZER_FILE)
        if folder is not None and os.path.isfile(file):
            self.tokenizer = Tokenizer.load(file)
