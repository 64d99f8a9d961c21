"""Train a CycleGAN with known answers: digits and the outlines of other digits.

    zoo train cyclegan_digits                        # MNIST, 1 h on two cores
    zoo train cyclegan_digits --variant small        # nothing is downloaded

Training pictures are unpaired. The outline of each test digit is known, so translations
are measured pixel by pixel in both directions; see `recipes.cyclegan`.
"""

from pathlib import Path

from zoo.training.runs.launch import launch

from ._shared import replace
from .cyclegan import PAPER, main

DIGITS = replace(
    PAPER,
    dataset="digit_outlines",
    out=Path("runs/cyclegan_digits"),
    crop_size=0,
    flip=False,
    width=16,
    residual_blocks=3,
    discriminator_layers=2,
    # No identity loss: an outline is not a digit, nor a digit an outline.
    identity_weight=0.0,
    batch_size=4,
    epochs=3,
    constant_epochs=1,
    learning_rate=5e-4,
    ema=0.999,
    eval_every=1,
)
VARIANTS = {
    "digits": DIGITS,
    "small": replace(
        DIGITS, dataset="small_digit_outlines", epochs=20, constant_epochs=10
    ),
}

if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
