"""Records what the package computes, to see that a move of its code changes nothing.

    KERAS_BACKEND=jax python -m tests.house.record before.json
    KERAS_BACKEND=jax python -m tests.house.record after.json --parts families
    python -m tests.house.record --compare before.json after.json

Holds, for the backend in use: every term at each of ten training steps of every family
on one device and on a 2x2 mesh of virtual ones, and digests of the weights after them;
digests of new models; and of what each shipped checkpoint gives in several ways. Floats
are written in hexadecimal, so that equal means bit for bit. `--compare` prints what
differs, and ends with 1 if something does.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = (np.indices((2, 28, 28)).sum(axis=0) % 7 / 6).astype("float32")[..., None]
LATENTS = np.cos(np.arange(200, dtype="float32")).reshape(2, 100)
IDS = (np.arange(64, dtype="int32") * 7 % 65).reshape(2, 32)
STOP_AT = 20  # new tokens


def digest(value: Any) -> str:
    """SHA-256 of arrays, texts and numbers, with their types, shapes and names."""
    from keras import ops, tree

    found = hashlib.sha256()
    for path, leaf in tree.flatten_with_path(value):
        if not isinstance(leaf, str):
            array = np.ascontiguousarray(ops.convert_to_numpy(leaf))
            found.update(f"{path} {array.dtype} {array.shape} ".encode())
            found.update(array.tobytes())
        else:
            found.update(f"{path} {leaf!r} ".encode())
    return found.hexdigest()


def ten_steps(name: str, cell: str | None) -> dict[str, Any]:
    """The terms at each step of a family, and digests of what it then is."""
    import keras

    from tests.distribution import cells
    from tests.distribution.models import BATCH, CASES, compiled

    class Terms(cells.EachStep):
        def on_train_batch_end(self, batch, logs):
            terms = {term: float(logs[term]).hex() for term in sorted(logs)}
            self.losses.append(terms)

    terms = Terms()
    with cells.block(cell):
        keras.utils.set_random_seed(0)
        model = compiled(CASES[name][0])
        model.fit(
            cells.joined(cells.batches(name)),
            batch_size=BATCH,
            shuffle=False,
            verbose=0,
            callbacks=[terms],
        )
        return {
            "steps": terms.losses,
            "weights": digest(model.get_weights()),
            "names": digest([variable.path for variable in model.variables]),
        }


def families() -> Iterator[tuple[str, Any]]:
    """On one device."""
    from tests.distribution.models import CASES

    for name in CASES:
        yield name, ten_steps(name, None)


def mesh() -> Iterator[tuple[str, Any]]:
    """On four devices, two by two."""
    from tests.distribution.models import CASES

    for name in CASES:
        yield name, ten_steps(name, "data x model")


def fresh() -> Iterator[tuple[str, Any]]:
    """New models, by a seed, and what no ten steps are of."""
    import keras

    import zoo

    bert = zoo.BertConfig(65, 32, 2, 2, 16)
    game = zoo.CycleGANConfig((28, 28), (1, 1), width=4, residual_blocks=1)
    pictures = (28, 28, 1)
    vae = zoo.VAEConfig(pictures, 4, "convolutional", (4, 8), "relu")
    gan = zoo.DCGANConfig(image_shape=pictures, latent_dim=100, width=4)
    made: dict[str, tuple[Callable[[], Any], Any]] = {
        "bert_backbone": (lambda: zoo.BertBackbone(bert), IDS),
        "translator": (lambda: zoo.Translator(game.translator()), IMAGES),
        "gpt": (lambda: zoo.GPT(zoo.GPTConfig(65, 32, 2, 2, 16, dropout=0.1)), IDS),
        "vae": (lambda: zoo.VAE(vae), IMAGES),
        "dcgan": (lambda: zoo.DCGAN(gan), LATENTS),
    }
    for name, (make, inputs) in made.items():
        keras.utils.set_random_seed(0)
        model = make()
        weights = digest(model.get_weights())
        found = {"weights": weights, "outputs": digest(model(inputs))}
        yield name, found | {"in training": digest(model(inputs, training=True))}
    for smoothing in ("mle", "add_k", "katz", "kneser_ney"):
        ngram = zoo.NgramLM(zoo.NgramConfig(65, smoothing=smoothing)).fit(list(IDS))
        scores = [ngram.log_probs(row).tolist() for row in IDS]
        new = ngram.generate(IDS[:, :8], STOP_AT, seed=1)
        yield f"ngram {smoothing}", {"scores": digest(scores), "sampled": digest(new)}


def of_gpt(model: Any) -> dict[str, Callable[[], Any]]:
    prompt = IDS[:, :8]
    chosen = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "seed": 1}
    return {
        "call": lambda: model(IDS),
        "predict": lambda: model.predict(IDS, verbose=0),
        "greedy": lambda: model.generate(prompt, STOP_AT, temperature=0),
        "sampled": lambda: model.generate(prompt, STOP_AT, **chosen),
        "beams": lambda: model.generate(prompt, STOP_AT, num_beams=3),
        "text": lambda: model.generate(["The king", "A"], STOP_AT, **chosen),
        "streamed": lambda: [*model.generate("The", STOP_AT, seed=1, stream=True)],
        "scores": lambda: model.score(["The king is here", "A string"]),
    }


def of_bert(model: Any) -> dict[str, Callable[[], Any]]:
    from zoo.models.bert.fill_mask import fill_mask

    text = "A [MASK] is a sequence of [MASK]."
    return {
        "call": lambda: model(IDS),
        "predict": lambda: model.predict(IDS, verbose=0),
        "fill_mask": lambda: fill_mask(model, text),
    }


def of_classifier(model: Any) -> dict[str, Callable[[], Any]]:
    return {
        "call": lambda: model(IMAGES),
        "predict": lambda: model.predict(IMAGES, verbose=0),
        "features": lambda: model.features(IMAGES),
        "classes": lambda: model.predict_classes(IMAGES),
    }


def of_vae(model: Any) -> dict[str, Callable[[], Any]]:
    latents = LATENTS[:, : model.config.latent_dim]
    return {
        "call": lambda: model(IMAGES),
        "predict": lambda: model.predict(IMAGES, verbose=0),
        "encode": lambda: model.encode(IMAGES),
        "decode": lambda: model.decode(latents),
        "reconstruct": lambda: model.reconstruct(IMAGES),
        "sample": lambda: model.sample(3, seed=1),
        "interpolate": lambda: model.interpolate(IMAGES[:1], IMAGES[1:], 4),
        "likelihood": lambda: model.log_likelihood(IMAGES, num_samples=4, seed=1),
    }


def of_image_tokens(model: Any) -> dict[str, Callable[[], Any]]:
    codes = np.arange(49, dtype="int32").reshape(1, 7, 7)
    return {
        "gpt": lambda: model.gpt(codes.reshape(1, 49)),
        "encode": lambda: model.vqvae.encode(IMAGES),
        "decode": lambda: model.vqvae.decode(codes),
        "reconstruct": lambda: model.vqvae.reconstruct(IMAGES),
        "greedy": lambda: model.sample([3, 7], temperature=0),
        "sampled": lambda: model.sample([3, 7], seed=1, top_k=20),
    }


def of_gan(model: Any) -> dict[str, Callable[[], Any]]:
    return {
        "call": lambda: model(LATENTS),
        "generate": lambda: model.generate(LATENTS),
        "sample": lambda: model.sample(3, seed=1),
        "judge": lambda: model.judge(IMAGES),
        "interpolate": lambda: model.interpolate(LATENTS[:1], LATENTS[1:], 4),
    }


def of_cyclegan(model: Any) -> dict[str, Callable[[], Any]]:
    return {
        "call": lambda: model(IMAGES),
        "predict": lambda: model.predict(IMAGES, verbose=0),
        "a_to_b": lambda: model.translate(IMAGES, "a_to_b"),
        "b_to_a": lambda: model.translate(IMAGES, "b_to_a"),
    }


WAYS: dict[str, Callable[[Any], dict[str, Callable[[], Any]]]] = {
    "BertPretrainer": of_bert,
    "CycleGAN": of_cyclegan,
    "DCGAN": of_gan,
    "GPT": of_gpt,
    "ImageClassifier": of_classifier,
    "ImageTokens": of_image_tokens,
    "VAE": of_vae,
}


def checkpoints() -> Iterator[tuple[str, Any]]:
    """What is shipped, as `zoo list` names it."""
    import zoo

    for name in zoo.list_presets():
        if "." not in name:  # a configuration
            continue
        model = zoo.from_preset(name)
        ways = WAYS[type(model).__name__](model)
        yield name, {way: digest(compute()) for way, compute in ways.items()}


PARTS = {part.__name__: part for part in (fresh, families, checkpoints, mesh)}


def record_part(name: str, file: Path) -> None:
    """In a process of its own, since devices are made before a backend starts."""
    from tests.distribution import cells  # noqa: F401 (makes them)

    found = {}
    for key, value in PARTS[name]():
        found[key] = value
        print(f"{name}: {key}", file=sys.stderr, flush=True)
    if os.environ.get("RANK", "0") == "0":
        file.write_text(json.dumps(found))


def record(parts: list[str], written: Path) -> None:
    """Writes it part by part, a process each; on torch the mesh is of four."""
    backend = os.environ["KERAS_BACKEND"]
    found: dict[str, Any] = {"backend": backend}
    found |= {name: version(name) for name in ("keras", "numpy")}
    for name in parts:
        command = ["-m", "tests.house.record"]
        if backend == "torch" and name == "mesh":
            launcher = ["-m", "torch.distributed.run", "--standalone"]
            command = [*launcher, "--nproc-per-node=4", *command]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "part.json"
            command = [sys.executable, *command, "--part", name, str(file)]
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(command, env=env, check=True)
            found[name] = json.loads(file.read_text())
        written.write_text(json.dumps(found, indent=1) + "\n")


def differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """Where two records differ."""
    if isinstance(a, list) and isinstance(b, list):
        a, b = (dict(enumerate(x)) for x in (a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a | b:
            where = f"{path}/{key}"
            if key in a and key in b:
                yield from differences(a[key], b[key], where)
            else:
                yield f"{where}: only in the {'first' if key in a else 'second'}"
    elif a != b:
        yield f"{path}: {a} is not {b}"


def compare(first: Path, second: Path) -> int:
    a, b = (json.loads(file.read_text()) for file in (first, second))
    found = list(differences(a, b))
    print("\n".join(found) or "equal")
    counts = (f"{len(a[part])} {part}" for part in PARTS if part in a)
    print(f"{len(found)} differences in {', '.join(counts)}")
    return bool(found)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--parts", nargs="+", default=[*PARTS], choices=PARTS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--compare", action="store_true", help="two records")
    chosen = parser.parse_args()
    if len(chosen.files) != 1 + chosen.compare:
        parser.error("give one FILE to write, or two to compare")
    if chosen.compare:
        return compare(*chosen.files)
    (file,) = chosen.files
    if chosen.part:
        record_part(chosen.part, file)
    else:
        record(chosen.parts, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
