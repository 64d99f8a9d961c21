"""Takes out of a recorded step what gives its argument as it is.

Autograd detaches what it keeps, layers reshape to the shape that is there, constants
are copied at each use. In a small model's step a third of the calls are of this kind,
and each costs as much Python as one that computes.
"""

import torch
from torch.fx import GraphModule, Node

aten = torch.ops.aten


def simplify(recorded: GraphModule) -> GraphModule:
    """The same calls but those that change nothing; values stay bit for bit.

    To be replayed without gradients.

    Args:
        recorded: as `make_fx` gives it, with the value that it predicts of each node in
            `meta["val"]`.

    Returns:
        `recorded`, changed.
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
            # What writes into the copy must not write into the constant.
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
    """Whether somebody writes into a value, or may give it away."""
    for user in node.users:
        schema = getattr(user.target, "_schema", None)
        if schema is None or schema.is_mutable:
            return True
        shares = any(result.alias_info is not None for result in schema.returns)
        if shares and _written(user):
            return True
    return False
