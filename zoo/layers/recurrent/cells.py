"""Recurrent layers: Elman network, GRU and LSTM.

Elman 1990; Cho et al. 2014, in cuDNN's form, which applies the reset gate after the
candidate's product; Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al.
2000. Gates, their order and both biases are those of `torch.nn.RNN`, `GRU` and `LSTM`.

The inputs of all tokens go through one product, so that the loop over tokens only
multiplies the state. Backpropagation through time (Werbos 1990) is written out: its
loop also has one product per token, and the gradient of the recurrent matrix is one
product for all tokens. If the backend has a kernel for a whole layer, that replaces the
loop.

Shapes: B batch, T tokens, D input width, H width, G gates times H, S state: H, or 2·H
for the LSTM's hidden and cell state.
"""

from typing import Any, ClassVar

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Function, Shape, Tensor
from zoo.layers.layer import Layer


class Recurrent(Layer):
    """Base class: weights, and forward and backward passes through time.

    A state is one array (B, S) in float32 at any precision, since it accumulates over
    many tokens. Its first H values are the layer's output.

    Args:
        width: H.
        backward: whether to read from the last token to the first; outputs stay in the
            order of the input.
    """

    cell: ClassVar[str]
    num_gates: ClassVar[int]
    num_states: ClassVar[int] = 1

    def __init__(self, width: int, backward: bool = False, **kwargs: Any) -> None:
        # Keras would cast the state too.
        super().__init__(autocast=False, **kwargs)
        self.width, self.backward = width, backward

    def build(self, input_shape: Shape) -> None:
        """Creates both matrices and their biases for inputs (B, T, D)."""
        gates = self.num_gates * self.width
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], gates), initializer="glorot_uniform"
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.width, gates),
            initializer="orthogonal",
        )
        self.bias = self.add_weight(
            name="bias", shape=(gates,), initializer=self.initial_bias
        )
        self.recurrent_bias = self.add_weight(
            name="recurrent_bias", shape=(gates,), initializer="zeros"
        )

    @classmethod
    def initial_bias(cls, shape: Shape, dtype: Any = None) -> Tensor:
        """The initial input bias, zeros (G,)."""
        return ops.zeros(shape, dtype=dtype)

    def empty_state(self, batch: Any) -> Tensor:
        """The state before the first token, zeros (B, S)."""
        return ops.zeros((batch, self.num_states * self.width), dtype="float32")

    def call(
        self,
        x_BTD: Tensor,
        state_BS: Tensor | None = None,
        mask_BT: Tensor | None = None,
    ) -> Any:
        """Reads a sequence.

        Args:
            x_BTD: the inputs.
            state_BS: the state from `empty_state` or an earlier call; default zeros.
            mask_BT: booleans, False at padding, which leaves the state unchanged.

        Returns:
            Outputs (B, T, H), and the state (B, S) after the last token read.
        """
        if state_BS is None:
            state_BS = self.empty_state(ops.shape(x_BTD)[0])
        x_BTD = ops.cast(x_BTD, self.compute_dtype)
        weights = (self.kernel, self.recurrent_kernel, self.bias, self.recurrent_bias)
        native = engine().recurrent(
            self.cell,
            x_BTD,
            state_BS,
            [ops.convert_to_tensor(weight) for weight in weights],
            mask_BT,
            self.backward,
        )
        if native is not None:
            return native
        kernel, recurrent_kernel = (
            ops.cast(matrix, self.compute_dtype)
            for matrix in (self.kernel, self.recurrent_kernel)
        )
        rows = _rows(x_BTD)
        gates = ops.cast(ops.matmul(rows, kernel), "float32")
        gates = gates + ops.cast(self.bias, "float32")
        gates = ops.reshape(gates, (*ops.shape(x_BTD)[:-1], gates.shape[-1]))
        keep = []
        if mask_BT is not None:
            keep = [ops.transpose(ops.cast(mask_BT, "bool"))[:, :, None]]
        states = engine().custom_gradient(_through_time(self, keep))(
            ops.transpose(gates, (1, 0, 2)),
            state_BS,
            recurrent_kernel,
            ops.cast(self.recurrent_bias, "float32"),
        )
        out_BTH = ops.transpose(states[:, :, : self.width], (1, 0, 2))
        last_BS = ops.take(states, 0 if self.backward else -1, axis=0)
        return ops.cast(out_BTH, self.compute_dtype), last_BS

    def step(self, x_BG: Tensor, product_BG: Tensor, state_BS: Tensor) -> Tensor:
        """The next state, from a token's input and the hidden state's product."""
        raise NotImplementedError

    def factors(
        self, x_TBG: Tensor, product_TBG: Tensor, before_TBS: Tensor, after_TBS: Tensor
    ) -> list:
        """The inputs of `step_back`, computed for all tokens at once."""
        raise NotImplementedError

    def step_back(
        self, d_BS: Tensor, through: Function, *factors: Any
    ) -> tuple[Tensor, Tensor]:
        """The gradients of the state before a token and of its input (B, G).

        `through` maps the product's gradient to the hidden state's.
        """
        raise NotImplementedError

    def to_product(self, d_gates: Tensor, *factors: Any) -> Tensor:
        """The product's gradient, from that of the input to which it is added."""
        return d_gates

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Shape:
        """The shapes of outputs and state."""
        batch, length, _ = input_shape
        return (batch, length, self.width), (batch, self.num_states * self.width)


