"""The training step under Keras's trainer."""

import contextlib
from abc import ABC, abstractmethod
from typing import Any

import keras

from zoo.engine import host_memory, interrupts
from zoo.engine.batches import adapted
from zoo.engine.interface.storage import Storage
from zoo.engine.tensors import Function


class Trainer(Storage, ABC):
    """How Keras's `fit`, `evaluate` and `predict` run a step on a backend."""

    @abstractmethod
    def train_step(self, step: Function, model: Any, *args: Any) -> Any:
        """Keras's `train_step`: calls `step(model, data)`.

        Args:
            step: what to do with a batch.
            model: to train.
            *args: what this backend's trainer passes to `train_step`.
        """

    @abstractmethod
    def test_step(self, step: Function, model: Any, *args: Any) -> Any:
        """Keras's `test_step`: calls `step(model, data)`.

        Args:
            step: what to do with a batch.
            model: to evaluate.
            *args: what this backend's trainer passes to `test_step`.
        """

    @abstractmethod
    def tune(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Speeds up an optimizer's update without changing its numbers."""

    def jit_compile(self, model: Any, asked: bool | str) -> bool | str:
        """The `jit_compile` to give Keras when the user asked for `asked`."""
        del model
        return asked

    def settle(self, model: Any) -> None:
        """Prepares the process and a built model; called when it is compiled."""
        del model
        host_memory.keep_freed()

    def prepare(self, model: Any, data: Any) -> Any:
        """The prepared batch, or a replica's rows of it."""
        return model.prepare(model.unpack(data))

    def fit_arguments(self, arguments: dict[str, Any], divisor: int) -> dict[str, Any]:
        """`fit`'s arguments, less the batches that `divisor` does not divide."""
        return arguments if divisor == 1 else adapted(arguments, divisor)

    def step_function(self, model: Any, name: str, step: Function) -> Function | None:
        """What Keras calls with an iterator of batches; None for its own function.

        Args:
            model: to train, evaluate or predict with.
            name: Keras's attribute: train_function, test_function, predict_function.
            step: what to do with a batch.
        """
        del model, name, step
        return None

    def on_batches(self, function: Function) -> Function:
        """Wraps Keras's train_function, test_function or predict_function if needed.

        They are called with an iterator or with a list of batches.
        """
        return function

    def evaluate(
        self, model: Any, evaluate: Function, arguments: dict[str, Any]
    ) -> Any:
        """Keras's `evaluate`, whatever the size of the last batch."""
        del model
        return evaluate(**arguments)

    def predict(self, model: Any, predict: Function, arguments: dict[str, Any]) -> Any:
        """Keras's `predict`, whatever the size of the last batch."""
        del model
        return predict(**arguments)

    # === Interrupts and errors ===

    def whole_updates(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """Within, an interrupt or error leaves a model as its last update left it.

        Wraps each call of Keras's trainer. Interrupts wait for the end of a step, and
        an error in the data, in a callback or in tracing changes nothing. What an error
        in a running step can leave behind is documented where it arises: `whole_step`
        on torch, `after` on TensorFlow, `zoo.engine.jax.state` on JAX.
        """
        del model
        return interrupts.watched()

    def whole_step(self, model: Any, function: Function) -> Function:
        """Wraps Keras's `train_function`: its updates happen wholly or not at all."""

        def run(*args: Any) -> Any:
            with interrupts.held(self.is_tracing):
                if not model.run_eagerly:
                    return function(*args)
                # Slow, like everything that runs eagerly.
                held = [*model.variables, *model.optimizer.variables]
                held += model.metrics_variables
                before = self.copies(held)
                try:
                    return function(*args)
                except BaseException:
                    for variable, value in zip(held, before, strict=True):
                        variable.assign(value)
                    raise

        return run

    def is_tracing(self) -> bool:
        """Whether the running step is being traced, and so can be interrupted."""
        return False

    def after(self, values: Any) -> contextlib.AbstractContextManager[Any]:
        """Within, no operation runs before these values are available.

        For backends that run a step's operations in any order: one that may fail then
        comes before those that change something.
        """
        del values
        return contextlib.nullcontext()
