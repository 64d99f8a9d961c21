"""Draws docs/front.png, from the checkpoints that come with zoo.

KERAS_BACKEND=torch python docs/front_picture.py

The same seed gives the same picture on a backend.
"""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import zoo
from zoo.models.bert.fill_mask import fill_mask

PROMPTS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
SENTENCE = "A [MASK] is a sequence of bytes."


def strips() -> dict[str, np.ndarray]:
    """A row of ten pictures, (10, 28, 28), by its title."""
    vae = zoo.from_preset("vae.mnist").sample(10, seed=2)
    gan = zoo.from_preset("dcgan.mnist").sample(10, seed=1)
    tokens = zoo.from_preset("vqvae.mnist")
    asked = tokens.sample(prompts=PROMPTS, seed=1, temperature=0.8)
    outlines = zoo.from_preset("cyclegan.digits").translate(asked, "a_to_b")
    return {
        "VAE: samples": vae[..., 0],
        "VAE: from one digit to another": between()[..., 0],
        "DCGAN: samples": gan[..., 0],
        f"GPT over a VQ-VAE's codes: asked for {' '.join(map(str, PROMPTS))}": asked[
            ..., 0
        ],
        "CycleGAN: their outlines, learned without pairs": outlines[..., 0],
    }


def between() -> np.ndarray:
    """Pictures between two samples of the VAE, (10, 28, 28, 1)."""
    vae = zoo.from_preset("vae.mnist")
    samples = vae.sample(8, seed=4)
    return vae.interpolate(samples[:1], samples[5:6], 10)[0]


def words() -> dict[str, str]:
    """Text by its title."""
    gpt = zoo.from_preset("gpt.shakespeare_char")
    text = gpt.generate(
        "ROMEO:", max_new_tokens=430, seed=3, temperature=0.7, top_k=40, window=32
    )
    bert = zoo.BertPretrainer.from_preset("bert_tiny.docs")
    (found,) = fill_mask(bert, SENTENCE, 4)
    return {
        "GPT, 0.8 million parameters": "\n".join(
            line
            for part in text.rsplit("\n", 1)[0].split("\n")
            for line in textwrap.wrap(part, 60) or [""]
        ),
        "BERT fills in a word": f"{SENTENCE}\n"
        + "   ".join(f"{token} {probability:.0%}" for token, probability in found),
    }


def main() -> None:
    """Draws the picture and writes it with few colours, to keep it small."""
    figure = Figure(figsize=(11, 4.55), dpi=110, facecolor="white")
    rows = strips()
    for number, (title, images) in enumerate(rows.items()):
        top = 0.955 - number * 0.195
        figure.text(0.012, top, title, fontsize=9.5, color="#333333", va="bottom")
        axes = figure.add_axes((0.01, top - 0.148, 0.54, 0.145))
        framed = np.pad(images, ((0, 0), (1, 1), (1, 1)), constant_values=0)
        axes.imshow(np.hstack(list(framed)), cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
    texts = words()
    place = 0.955
    for title, text in texts.items():
        figure.text(0.58, place, title, fontsize=9.5, color="#333333", va="bottom")
        figure.text(
            *(0.58, place - 0.02, text),
            fontsize=8.6,
            family="monospace",
            va="top",
            linespacing=1.35,
        )
        place -= 0.08 + 0.0375 * (text.count("\n") + 1)
    file = Path(__file__).with_name("front.png")
    figure.savefig(file)
    picture = Image.open(file).convert("RGB")
    picture.quantize(64).save(file, optimize=True)
    print(f"{file.stat().st_size / 1000:.0f} kB in {file}")


if __name__ == "__main__":
    main()
