"""Recurrent layers beside torch's; padding, and state carried on."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.engine.current import engine
from zoo.layers.recurrent.cells import CELLS

B, T, D, H = 3, 5, 4, 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, D)).astype("float32")
UP = RNG.normal(size=(B, T, H)).astype("float32")
KINDS = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}


def made(cell, seed=1):
    """A layer with weights that no initializer gives, and a state for it."""
    layer = CELLS[cell](H)
    layer.build((None, None, D))
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_variables:
        weight.assign(0.4 * rng.normal(size=weight.shape))
    state = rng.normal(size=(B, layer.num_states * H)).astype("float32")
    return layer, state


def compiled(layer, function):
    """`function` of arrays, in one piece and in NumPy."""
    made = engine().compile(function, lambda: layer.variables)

    def call(*arrays):
        return keras.tree.map_structure(ops.convert_to_numpy, made(*arrays))

    return call


def differentiable(layer):
    """A function that gives what `differentiated` says."""

    def function(x, state, up, up_state, mask=None):
        def objective(x, state):
            out, last = layer(x, state, mask)
            return ops.sum(out * up) + ops.sum(last * up_state), (out, last)

        return engine().gradients(objective, layer.trainable_variables, [x, state])

    return function


def differentiated(layer):
    """Of outputs and last state: both, and the gradients of what is weighed below."""

    function = differentiable(layer)
    if keras.config.backend() != "torch":
        return compiled(layer, function)
    tensors = ops.convert_to_tensor
    # `compile` is for inference there.
    return lambda *xs: keras.tree.map_structure(
        ops.convert_to_numpy, function(*map(tensors, xs))
    )


def torchs(cell, layer):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, KINDS[cell])(D, H, batch_first=True)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = [getattr(theirs, name) for name in names]
    with torch.no_grad():
        for ours, weight in zip(layer.trainable_variables, weights, strict=True):
            weight.copy_(torch.tensor(ops.convert_to_numpy(ours).T))
    return torch, theirs, weights


@pytest.mark.parametrize(("cell", "length"), [*((c, T) for c in KINDS), ("lstm", 1)])
def test_outputs_and_gradients_are_torchs(cell, length):
    """Of a sequence, and of one step."""
    layer, state = made(cell)
    torch, theirs, weights = torchs(cell, layer)
    up_state = np.random.default_rng(2).normal(size=state.shape).astype("float32")
    given, up = X[:, :length], UP[:, :length]
    (out, last), gradients, inputs = differentiated(layer)(given, state, up, up_state)

    x, start = (torch.tensor(a, requires_grad=True) for a in (given, state))
    parts = tuple(part[None].contiguous() for part in start.split(H, dim=1))
    expected, ends = theirs(x, parts if cell == "lstm" else parts[0])
    end = torch.cat([e[0] for e in (ends if cell == "lstm" else [ends])], dim=1)
    loss = (expected * torch.tensor(up)).sum() + (end * torch.tensor(up_state)).sum()
    wanted = torch.autograd.grad(loss, [*weights, x, start])

    assert np.abs(out - expected.detach().numpy()).max() < 1e-5
    assert np.abs(last - end.detach().numpy()).max() < 1e-5
    for found, gradient in zip([*gradients, *inputs], wanted, strict=True):
        gradient = gradient.numpy()
        gradient = (
            gradient.T if gradient.ndim == 2 and found is not inputs[1] else gradient
        )
        assert np.abs(gradient).max() > 0.01
        assert np.abs(found - gradient).max() < 1e-5


@pytest.mark.parametrize("cell", KINDS)
def test_padding_leaves_the_state_as_it_was(cell):
    layer, state = made(cell)
    mask = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 1, 0, 1, 0]], bool)
    call = compiled(layer, lambda x, state, mask: layer(x, state, mask))
    out, last = call(X, state, mask)
    # The same tokens without padding; what comes after them is there to fill up.
    order = np.argsort(~mask, axis=1, kind="stable")
    first = np.take_along_axis(X, order[:, :, None], axis=1)
    alone, _ = call(first, state, np.ones_like(mask))
    for row, kept in enumerate(mask):
        count = kept.sum()
        assert np.abs(out[row, kept] - alone[row, :count]).max() < 1e-5
        assert np.abs(last[row, :H] - alone[row, count - 1]).max() < 1e-5


def test_padding_has_no_gradient():
    layer, state = made("lstm")
    mask = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 1, 0, 1, 0]], bool)

    def function(x, state, mask):
        def objective(x, state):
            out, last = layer(x, state, mask)
            out = out * ops.cast(mask, "float32")[:, :, None]
            return ops.sum(ops.square(out)) + ops.sum(last), last

        return engine().gradients(objective, layer.trainable_variables, [x, state])

    call = compiled(layer, lambda x, state, mask: layer(x, state, mask))

    def loss(x, state):
        out, last = call(x, state, mask)
        return np.sum(np.square(out[mask])) + np.sum(last)

    if keras.config.backend() == "torch":
        arrays = map(ops.convert_to_tensor, (X, state, mask))
        found = keras.tree.map_structure(ops.convert_to_numpy, function(*arrays))
    else:
        found = compiled(layer, function)(X, state, mask)
    _, weights, (d_x, d_state) = found
    assert np.abs(d_x[~mask]).max() == 0
    # Central differences along one direction, in float32.
    rng = np.random.default_rng(3)
    x, s = (rng.normal(size=a.shape).astype("float32") for a in (X, state))
    step = 1e-2
    ends = [loss(X + sign * step * x, state + sign * step * s) for sign in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    assert np.sum(d_x * x) + np.sum(d_state * s) == pytest.approx(expected, rel=2e-3)


def test_reads_backward():
    """Gradients on this way are those of ELMo's reference."""
    layer, state = made("lstm")
    backward = CELLS["lstm"](H, backward=True)
    backward.build((None, None, D))
    backward.set_weights(layer.get_weights())
    expected, end = compiled(layer, lambda x, state: layer(x, state))(X, state)
    found, last = compiled(backward, lambda x, state: backward(x, state))(
        X[:, ::-1], state
    )
    assert np.abs(found[:, ::-1] - expected).max() < 1e-6
    assert np.abs(last - end).max() < 1e-6


