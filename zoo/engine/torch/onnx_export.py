"""Writes ONNX files with torch's own exporter."""

from pathlib import Path
from typing import Any

import torch

from zoo.engine.quiet_export import quiet_export
from zoo.extras import optional


def write_onnx(network: Any, file: Path) -> None:
    """Uses torch's own exporter, which Keras calls for fixed sides alone.

    For other sides Keras traces, which fails for layer norm and reflection.
    """
    optional("onnxscript", "Writing ONNX on torch", "export")
    dims = {
        name: torch.export.Dim(
            name,
            min=-(-side.least // side.multiple),
            max=side.most // side.multiple or None,
        )
        for name, side in network.sides.items()
    }
    shapes = {
        array.name: {
            axis: side.multiple * dims[side.name]
            for axis, side in enumerate(array.shape)
            if not isinstance(side, int)
        }
        for array in network.arrays
    }
    samples = {k: torch.as_tensor(x) for k, x in network.samples().items()}
    with quiet_export(), torch.no_grad():
        program = torch.onnx.export(
            _OneArgument(network).eval(),
            (),
            kwargs={"inputs": samples},
            dynamo=True,
            dynamic_shapes={"inputs": shapes},
            input_names=list(samples),
            output_names=list(network.names_of_outputs),
            verbose=False,
        )
        program.save(file)


class _OneArgument(torch.nn.Module):
    """Names the argument: Keras's layers take any, torch's exporter needs a name."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Any) -> Any:
        return self.network(inputs)
