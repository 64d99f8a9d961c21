"""A step's ATen calls, recorded once and replayed.

In a small model, the Python of Keras's layers costs more than the arithmetic.
`make_fx` records what a step, its backward pass and its optimizers do as a flat list
of calls; replaying them gives the same numbers. A step that looks at values (dropout
from a seed, a loss scale's overflow check) can't be recorded and runs eagerly.
"""

import functools
import logging
from collections.abc import Sequence
from typing import Any

import keras
import torch
from keras import ops, tree
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    UnsupportedFakeTensorException,
)
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from zoo.engine import interrupts
from zoo.engine.base import Engine
from zoo.engine.loss_state import loss_state
from zoo.engine.tensors import Function, Tensor, Variables
from zoo.engine.torch.graph import simplify
from zoo.engine.tracing import tracing

LOOKS_AT_VALUES = (
    DataDependentOutputException,
    GuardOnDataDependentSymNode,
    UnsupportedFakeTensorException,
)


class RecordedSteps(Engine):
    """The part of the engine that records training steps and other functions."""

    _recording = False

    @torch.no_grad()
    def train_step(self, step: Function, model: Any, *args: Any) -> Any:
        """Replays the recorded step, or runs it eagerly if it can't be recorded.

        Gradients are enabled only where they are needed.
        """
        data = to_tensors(*args)
        # On several devices eager calls are expensive, however long the loop.
        unrecorded = model.long_loops and self.mesh.size == 1
        if model.run_eagerly or model.jit_compile or unrecorded:
            return self._read(step(model, data))
        flat = [x for x in tree.flatten(data) if x is not None]
        structure = tree.map_structure(lambda x: None if x is None else 0, data)
        shapes = (repr(structure), *((x.shape, x.dtype, x.device) for x in flat))
        recorded = model.plan.recorded
        if shapes not in recorded:
            recorded[shapes] = self._record_step(step, model, structure, flat)
        replay = recorded[shapes]
        return replay(*flat) if replay else self._read(step(model, data))

    def test_step(self, step: Function, model: Any, *args: Any) -> Any:
        """The trainer has disabled gradients."""
        return self._read(step(model, to_tensors(*args)))

    def whole_step(self, model: Any, function: Function) -> Function:
        """Restores the state that losses change after an error.

        That is cheap for moving statistics and seeds. Copying the weights would cost a
        few percent of a step, so once an optimizer has written, a note says so instead.
        """
        if model.run_eagerly:
            return super().whole_step(model, function)
        state = loss_state(model)
        # The smallest variables that an optimizer writes show whether it has written.
        written = [
            min(variables, key=lambda v: v.value.numel())
            for phase, member in model.optimizer.members.items()
            for variables in (
                model.plan.phase_variables[phase],
                member.variables[2:] or [member.iterations],
            )
        ]
        held, _ = self._pieces([*state, *written])
        before = [torch.empty_like(x) for x in held]
        count = len(state)

        def run(*args: Any) -> Any:
            with interrupts.held(self.is_tracing):
                torch._foreach_copy_(before, held)
                try:
                    return function(*args)
                except BaseException as error:
                    pairs = zip(held[count:], before[count:], strict=True)
                    if not all(torch.equal(x, y) for x, y in pairs):
                        error.add_note(interrupts.HALF_DONE)
                    elif state:
                        torch._foreach_copy_(held[:count], before[:count])
                    raise

        return torch.no_grad()(run)

    def is_tracing(self) -> bool:
        """True while a step is recorded: nothing is computed then."""
        return self._recording

    def _record_step(
        self, step: Function, model: Any, structure: Any, batch: Sequence[Tensor]
    ) -> Function | None:
        """Records a step as a function of a batch's tensors.

        Args:
            step: what to do with a batch.
            model: to train.
            structure: the batch's, None where the batch has None.
            batch: the tensors of a batch, flat.

        Returns:
            The function, or None if the step looks at values.
        """
        state = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        pieces, whole = self._pieces(state)

        @torch.no_grad()
        def recorded(*tensors: Tensor) -> Any:
            held, rest = whole(tensors[: len(state)]), iter(tensors[len(state) :])
            flat = [None if x is None else next(rest) for x in tree.flatten(structure)]
            # State is an argument too: the recorder treats anything else as a
            # constant, and fixes the decisions that depend on it.
            with keras.StatelessScope(zip(state, held, strict=True)) as scope:
                logs = step(model, tree.pack_sequence_as(structure, flat))
            for variable, value in zip(state, held, strict=True):
                after = scope.get_current_value(variable)
                if after is not value:
                    self._keep(value, after)
            return self._read(logs)

        record = make_fx(recorded, tracing_mode="fake", _allow_non_fake_inputs=True)
        self._recording = True
        try:
            with tracing:
                graph = simplify(record(*pieces, *batch))
        except LOOKS_AT_VALUES:
            log = logging.getLogger(__name__)
            log.info("The step looks at values; it runs eagerly.")
            return None
        finally:
            self._recording = False
        return torch.no_grad()(functools.partial(graph.forward, *pieces))

    def _pieces(self, state: Variables) -> tuple[list[Tensor], Function]:
        """The tensors that variables hold, and a function from them to their values."""
        return [v.value for v in state], lambda tensors: tensors

    def _keep(self, held: Tensor, after: Tensor) -> None:
        """Copies a new value into the held one."""
        held.copy_(after)

    def _read(self, logs: Any) -> Any:
        """What a step returns, as plain tensors."""
        return logs

    def capture(self, function: Function) -> Function:
        """Records the ATen calls once per shape, and replays them.

        For a single token, a layer's Python costs as much as its arithmetic. The
        recording reads the weights in place, so it sees assignments.
        """
        recorded: dict[tuple[Any, ...], Function] = {}

        def replay(*arrays: Tensor) -> Any:
            shapes = tuple((x.shape, x.dtype, x.device) for x in arrays)
            if shapes not in recorded:
                with tracing:
                    if shapes not in recorded:  # another thread may have been first
                        recorded[shapes] = _record(function, arrays)
            return recorded[shapes](*arrays)

        return replay


def _record(function: Function, arrays: Sequence[Tensor]) -> Function:
    """A flat graph of the ATen calls that `function(*arrays)` makes.

    Recorded outside of `compile`'s inference mode, where nothing can be differentiated.
    """
    with torch.inference_mode(False), torch.no_grad():
        graph = make_fx(function)(*(x.clone() for x in arrays))
    graph.graph.eliminate_dead_code()
    return simplify(graph).forward


def to_tensors(data: Any) -> Any:
    """A batch on the device: loaders leave it on the CPU, or as NumPy arrays."""
    return tree.map_structure(
        lambda x: None if x is None else ops.convert_to_tensor(x), data
    )
