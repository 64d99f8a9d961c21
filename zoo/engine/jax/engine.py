"""Training on JAX: stateful code made pure by Keras's `StatelessScope`.

Inside a scope, reads of a variable give the scope's value and assignments update
the scope alone. `_purely` uses that to turn code over variables into a function
over values, which JAX can then differentiate, loop over, branch on and compile;
nested scopes do the same inside a step that is itself already pure.
"""

import contextlib

import jax
import jax.numpy as jnp
import keras
from keras import ops, tree

from zoo.engine import interrupts
from zoo.engine.base import Engine
from zoo.engine.jax import state as jax_state
from zoo.engine.quiet_export import quiet_export
from zoo.engine.tracing import tracing
from zoo.extras import optional


class JaxEngine(Engine):
    """See `zoo.engine.base.Engine`."""

    fuses = True

    def __init__(self):
        self._held = []

    def train_step(self, step, model, state, data):
        """Keras's JAX trainer threads four lists of values."""
        kinds = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        return self._stateless(step, model, kinds, state, data)

    def test_step(self, step, model, state, data):
        """Likewise, without the optimizer's."""
        kinds = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.metrics_variables,
        )
        return self._stateless(step, model, kinds, state, data)

    @contextlib.contextmanager
    def whole_updates(self, model):
        """The values come back from the last step that ended."""
        with super().whole_updates(model), jax_state.kept(model):
            yield

    def step_function(self, model, name, step):
        """Keras's own loop over a step whose results are noted as soon as they exist.

        Whatever waits for data can be interrupted, as can tracing and compiling.
        """
        kinds = jax_state.GIVEN[name]
        run = self._compiled_step(model, name, step)

        def noted(state, data):
            with interrupts.held(lambda: not jax_state.given_away(state)):
                result, after = run(state, data)
                jax_state.note(model, kinds, after)
            return result, after

        concatenate = name == "predict_function"
        return model._make_function(noted, concatenate_outputs=concatenate)

    def _compiled_step(self, model, name, step):
        """As Keras compiles it, but only training gives the weights away."""
        if name == "predict_function":
            predict = step

            def step(state, data):
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

        def reading(trainable, rest, data):
            result, after = step((trainable, *rest), data)
            return result, after[1:]

        outputs = None if shardings is None else (None, shardings[1:])
        compiled = jax.jit(reading, donate_argnums=1, out_shardings=outputs)

        def run(state, data):
            result, rest = compiled(state[0], state[1:], data)
            return result, (state[0], *rest)

        return run

    def _stateless(self, function, model, kinds, state, data):
        held = [v for kind in kinds for v in kind]
        values = [value for kind in state for value in kind]
        logs, values = self._purely(lambda: function(model, data), held)(values)
        parts, start = [], 0
        for kind in kinds:
            parts.append(values[start : start + len(kind)])
            start += len(kind)
        return logs, tuple(parts)

    def _purely(self, function, held):
        """`function(*args)` over variables -> `(values, *args) -> (result, values)`."""

        def pure(values, *args):
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

    def _values(self):
        return [v.value for v in self._held]

    def _keep(self, old, new):
        for variable, before, after in zip(self._held, old, new, strict=True):
            if after is not before:
                variable.assign(after)

    def _of_chosen(self, function, variables):
        """`function` as one of the chosen variables' values, which may be traced.

        Returns it, mapping `(values, *inputs)` to `(result, state afterwards)`, and
        the state as it was. The chosen variables' own assignments are dropped.
        """
        before = self._values()
        position = {id(v): index for index, v in enumerate(self._held)}
        chosen = [position[id(v)] for v in variables]
        pure = self._purely(function, self._held)

        def forward(trained, *inputs):
            values = list(before)
            for index, value in zip(chosen, trained, strict=True):
                values[index] = value
            result, after = pure(values, *inputs)
            for index in chosen:
                after[index] = before[index]
            return result, after

        return forward, before

    def read_back(self, model):
        """Within an epoch Keras's trainer holds the values, not the variables."""
        model.jax_state_sync()

    def tune(self, optimizer):
        """Nothing: XLA fuses the update."""
        del optimizer

    def gradients(self, function, variables, inputs=()):
        """`jax.grad` for the chosen values; updates of other state are kept."""
        forward, before = self._of_chosen(function, variables)

        def objective(trained, inputs):
            (loss, aux), after = forward(trained, *inputs)
            return loss, (aux, after)

        grad = jax.grad(objective, argnums=(0, 1), has_aux=True)
        trained = [v.value for v in variables]
        (gradients, input_gradients), (aux, after) = grad(trained, list(inputs))
        self._keep(before, after)
        return aux, gradients, input_gradients

    def linearize(self, function, variables):
        """`jax.vjp` for the chosen values; updates of other state are kept."""
        forward, before = self._of_chosen(function, variables)
        trained = [v.value for v in variables]
        value, pullback, after = jax.vjp(forward, trained, has_aux=True)
        self._keep(before, after)

        def back(cotangents):
            return pullback(tree.pack_sequence_as(value, list(cotangents)))[0]

        return value, back

    def repeat(self, function, count):
        """A `fori_loop` that carries the sums and all state."""
        before = self._values()
        pure = self._purely(function, self._held)

        def body(index, carry):
            total, values = carry
            part, values = pure(values, index)
            return tree.map_structure(jnp.add, total, part), values

        shapes, _ = jax.eval_shape(pure, before, 0)
        zeros = tree.map_structure(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        total, after = jax.lax.fori_loop(0, count, body, (zeros, before))
        self._keep(before, after)
        return total

    def when(self, condition, function, variables):
        """`lax.cond` between the state with the assignments and the state as it was."""
        del variables
        before = self._values()
        pure = self._purely(function, self._held)
        after = jax.lax.cond(
            condition, lambda values: pure(values)[1], lambda values: values, before
        )
        self._keep(before, after)

    def input_gradient(self, function, x):
        """Nested `jax.grad`; what the function assigns is dropped."""
        before = self._values()
        pure = self._purely(function, self._held)
        return jax.grad(lambda x: jnp.sum(pure(before, x)[0]))(x)

    def attention(self, q, k, v, mask=None, is_causal=False, bias=None, drop=None):
        """In float32 where float16 is asked for on a CPU.

        JAX wants its scores summed in float32, which XLA has no product for there.
        """
        if q.dtype != jnp.float16 or jax.default_backend() != "cpu":
            return super().attention(q, k, v, mask, is_causal, bias, drop)
        q, k, v = (x.astype("float32") for x in (q, k, v))
        bias = None if bias is None else bias.astype("float32")
        attended = super().attention(q, k, v, mask, is_causal, bias, drop)
        return attended.astype("float16")

    def compile(self, function, variables):
        """`jit` over the values of the variables, which are put back afterwards."""
        compiled = {}

        def call(*args):
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

    def capture(self, function):
        """Nothing to do: `compile` compiles the loop around it."""
        return function

    def write(self, array, update, index):
        """XLA does it in place."""
        start = [0] * len(array.shape)
        start[1] = index
        return ops.slice_update(array, start, ops.cast(update, array.dtype))

    def random_state(self):
        """None: JAX's keys are Keras variables."""
        return {}

    def set_random_state(self, state):
        """Nothing to restore."""
        del state

    def device_names(self):
        return [device.device_kind for device in jax.local_devices()]

    def peak_memory(self):
        """Counted where the device's allocator does."""
        stats = jax.local_devices()[0].memory_stats()
        return stats.get("peak_bytes_in_use") if stats else None

    def export_saved_model(self, network, folder):
        """Through Keras, by jax2tf, which has to know how sides hang together."""
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
            # Inference alone; to write its gradient, JAX would lose the constraints.
            "with_gradient": False,
        }
        with quiet_export():
            network.export(
                folder,
                verbose=False,
                input_signature=network.signature,
                jax2tf_kwargs=options,
            )


def _symbolic(shape):
    """The sides of an array in the language of jax.export."""
    sides = (
        side if isinstance(side, int) else f"{side.multiple}*{side.name}"
        for side in shape
    )
    return f"({', '.join(map(str, sides))})"
