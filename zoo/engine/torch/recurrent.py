"""Recurrent layers in PyTorch's own kernels.

Shapes are those of `zoo.layers.recurrent.cells`.
"""

from collections.abc import Sequence

import torch
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from zoo.engine.tensors import Tensor

KERNELS = {"elman": torch.rnn_tanh, "gru": torch.gru, "lstm": torch.lstm}
# Fully opens or closes a gate: the sigmoid of +-SHUT is 1 or 0 to the last bit.
SHUT = 1e4


def serves(x: torch.Tensor) -> bool:
    """Whether the kernels can read these inputs.

    They can't while a step is recorded: the LSTM's workspace is gone when its backward
    pass is replayed.
    """
    there = x.device.type in ("cpu", "cuda") and x.shape[0] > 0 and x.shape[1] > 0
    return there and x.dtype == torch.float32 and get_proxy_mode() is None


def read(
    cell: str,
    x_BTD: Tensor,
    state_BS: Tensor,
    weights: Sequence[Tensor],
    mask_BT: Tensor | None = None,
    backward: bool = False,
) -> tuple[Tensor, Tensor]:
    """Outputs (B, T, H) and the last state (B, S), as from `Recurrent.call`."""
    if mask_BT is not None:
        mask_BT = mask_BT.to(torch.bool)
        if bool(mask_BT.all()):
            mask_BT = None
    if backward:
        x_BTD = x_BTD.flip(1)
        mask_BT = None if mask_BT is None else mask_BT.flip(1)
    if mask_BT is None:
        out, last = _plainly(cell, x_BTD, state_BS, weights)
    else:
        out, last = _masked(cell, x_BTD, state_BS, weights, mask_BT)
    return out.flip(1) if backward else out, last


def _plainly(
    cell: str, x_BTD: Tensor, state_BS: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Reads from the first token to the last, without a mask."""
    kernel, recurrent_kernel, bias, recurrent_bias = weights
    width = recurrent_kernel.shape[0]
    parts = [part[None].contiguous() for part in state_BS.split(width, dim=1)]
    out, *ends = KERNELS[cell](
        x_BTD,
        parts if cell == "lstm" else parts[0],
        [kernel.T.contiguous(), recurrent_kernel.T.contiguous(), bias, recurrent_bias],
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=True,
    )
    return out, torch.cat([end[0] for end in ends], dim=1)


def _masked(
    cell: str,
    x_BTD: Tensor,
    state_BS: Tensor,
    weights: Sequence[Tensor],
    mask_BT: Tensor,
) -> tuple[Tensor, Tensor]:
    """Moves padding behind the tokens, where it does not affect their outputs.

    It would still change the LSTM's cell state, so an additional input, 1 at padding,
    shuts the gates that write to it.
    """
    kernel, *rest = weights
    width = rest[0].shape[0]
    count = mask_BT.sum(dim=1)
    # Up to the longest row.
    order = torch.argsort(~mask_BT, dim=1, stable=True)[:, : max(int(count.max()), 1)]
    behind = torch.arange(order.shape[1], device=order.device) >= count[:, None]
    x_BTD = x_BTD.gather(1, order[:, :, None].expand(-1, -1, x_BTD.shape[2]))
    if cell == "lstm":
        gates = torch.tensor([-SHUT, SHUT, 0.0, 0.0], device=kernel.device)
        row = gates.repeat_interleave(width)[None]
        kernel = torch.cat([kernel, row])
        x_BTD = torch.cat([x_BTD, behind[:, :, None].to(x_BTD.dtype)], dim=2)
    out, last = _plainly(cell, x_BTD, state_BS, [kernel, *rest])
    # After each token, and before the first.
    hidden = torch.cat([state_BS[:, None, :width], out], dim=1)
    seen = torch.cat([mask_BT.cumsum(dim=1), count[:, None]], dim=1)
    hidden = hidden.gather(1, seen[:, :, None].expand(-1, -1, width))
    last = torch.cat([hidden[:, -1], last[:, width:]], dim=1)
    return hidden[:, :-1], last
