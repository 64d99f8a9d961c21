"""nanoGPT's own model, optimizer and training step, from a checkout.

Nothing is copied: the checkout's `model.py` is imported unchanged.
"""

import contextlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.shapes import Shape


def make_step(
    shape: Shape, checkout: Path, seed: int = 0
) -> Callable[[np.ndarray], torch.Tensor]:
    """Makes the step of nanoGPT's `train.py` in float32 on a CPU.

    It leaves out what has no effect there: autocast and the gradient scaler (both
    disabled in float32), and accumulation over a single micro-batch.
    """
    spec = importlib.util.spec_from_file_location(
        "nanogpt_model", Path(checkout) / "model.py"
    )
    nanogpt = importlib.util.module_from_spec(spec)
    torch.manual_seed(seed)
    # It prints its parameter count and its optimizer groups.
    with open(os.devnull, "w") as devnull, contextlib.redirect_stdout(devnull):
        spec.loader.exec_module(nanogpt)
        model = nanogpt.GPT(
            nanogpt.GPTConfig(
                block_size=shape.context,
                vocab_size=shape.vocab,
                n_layer=shape.layers,
                n_head=shape.heads,
                n_embd=shape.width,
                dropout=0.0,
                bias=shape.bias,
            )
        )
        optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")

    def step(batch: np.ndarray) -> torch.Tensor:
        tokens = torch.from_numpy(batch).long()
        _, loss = model(tokens[:, :-1], tokens[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step
