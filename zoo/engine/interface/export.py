"""Files that other programs run."""

from pathlib import Path
from typing import Any

import keras


class Export:
    """Which formats a backend writes; by default, none."""

    def export_onnx(self, network: Any, file: Path) -> None:
        """Writes a `zoo.presets.inference.Served` as ONNX.

        Raises:
            ValueError: this backend can't; the message names those that can.
        """
        del network, file
        raise ValueError(
            f"The {keras.config.backend()} backend can't write ONNX; tensorflow and "
            "torch can. Set KERAS_BACKEND to one of them, or write a SavedModel with "
            "zoo.presets.export_inference(model, FOLDER)."
        )

    def export_saved_model(self, network: Any, folder: Path) -> None:
        """Writes a `zoo.presets.inference.Served` as a TensorFlow SavedModel.

        Raises:
            ValueError: this backend can't; the message names those that can.
        """
        del network, folder
        raise ValueError(
            f"The {keras.config.backend()} backend can't write a SavedModel; "
            "tensorflow and jax can. Set KERAS_BACKEND to one of them, or write ONNX "
            "with zoo.presets.export_inference(model, 'FILE.onnx')."
        )