MASKS = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]], bool)


@pytest.mark.skipif(keras.config.backend() != "torch", reason="no kernels elsewhere")
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("cell", KINDS)
def test_the_loop_gives_what_the_kernel_gives(cell, backward, monkeypatch):
    """With padding anywhere, even a row of nothing else; a frozen layer too."""
    layer, state = made(cell)
    layer.backward = backward
    up_state = np.random.default_rng(2).normal(size=state.shape).astype("float32")
    arrays = [ops.convert_to_tensor(a) for a in (X, state, UP, up_state, MASKS)]
    found = keras.tree.map_structure(
        ops.convert_to_numpy, differentiable(layer)(*arrays)
    )
    layer.trainable = False
    frozen, _ = layer(*arrays[:2], arrays[-1])
    layer.trainable = True
    monkeypatch.setattr(type(engine()), "recurrent", lambda *_: None)
    expected = keras.tree.map_structure(
        ops.convert_to_numpy, differentiable(layer)(*arrays)
    )
    pairs = zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True)
    for a, b in pairs:
        assert np.abs(b).max() > 0.01
        assert np.abs(a - b).max() < 1e-5
    assert np.abs(ops.convert_to_numpy(frozen) - found[0][0]).max() < 1e-6


@pytest.mark.skipif(keras.config.backend() != "torch", reason="no kernels elsewhere")
def test_kernels_serve_full_precision_that_is_not_recorded(monkeypatch):
    given = type(engine()).recurrent
    served = []

    def watched(*args):
        served.append(given(*args) is not None)
        return given(*args)

    monkeypatch.setattr(type(engine()), "recurrent", watched)
    layer, state = made("lstm")
    layer(X, state)
    half = CELLS["lstm"](H, dtype="mixed_bfloat16")
    half(X, state)
    captured = engine().capture(lambda x, state: list(layer(x, state)))
    out, _ = captured(ops.convert_to_tensor(X), ops.convert_to_tensor(state))
    assert served == [True, False, False]
    expected = ops.convert_to_numpy(layer(X, state)[0])
    assert np.abs(ops.convert_to_numpy(out) - expected).max() < 1e-5


def test_forget_gates_start_open():
    layer = CELLS["lstm"](H)
    layer.build((None, None, D))
    bias = ops.convert_to_numpy(layer.bias).reshape(4, H)
    assert np.array_equal(bias, np.eye(4)[1][:, None] * np.ones(H))


def test_the_state_is_kept_in_full_precision():
    layer, state = made("lstm")
    half = CELLS["lstm"](H, dtype="mixed_bfloat16")
    half.build((None, None, D))
    half.set_weights(layer.get_weights())
    out, last = half(X, state)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(last.dtype) == "float32"
    expected, _ = layer(X, state)
    exact = ops.convert_to_numpy(expected)
    found = ops.convert_to_numpy(ops.cast(out, "float32"))
    assert np.abs(found - exact).max() < 0.05
