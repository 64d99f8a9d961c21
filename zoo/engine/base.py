"""The interface between the training step and a backend.

An engine turns stateful, backend-neutral code (layers that read and assign
`keras.Variable`s) into what its backend differentiates, loops over and compiles.
Everything else in the training step is written once, in `zoo/training/step.py`.
"""

from zoo.engine.interface.devices import Devices
from zoo.engine.interface.differentiation import Differentiation
from zoo.engine.interface.export import Export
from zoo.engine.interface.kernels import Kernels
from zoo.engine.interface.loops import Loops
from zoo.engine.interface.randomness import Randomness
from zoo.engine.interface.trainer import Trainer
from zoo.engine.tensors import Tensor, Variables

__all__ = ["Engine", "Tensor", "Variables"]


class Engine(Trainer, Differentiation, Loops, Kernels, Randomness, Devices, Export):
    """All that a backend offers; one object per backend and distribution strategy.

    Each base class is one concern, and says which methods a backend must define. A
    method with a body is a default that backends or `zoo.distribution` may override.
    """
