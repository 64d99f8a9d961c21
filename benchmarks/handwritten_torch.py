"""A GPT and its training step, written by hand in plain PyTorch."""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.shapes import Shape


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, shape: Shape):
        super().__init__()
        width, bias = shape.width, shape.bias
        self.heads = shape.heads
        self.attention_norm = nn.LayerNorm(width, bias=bias)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.attention_out = nn.Linear(width, width, bias=bias)
        self.mlp_norm = nn.LayerNorm(width, bias=bias)
        self.mlp_in = nn.Linear(width, 4 * width, bias=bias)
        self.mlp_out = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, D = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(B, T, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # each (B, N, T, H)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(y.transpose(1, 2).reshape(B, T, D))
        h = F.gelu(self.mlp_in(self.mlp_norm(x)))
        return x + self.mlp_out(h)


class GPT(nn.Module):
    """Learned positions, output head tied to the token embedding."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.tokens = nn.Embedding(shape.vocab, shape.width)
        self.positions = nn.Parameter(torch.empty(shape.context, shape.width))
        self.blocks = nn.Sequential(*(Block(shape) for _ in range(shape.layers)))
        self.norm = nn.LayerNorm(shape.width, bias=shape.bias)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                last = name.endswith(("attention_out.weight", "mlp_out.weight"))
                scale = 1 / math.sqrt(2 * shape.layers) if last else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


def make_step(shape: Shape, seed: int) -> Callable[[np.ndarray], torch.Tensor]:
    """Makes an eager step: forward, backward, clip, fused AdamW; returns the loss."""
    torch.manual_seed(seed)
    model = GPT(shape)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=1e-3,
        betas=(0.9, 0.99),
        fused=True,
    )

    def step(batch: np.ndarray) -> torch.Tensor:
        tokens = torch.from_numpy(batch).long()
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.detach()

    return step
