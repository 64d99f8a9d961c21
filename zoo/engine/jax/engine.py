"""Training on JAX: stateful code made pure by Keras's `StatelessScope`.

Inside a scope, reads of a variable give the scope's value, and assignments update
the scope alone. `_purely` uses this to turn code over variables into a function
over values, which JAX can then differentiate, loop over, branch on and compile;
nested scopes do the same inside a step that is already pure.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras import ops, tree

from zoo.engine import interrupts
from zoo.engine.base import Engine
from zoo.engine.jax import state as jax_state
from zoo.engine.quiet_export import quiet_export
from zoo.engine.tensors import Function, Tensor, Variables
from zoo.engine.tracing import tracing
from zoo.extras import optional


class JaxEngine(Engine):
    """The engine for JAX on one device."""

    fuses = True

    def __init__(self) -> None:
        self._held: Variables = []

    def train_step(self, step: Function, model: Any, *args: Any) -> Any:
        """Keras's JAX trainer threads four lists of values through the step."""
        state, data = args
        kinds = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        return self._stateless(step, model, kinds, state, data)

    def test_step(self, step: Function, model: Any, *args: Any) -> Any:
        """As `train_step`, without the optimizer's values."""
        state, data = args
        kinds = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.metrics_variables,
        )
        return self._stateless(step, model, kinds, state, data)

    @contextlib.contextmanager
    def whole_updates(self, model: Any) -> Iterator[None]:
        """Restores the values of the last step that ended."""
        with super().whole_updates(model), jax_state.kept(model):
            yield

    def step_function(self, model: Any, name: str, step: Function) -> Function:
        """Keras's own loop, over a step whose results are noted as soon as they exist.

        Waiting for data can be interrupted, as can tracing and compiling.
        """
        kinds = jax_state.GIVEN[name]
        run = self._compiled_step(model, name, step)

        def noted(state: Any, data: Any) -> Any:
            with interrupts.held(lambda: not jax_state.given_away(state)):
                result, after = run(state, data)
                jax_state.note(model, kinds, after)
            return result, after

        concatenate = name == "predict_function"
        return model._make_function(noted, concatenate_outputs=concatenate)

    def _compiled_step(self, model: Any, name: str, step: Function) -> Function:
        """Compiles the step as Keras does, but donates the weights only in training."""
        if name == "predict_function":
            predict = step

            def step(state: Any, data: Any) -> Any:
                outputs, rest = predict(state, data)
                return outputs, (state[0], rest)

        if model.run_eagerly or not model.jit_compile:
            return step
        shardings = None
        if keras.distribution.distribution() is not None:
            found = model._get_state_sharding_spec()
            found = dict(zip(jax_state.KINDS, found, strict=True))
            shardings = tuple(found[k] for k in jax_state.GIVEN[name])
        if name == "train_function":
            outputs = None if shardings is None else (None, shardings)
            return jax.jit(step, donate_argnums=0, out_shardings=outputs)

        def reading(trainable: Any, rest: Any, data: Any) -> Any:
            result, after = step((trainable, *rest), data)
            return result, after[1:]

        outputs = None if shardings is None else (None, shardings[1:])
        compiled = jax.jit(reading, donate_argnums=1, out_shardings=outputs)

        def run(state: Any, data: Any) -> Any:
            result, rest = compiled(state[0], state[1:], data)
            return result, (state[0], *rest)

        return run

    def _stateless(
        self,
        function: Function,
        model: Any,
        kinds: Sequence[Variables],
        state: Any,
        data: Any,
    ) -> tuple[Any, tuple[list[Tensor], ...]]:
        held = [v for kind in kinds for v in kind]
        values = [value for kind in state for value in kind]
        logs, values = self._purely(lambda: function(model, data), held)(values)
        parts, start = [], 0
        for kind in kinds:
            parts.append(values[start : start + len(kind)])
            start += len(kind)
        return logs, tuple(parts)

    def _purely(self, function: Function, held: Variables) -> Function:
        """`function(*args)` over variables -> `(values, *args) -> (result, values)`."""

        def pure(values: Sequence[Tensor], *args: Any) -> tuple[Any, list[Tensor]]:
            with tracing:
                outer, self._held = self._held, held
                try:
                    mapping = list(zip(held, values, strict=True))
                    with keras.StatelessScope(state_mapping=mapping) as scope:
                        result = function(*args)
                    return result, [scope.get_current_value(v) for v in held]
                finally:
                    self._held = outer

        return pure

    def _values(self) -> list[Tensor]:
        return [v.value for v in self._held]

    def _keep(self, old: Sequence[Tensor], new: Sequence[Tensor]) -> None:
        for variable, before, after in zip(self._held, old, new, strict=True):
            if after is not before:
                variable.assign(after)

    def _of_chosen(
        self, function: Function, variables: Variables
    ) -> tuple[Function, list[Tensor]]:
        """Makes `function` a function of the chosen variables' values.

        Assignments to the chosen variables are dropped.

        Returns:
            A function from `(values, *inputs)` to `(result, state afterwards)`, and the
            state before it.
        """
        before = self._values()
        position = {id(v): index for index, v in enumerate(self._held)}
        chosen = [position[id(v)] for v in variables]
        pure = self._purely(function, self._held)

        def forward(trained: Sequence[Tensor], *inputs: Tensor) -> Any:
            values = list(before)
            for index, value in zip(chosen, trained, strict=True):
                values[index] = value
            result, after = pure(values, *inputs)
            for index in chosen:
                after[index] = before[index]
            return result, after

        return forward, before

    def read_back(self, model: Any) -> None:
        """Within an epoch, Keras's trainer holds the values, not the variables."""
        model.jax_state_sync()

    def tune(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Does nothing: XLA fuses the update."""
        del optimizer

    def gradients(
        self,
        function: Callable[..., tuple[Tensor, Any]],
        variables: Variables,
        inputs: Sequence[Tensor] = (),
    ) -> tuple[Any, list[Tensor], list[Tensor]]:
        """`jax.grad` for the chosen values; updates of other state are kept."""
        forward, before = self._of_chosen(function, variables)

        def objective(trained: Sequence[Tensor], inputs: Sequence[Tensor]) -> Any:
            (loss, aux), after = forward(trained, *inputs)
            return loss, (aux, after)

        grad = jax.grad(objective, argnums=(0, 1), has_aux=True)
        trained = [v.value for v in variables]
        (gradients, input_gradients), (aux, after) = grad(trained, list(inputs))
        self._keep(before, after)
        return aux, gradients, input_gradients

    def linearize(
        self, function: Callable[[], Any], variables: Variables
    ) -> tuple[Any, Callable[[Sequence[Tensor]], list[Tensor]]]:
        """`jax.vjp` for the chosen values; updates of other state are kept."""
        forward, before = self._of_chosen(function, variables)
        trained = [v.value for v in variables]
        value, pullback, after = jax.vjp(forward, trained, has_aux=True)
        self._keep(before, after)

        def back(cotangents: Sequence[Tensor]) -> list[Tensor]:
            return pullback(tree.pack_sequence_as(value, list(cotangents)))[0]

        return value, back

    def repeat(self, function: Callable[[Tensor], Any], count: int) -> Any:
        """A `fori_loop` that carries the sums and all state."""
        before = self._values()
        pure = self._purely(function, self._held)

        def body(index: Tensor, carry: Any) -> Any:
            total, values = carry
            part, values = pure(values, index)
            return tree.map_structure(jnp.add, total, part), values

        shapes, _ = jax.eval_shape(pure, before, 0)
        zeros = tree.map_structure(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        total, after = jax.lax.fori_loop(0, count, body, (zeros, before))
        self._keep(before, after)
        return total

    def when(
        self, condition: Tensor, function: Callable[[], None], variables: Variables
    ) -> None:
        """`lax.cond` between the state after the assignments and the state before."""
        del variables
        before = self._values()
        pure = self._purely(function, self._held)
        after = jax.lax.cond(
            condition, lambda values: pure(values)[1], lambda values: values, before
        )
        self._keep(before, after)

    def input_gradient(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Nested `jax.grad`; the function's assignments are dropped."""
        before = self._values()
        pure = self._purely(function, self._held)
        return jax.grad(lambda x: jnp.sum(pure(before, x)[0]))(x)

    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Any = None,
        is_causal: bool = False,
        bias: Any = None,
        drop: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Computes float16 attention on a CPU in float32.

        JAX sums the scores in float32, and XLA has no such product of float16 there.
        """
        if q.dtype != jnp.float16 or jax.default_backend() != "cpu":
            return super().attention(q, k, v, mask, is_causal, bias, drop)
        q, k, v = (x.astype("float32") for x in (q, k, v))
        bias = None if bias is None else bias.astype("float32")
        attended = super().attention(q, k, v, mask, is_causal, bias, drop)
        return attended.astype("float16")

    def compile(
        self, function: Function, variables: Callable[[], Variables]
    ) -> Function:
        """`jit` over the variables' values, which are assigned back afterwards."""
        compiled: dict[tuple[int, ...], Function] = {}

        def call(*args: Any) -> Any:
            held = list(variables())
            key = tuple(id(v) for v in held)
            if key not in compiled:
                compiled[key] = jax.jit(self._purely(function, held))
            result, values = compiled[key]([v.value for v in held], *args)
            for variable, value in zip(held, values, strict=True):
                if value is not variable.value and not variable.trainable:
                    variable.assign(value)
            return result

        return call

    def capture(self, function: Function) -> Function:
        """Returns the function: `compile` compiles the loop around it."""
        return function

    def write(self, array: Tensor, update: Tensor, index: Tensor) -> Tensor:
        """XLA updates the array in place."""
        start: list[Any] = [0] * len(array.shape)
        start[1] = index
        return ops.slice_update(array, start, ops.cast(update, array.dtype))

    def random_state(self) -> dict[str, Any]:
        """Empty: JAX's keys are Keras variables."""
        return {}

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Does nothing: there is no state."""
        del state

    def device_names(self) -> list[str]:
        return [device.device_kind for device in jax.local_devices()]

    def peak_memory(self) -> int | None:
        """Counted if the device's allocator counts it."""
        stats = jax.local_devices()[0].memory_stats()
        return stats.get("peak_bytes_in_use") if stats else None

    def export_saved_model(self, network: Any, folder: Path) -> None:
        """Through Keras by jax2tf, which must be told how the sides are related."""
        optional("tensorflow", "Writing a SavedModel on JAX", "tensorflow")
        shapes = {a.name: _symbolic(a.shape) for a in network.arrays}
        constraints = []
        for name, side in network.sides.items():
            constraints.append(f"{name} >= {-(-side.least // side.multiple)}")
            if side.most:
                constraints.append(f"{name} <= {side.most // side.multiple}")
        options = {
            "polymorphic_shapes": [shapes],
            "polymorphic_constraints": constraints,
            # Inference only: with gradients, JAX would lose the constraints.
            "with_gradient": False,
        }
        with quiet_export():
            network.export(
                folder,
                verbose=False,
                input_signature=network.signature,
                jax2tf_kwargs=options,
            )


def _symbolic(shape: Sequence[Any]) -> str:
    """An array's shape in the syntax of jax.export."""
    sides = (
        side if isinstance(side, int) else f"{side.multiple}*{side.name}"
        for side in shape
    )
    return f"({', '.join(map(str, sides))})"
