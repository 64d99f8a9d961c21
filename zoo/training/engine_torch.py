"""Training on PyTorch: eager, with `torch.autograd` called for named tensors only."""

import torch
from keras import ops, tree
from torch.fx.experimental.proxy_tensor import make_fx

from zoo.training import step


class TorchEngine:
    """See `zoo.training.engine.Engine`."""

    def train_step(self, model, data):
        """Gradients are on only where they are asked for."""
        with torch.no_grad():
            return step.train(model, data)

    def test_step(self, model, data):
        """The trainer has switched gradients off."""
        return step.test(model, data)

    def gradients(self, function, variables, inputs=()):
        """`torch.autograd.grad`: gradients never reach a phase's frozen networks."""
        inputs = [x.detach().requires_grad_() for x in inputs]
        with torch.enable_grad():
            objective, aux = function(*inputs)
        aux = tree.map_structure(lambda x: x.detach(), aux)
        leaves = [v.value for v in variables] + inputs
        gradients = _grad(objective, leaves)
        return aux, gradients[: len(variables)], gradients[len(variables) :]

    def linearize(self, function, variables):
        """The graph of `function()` stays alive in the closure."""
        with torch.enable_grad():
            value = function()
        outputs = tree.flatten(value)

        def pullback(cotangents):
            return _grad(outputs, [v.value for v in variables], cotangents)

        return tree.map_structure(lambda x: x.detach(), value), pullback

    def repeat(self, function, count):
        """Eager, so a plain loop: autograd frees each pass's graph."""
        total = function(0)
        for index in range(1, count):
            total = tree.map_structure(torch.add, total, function(index))
        return total

    def when(self, condition, function):
        """Reads the condition on the host."""
        if bool(condition):
            function()

    def input_gradient(self, function, x):
        """`create_graph` keeps the second order."""
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        return gradient

    def compile(self, function, variables):
        """Eager: torch.compile costs a minute on a CPU. See `capture`."""
        del variables

        @torch.inference_mode()
        def call(*args):
            return function(*tree.map_structure(ops.convert_to_tensor, args))

        return call

    def capture(self, function):
        """Records the ATen calls once a shape, and replays them.

        A layer's Python costs as much as its arithmetic when there is one token to
        do. The recording reads the weights where they lie, so assignments are seen.
        """
        recorded = {}

        def replay(*arrays):
            shapes = tuple((x.shape, x.dtype, x.device) for x in arrays)
            if shapes not in recorded:
                recorded[shapes] = _record(function, arrays)
            return recorded[shapes](*arrays)

        return replay

    def write(self, array, update, index):
        """In place."""
        index = torch.as_tensor(index, device=array.device)
        places = index + torch.arange(update.shape[1], device=array.device)
        return array.index_copy_(1, places, update.to(array.dtype))

    def random_state(self):
        """The CPU's generator, and every GPU's."""
        state = {"cpu": torch.get_rng_state().numpy()}
        for index, generator in enumerate(torch.cuda.get_rng_state_all()):
            state[f"cuda{index}"] = generator.numpy()
        return state

    def set_random_state(self, state):
        """The inverse; GPUs that aren't there are passed over."""
        torch.set_rng_state(torch.from_numpy(state["cpu"]))
        for index in range(torch.cuda.device_count()):
            if f"cuda{index}" in state:
                saved = torch.from_numpy(state[f"cuda{index}"])
                torch.cuda.set_rng_state(saved, index)

    def peak_memory(self):
        """Counted on CUDA only."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated()
        return None


def _grad(outputs, leaves, cotangents=None):
    """Gradients; zeros, as JAX gives, for what the outputs don't depend on."""
    return list(
        torch.autograd.grad(outputs, leaves, cotangents, materialize_grads=True)
    )


def _record(function, arrays):
    """A flat graph of the ATen calls that `function(*arrays)` makes."""
    graph = make_fx(function)(*arrays)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph.forward