def _through_time(layer: Recurrent, keep: list) -> Function:
    """A function of the states (T, B, S) after each token, with its backward pass.

    `keep` contains the mask (T, B, 1), if there is one.
    """

    def forward(
        x_TBG: Tensor, state_BS: Tensor, kernel: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        def product(hidden: Tensor) -> Tensor:
            hidden = ops.cast(hidden, kernel.dtype)
            return ops.cast(ops.matmul(hidden, kernel), "float32") + bias

        def step(state: Any, token: Any) -> tuple[Tensor, Tensor]:
            x, *keep = token
            new = layer.step(x, product(state[:, : layer.width]), state)
            new = ops.where(keep[0], new, state) if keep else new
            return new, new

        read = [x_TBG, *keep]
        _, after = engine().scan(step, state_BS, read, reverse=layer.backward)

        def backward(
            *args: Any, upstream: Tensor | None = None
        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            upstream = args[0] if upstream is None else upstream
            first = state_BS[None]
            shifted = [after[1:], first] if layer.backward else [first, after[:-1]]
            before = ops.concatenate(shifted, axis=0)
            hidden = before[:, :, : layer.width]
            # Recomputes activations by one product, cheaper than storing them.
            factors = layer.factors(x_TBG, product(hidden), before, after)
            transposed = ops.transpose(kernel)

            def through(d_product: Tensor) -> Tensor:
                d_product = ops.cast(d_product, kernel.dtype)
                return ops.cast(ops.matmul(d_product, transposed), "float32")

            def step_back(d_state: Tensor, token: Any) -> tuple[Tensor, Tensor]:
                d_after, *token = token
                d_state = d_new = d_state + d_after
                if keep:
                    kept, *token = token
                    d_new = ops.where(kept, d_state, 0.0)
                d_before, d_gates = layer.step_back(d_new, through, *token)
                if keep:
                    d_before = d_before + ops.where(kept, 0.0, d_state)
                return d_before, d_gates

            back = [upstream, *keep, *factors]
            start = ops.zeros_like(state_BS)
            d_state, d_gates = engine().scan(
                step_back, start, back, reverse=not layer.backward
            )
            d_product = layer.to_product(d_gates, *factors)
            d_kernel = ops.matmul(
                ops.cast(ops.transpose(_rows(hidden)), kernel.dtype),
                ops.cast(_rows(d_product), kernel.dtype),
            )
            return d_gates, d_state, d_kernel, ops.sum(d_product, axis=(0, 1))

        return after, backward

    return forward


def _rows(x: Tensor) -> Tensor:
    return ops.reshape(x, (-1, x.shape[-1]))


def _parts(x: Tensor, count: int) -> list[Tensor]:
    """Splits (..., count·H) into `count` parts (..., H)."""
    width = x.shape[-1] // count
    return ops.unstack(ops.reshape(x, (*ops.shape(x)[:-1], count, width)), axis=-2)


@keras.saving.register_keras_serializable("zoo")
class Elman(Recurrent):
    """h' = tanh(x + Uh), as in `torch.nn.RNN`."""

    cell = "elman"
    num_gates = 1

    def step(self, x_BG: Tensor, product_BG: Tensor, state_BS: Tensor) -> Tensor:
        return ops.tanh(x_BG + product_BG)

    def factors(
        self, x_TBG: Tensor, product_TBG: Tensor, before_TBS: Tensor, after_TBS: Tensor
    ) -> list[Any]:
        return [1 - ops.square(after_TBS)]

    def step_back(
        self, d_BS: Tensor, through: Function, slope: Tensor
    ) -> tuple[Tensor, Tensor]:
        d_gates = d_BS * slope
        return through(d_gates), d_gates


@keras.saving.register_keras_serializable("zoo")
class GRU(Recurrent):
    """h' = (1 - z) n + z h with n = tanh(x + r Uh).

    The gates r, z, n are ordered as in `torch.nn.GRU`.
    """

    cell = "gru"
    num_gates = 3

    def step(self, x_BG: Tensor, product_BG: Tensor, state_BS: Tensor) -> Tensor:
        _, update, candidate, _ = self._activated(x_BG, product_BG)
        return candidate + update * (state_BS - candidate)

    def _activated(
        self, x: Tensor, product: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (x_reset, x_update, x), (p_reset, p_update, product) = (
            _parts(gates, 3) for gates in (x, product)
        )
        reset = ops.sigmoid(x_reset + p_reset)
        update = ops.sigmoid(x_update + p_update)
        return reset, update, ops.tanh(x + reset * product), product

    def factors(
        self, x_TBG: Tensor, product_TBG: Tensor, before_TBS: Tensor, after_TBS: Tensor
    ) -> list[Any]:
        reset, update, candidate, product = self._activated(x_TBG, product_TBG)
        to_candidate = (1 - update) * (1 - ops.square(candidate))
        to_gates = [
            to_candidate * product * reset * (1 - reset),
            (before_TBS - candidate) * update * (1 - update),
            to_candidate,
        ]
        ones = ops.ones_like(reset)
        return [
            update,
            ops.concatenate(to_gates, axis=-1),
            ops.concatenate([ones, ones, reset], axis=-1),
        ]

    def step_back(
        self,
        d_BS: Tensor,
        through: Function,
        update: Any,
        to_gates: Any,
        to_product: Any,
    ) -> tuple[Tensor, Tensor]:
        d_gates = ops.concatenate([d_BS] * 3, axis=-1) * to_gates
        return d_BS * update + through(d_gates * to_product), d_gates

    def to_product(
        self, d_gates: Tensor, update: Any, to_gates: Any, to_product: Any
    ) -> Tensor:
        return d_gates * to_product


@keras.saving.register_keras_serializable("zoo")
class LSTM(Recurrent):
    """c' = f c + i g, h' = o tanh(c'), gates i, f, g, o as in `torch.nn.LSTM`.

    Forget gates start open: their bias is 1 (Jozefowicz et al. 2015, section 5).
    """

    cell = "lstm"
    num_gates = 4
    num_states = 2

    @classmethod
    def initial_bias(cls, shape: Shape, dtype: Any = None) -> Tensor:
        """The initial input bias (G,), 1 for the forget gates."""
        gate = ops.arange(shape[0]) // (shape[0] // cls.num_gates)
        return ops.cast(gate == 1, dtype or "float32")

    def _activated(self, gates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        i, f, g, o = _parts(gates, 4)
        return ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)

    def step(self, x_BG: Tensor, product_BG: Tensor, state_BS: Tensor) -> Tensor:
        i, f, g, o = self._activated(x_BG + product_BG)
        cell = f * state_BS[:, self.width :] + i * g
        return ops.concatenate([o * ops.tanh(cell), cell], axis=-1)

    def factors(
        self, x_TBG: Tensor, product_TBG: Tensor, before_TBS: Tensor, after_TBS: Tensor
    ) -> list[Any]:
        i, f, g, o = self._activated(x_TBG + product_TBG)
        cell = ops.tanh(after_TBS[:, :, self.width :])
        to_gates = [
            g * i * (1 - i),
            before_TBS[:, :, self.width :] * f * (1 - f),
            i * (1 - ops.square(g)),
            cell * o * (1 - o),
        ]
        to_cell = o * (1 - ops.square(cell))
        return [to_cell, f, ops.concatenate(to_gates, axis=-1)]

    def step_back(
        self,
        d_BS: Tensor,
        through: Function,
        to_cell: Any,
        forget: Tensor,
        to_gates: Any,
    ) -> tuple[Tensor, Tensor]:
        d_hidden, d_cell = _parts(d_BS, 2)
        d_cell = d_cell + d_hidden * to_cell
        d_gates = ops.concatenate([d_cell] * 3 + [d_hidden], axis=-1) * to_gates
        return ops.concatenate([through(d_gates), d_cell * forget], axis=-1), d_gates


CELLS: dict[str, type[Recurrent]] = {made.cell: made for made in (Elman, GRU, LSTM)}
