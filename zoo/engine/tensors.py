"""Type names that all engines share.

Every backend has its own tensors, which are not imported here: for a type checker a
tensor is anything.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

Tensor = Any
# As Keras passes it: sizes, None where they vary, or a nest of such tuples.
Shape = Any
Variables = Sequence[keras.Variable]
Function = Callable[..., Any]
