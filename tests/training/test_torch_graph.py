"""What is taken out of a recorded step on torch, and what must stay."""

import keras
import pytest

if keras.config.backend() != "torch":
    pytest.skip("torch's engine", allow_module_level=True)

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from zoo.engine.torch.graph import simplify


def recorded(function, *arrays):
    before = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)
    graph = before(*arrays)
    calls = [str(node.target) for node in graph.graph.nodes]
    expected = graph(*(x.clone() for x in arrays))
    simplify(graph)
    left = [str(node.target) for node in graph.graph.nodes]
    for _ in range(2):  # a constant that was written into would show now
        torch.testing.assert_close(
            graph(*(x.clone() for x in arrays)), expected, rtol=0, atol=0
        )
    return calls, left


@torch.no_grad()
def test_what_changes_nothing_goes():
    def function(x):
        y = x.detach().view(2, 3).permute(0, 1).expand(2, 3)
        return y * torch.tensor(2.0)

    calls, left = recorded(function, torch.arange(6.0).reshape(2, 3))
    assert "aten.detach.default" in calls and "aten.lift_fresh_copy.default" in calls
    assert [x for x in left if x.startswith("aten")] == ["aten.mul.Tensor"]


@torch.no_grad()
def test_what_turns_or_reshapes_stays():
    def function(x):
        return x.permute(1, 0), x.view(3, 2), x[:1].expand(4, 3)

    calls, left = recorded(function, torch.arange(6.0).reshape(2, 3))
    assert left == calls


@torch.no_grad()
def test_a_constant_that_is_written_into_stays_a_copy():
    def function(x):
        count = torch.tensor([1.0, 2.0])
        count.detach().view(2).add_(x)
        return count * 2

    calls, left = recorded(function, torch.ones(2))
    assert "aten.lift_fresh_copy.default" in left
    assert len(left) < len(calls)
