"""Removes calls that return their argument unchanged from a recorded step.

Autograd detaches what it keeps, layers reshape to the shape that is already there, and
constants are copied at each use. In a small model's step a third of the calls are of
this kind, and each costs as much Python as one that computes.
"""

import torch
from torch.fx import GraphModule, Node

aten = torch.ops.aten


def simplify(recorded: GraphModule) -> GraphModule:
    """Removes the calls that change nothing; values stay the same bit for bit.

    The result must be replayed without gradients.

    Args:
        recorded: from `make_fx`, with the predicted value of each node in
            `meta["val"]`.

    Returns:
        `recorded`, changed in place.
    """
    for node in list(recorded.graph.nodes):
        if node.op == "call_function" and _gives_its_argument(node):
            node.replace_all_uses_with(node.args[0])
            recorded.graph.erase_node(node)
    recorded.recompile()
    return recorded


def _gives_its_argument(node: Node) -> bool:
    argument = node.args[0] if node.args else None
    if not isinstance(argument, Node):
        return False
    match node.target:
        case aten.detach.default | aten.alias.default:
            return True
        case aten.lift_fresh_copy.default:
            # A write to the copy must not reach the constant.
            return not _written(node)
        case aten.permute.default:
            dims = node.args[1]
            return list(dims) == list(range(len(dims)))
        case aten.view.default | aten.expand.default:
            before, after = argument.meta.get("val"), node.meta.get("val")
            predicted = isinstance(before, torch.Tensor)
            return predicted and before.shape == after.shape
    return False


def _written(node: Node) -> bool:
    """Whether any user writes to a value, or may let it escape."""
    for user in node.users:
        schema = getattr(user.target, "_schema", None)
        if schema is None or schema.is_mutable:
            return True
        shares = any(result.alias_info is not None for result in schema.returns)
        if shares and _written(user):
            return True
    return False
