"""Train a CycleGAN where the answer is known: digits and outlines of other digits.

    python -m recipes.cyclegan_digits                        # MNIST, two cores, an hour
    python -m recipes.cyclegan_digits --variant small        # nothing is downloaded

Training pictures are unpaired. Each test digit's outline is known, so translations are
measured pixel by pixel, both ways; see `recipes.cyclegan`.
"""

from pathlib import Path

from recipes._shared import replace
from recipes.cyclegan import PAPER, main
from zoo.training.runs.launch import launch

DIGITS = replace(
    PAPER,
    dataset="digit_outlines",
    out=Path("runs/cyclegan_digits"),
    crop_size=0,
    flip=False,
    width=16,
    residual_blocks=3,
    discriminator_layers=2,
    # An outline is not a digit, nor a digit an outline.
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
