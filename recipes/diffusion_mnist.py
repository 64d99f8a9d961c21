r"""Train a diffusion model or flow of small images, and judge what it draws.

    zoo train diffusion_mnist --judge classifier.mnist   # flow matching, hours
    zoo train diffusion_mnist --variant ddpm
    zoo train diffusion_mnist --variant text             # "the digit three"
    zoo train diffusion_mnist --variant digits           # nothing is downloaded
    zoo train diffusion_mnist --dataset images --data-dir my_pictures/ --image-size 32

Noising path, prediction and loss weight are flags, so that DDPM, EDM and flow matching
are one recipe. Draws samples, a film strip of the way from noise to image, samples at
several strengths of guidance, interpolations, and samples beside the training images
nearest to them; the judge, a classifier from `recipes.classifier_mnist`, measures them.
The likelihood of the test set is that of the probability flow, under uniform
dequantisation.
"""

import functools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

import zoo
from zoo.data.images.requests import ClassRequests
from zoo.evaluation import judged_requests, judged_samples
from zoo.evaluation.images.neighbours import nearest_neighbours, neighbour_grid
from zoo.evaluation.images.pictures import image_grid
from zoo.files.atomic import replacing
from zoo.layers.noising import LOSS_WEIGHTS, PATHS, PREDICTIONS
from zoo.models.diffusion.config import NETWORKS, DiffusionConfig
from zoo.models.diffusion.diffusion import Diffusion
from zoo.models.diffusion.noising import TIMES
from zoo.models.diffusion.units import SPACES
from zoo.models.image_classifier import ImageClassifier
from zoo.store.names import PresetName
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    AverageConfig,
    CosineConfig,
    ImagesConfig,
    announce,
    average,
    cosine,
    draw_curves,
    evaluation,
    fit_epochs,
    load_images,
    replace,
    scaled,
    smoke_images,
)


@dataclass(frozen=True)
class Config(ImagesConfig, CosineConfig, AverageConfig):
    """A diffusion model, its images and its training.

    Attributes:
        conditioning: condition on nothing, on the images' classes, or on texts that
            name them.
        clip: maximum global norm of the gradients.
        eval_images: test images per evaluation.
        sample_steps: solver steps per sample.
        solver: solver of the samples.
        guidance: strengths of guidance to compare; the first is also that of all other
            samples.
        nll_images: test images whose likelihood is estimated at the end; 0 for none.
        nll_steps: steps of the likelihood's solver.
        judge: preset of a classifier, such as classifier.mnist.
        judge_images: how many samples the judge compares with as many training images,
            and test images for reference.
    """

    out: Path = Path("runs/diffusion_mnist")
    conditioning: Literal["none", "label", "text"] = "label"
    model: DiffusionConfig = flags(
        DiffusionConfig(
            space="logit",
            patch_size=2,
            width=48,
            multipliers=(1, 2),
            num_residual_blocks=1,
            times="low_noise",
        ),
        *("width", "multipliers", "num_residual_blocks", "num_heads"),
        *("patch_size", "num_layers", "dropout", "condition_drop", "dequantise"),
        network=NETWORKS,
        space=SPACES,
        path=tuple(PATHS),
        prediction=PREDICTIONS,
        loss_weight=LOSS_WEIGHTS,
        times=TIMES,
    )
    batch_size: int = 64
    epochs: int = 16
    learning_rate: float = 1e-3
    warmup_steps: int = 500
    clip: float = 1.0
    ema: float = 0.999
    eval_images: int = 1000
    sample_steps: int = 25
    solver: str = "heun"
    guidance: tuple[float, ...] = (1.0, 0.0, 1.5, 2.0, 3.0)
    nll_images: int = 1000
    nll_steps: int = 50
    judge: PresetName | None = None
    judge_images: int = 10000


# What an 8-bit picture of each data set has of grey levels, if not 256.
LEVELS = {"digits": 17}
KINDS = ("labels", "prompts")
BASE = Config()
VARIANTS = {
    "flow_matching": BASE,
    # Ho et al. 2020: noise is predicted, and the ancestral sampler undoes each step.
    "ddpm": replace(
        BASE,
        **{"path": "ddpm_linear", "prediction": "noise", "space": "linear"},
        **{"solver": "ancestral", "sample_steps": 250},
    ),
    # Nichol & Dhariwal 2021, with the velocity of Salimans & Ho 2022.
    "cosine": replace(
        BASE, path="cosine", prediction="velocity", space="linear", solver="ddim"
    ),
    # Karras et al. 2022.
    "edm": replace(
        BASE, path="edm", prediction="edm", space="linear", times="log_normal"
    ),
    "dit": replace(BASE, network="dit", patch_size=4, width=128),
    "text": replace(BASE, conditioning="text"),
    "digits": replace(
        BASE,
        **{"dataset": "digits", "epochs": 60, "eval_every": 20},
        **{"patch_size": 1, "width": 32, "nll_images": 200},
    ),
}


def main(config: Config) -> dict:
    """Trains, judges and draws; returns the summary."""
    config = smoke_images(
        config,
        **{"epochs": 1, "eval_every": 1, "warmup_steps": 0, "width": 8},
        **{"eval_images": 32, "sample_steps": 2, "guidance": (1.0, 2.0)},
        **{"nll_images": 4, "nll_steps": 2, "judge_images": 20},
        patch_size=1,
    )
    run = Run(config)
    data = load_images(config)
    if config.conditioning != "none" and not data.class_names:
        raise ValueError(
            f"--conditioning {config.conditioning} needs classes; {config.dataset!r} "
            "has none. Use --conditioning none."
        )
    if config.judge is not None:
        # An unsuitable judge fails here rather than after training.
        ImageClassifier.check_judge(config.judge, data.train_images.shape[1:])
    run.start({"dataset": data.sha256})
    requests = None
    if config.conditioning != "none":
        requests = ClassRequests(data.class_names, config.conditioning)
    model = made(config, data.train_images.shape[1:], requests)
    kept = config.batch_size if config.smoke else None
    batches = Batches(config, model, requests, data, kept)
    schedule = cosine(config, config.epochs * batches.steps_per_epoch)
    options = {"global_clipnorm": config.clip, **average(config.ema)}
    model.compile(
        keras.optimizers.Adam(schedule, **options), accumulate=config.accumulate
    )
    announce(model, data.name)
    evaluate = evaluation(model, tested(config, model, requests, data), batch_size=200)

    def samples() -> dict[str, np.ndarray]:
        return {"samples": drawn(config, model, requests, rows=4)}

    fit_epochs(run, config, model, batches, evaluate, samples=samples)
    with model.averaged_weights(needed=False):
        draw(run, model, requests, data)
        model.save_to_preset(run.out / "preset")
        figures = likelihood(config, model, data)
        if config.judge is not None:
            figures |= judged(run, model, requests, data)
    curves = {"training": "noise_error", "test": "val_noise_error"}
    draw_curves(run, curves, "Diffusion", unit="squared error of the noise")
    summary = run.finish(
        **figures,
        epochs=config.epochs,
        parameters=model.count_params(),
        sample_evaluations=model.evaluations(config.sample_steps, config.solver),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    print(f"\ntest loss {summary['val_loss']:.4f}; see {run.out}")
    if "bits_per_dim" in summary:
        print(f"{summary['bits_per_dim']:.4f} bits/dim by the probability flow")
    if "judge_fid" in summary:
        fid, floor = summary["judge_fid"], summary["judge_floor_fid"]
        print(f"FID {fid:.2f} on the judge's features (test images {floor:.2f})")
    return summary


def made(
    config: Config, image_shape: tuple[int, ...], requests: ClassRequests | None
) -> Diffusion:
    """The model for these images and requests, with its tokenizer."""
    sizes: dict[str, Any] = {"image_shape": image_shape}
    sizes["levels"] = LEVELS.get(config.dataset, 256)
    if requests is not None and config.conditioning == "label":
        sizes["num_classes"] = len(requests.words)
    if requests is not None and config.conditioning == "text":
        texts = requests.texts()
        tokenizer = Tokenizer.characters("".join(texts))
        sizes["vocab_size"] = tokenizer.vocab_size
        sizes["text_length"] = max(map(len, texts))
    model = Diffusion(replace(config.model, **sizes))
    if config.conditioning == "text":
        model.tokenizer = tokenizer
    return model


class Batches:
    """Training batches: images, and what each is to be drawn by."""

    def __init__(
        self,
        config: Config,
        model: Diffusion,
        requests: ClassRequests | None,
        data: zoo.data.ImageDataset,
        most: int | None,
    ) -> None:
        self.model, self.requests, self.seed = model, requests, config.seed
        self.images = zoo.data.ImageBatches(
            data.train_images[:most],
            config.batch_size,
            labels=None if requests is None else _labels(data)[0][:most],
            seed=config.seed,
        )
        self.steps_per_epoch = self.images.steps_per_epoch

    def batches(self, start: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Batches from update `start` on."""
        for update, batch in enumerate(self.images.batches(start), start):
            if self.requests is None or self.requests.kind == "label":
                yield batch
                continue
            images, labels = batch
            rng = np.random.default_rng((self.seed, update))
            yield images, self.model.tokens(self.requests(labels, rng))


def _labels(data: zoo.data.ImageDataset) -> tuple[np.ndarray, np.ndarray]:
    """The classes of the training and test images, which have some."""
    assert data.train_labels is not None and data.test_labels is not None
    return data.train_labels, data.test_labels


def asked(
    model: Diffusion, requests: ClassRequests | None, labels: np.ndarray, seed: int
) -> dict[str, Any]:
    """Options of `sample` that request images of these classes."""
    if requests is None:
        return {}
    prompts = requests(labels, np.random.default_rng(seed))
    return {"labels" if requests.kind == "label" else "prompts": prompts}


def tested(
    config: Config,
    model: Diffusion,
    requests: ClassRequests | None,
    data: zoo.data.ImageDataset,
) -> dict[str, np.ndarray]:
    """A fixed batch of test images, with its times and noise."""
    rows = zoo.data.fixed_subset(len(data.test_images), config.eval_images)
    images = scaled(data.test_images[rows])
    rng = np.random.default_rng(config.seed)
    batch = {
        "images": images,
        "times": (np.arange(len(rows), dtype="float32") + 0.5) / len(rows),
        "noise": rng.normal(size=images.shape).astype("float32"),
        "jitter": rng.random(images.shape, dtype="float32"),
        "drops": np.zeros(len(rows), "float32"),
    }
    if requests is not None:
        given = asked(model, requests, _labels(data)[1][rows], config.seed)
        batch["conditions"] = model.conditions(None, *map(given.get, KINDS))
    if not config.model.dequantise:
        del batch["jitter"]
    return batch


def drawn(
    config: Config,
    model: Diffusion,
    requests: ClassRequests | None,
    rows: int = 10,
    **options: Any,
) -> np.ndarray:
    """Samples in rows of ten, or of one column per class."""
    columns = len(requests.words) if requests else 10
    labels = np.tile(np.arange(columns), rows)
    how: dict[str, Any] = {
        "steps": config.sample_steps,
        "solver": config.solver,
        "guidance": config.guidance[0],
        "seed": config.seed,
    }
    given = asked(model, requests, labels, config.seed)
    return model.sample(len(labels), **(how | given | options))


def likelihood(
    config: Config, model: Diffusion, data: zoo.data.ImageDataset
) -> dict[str, float]:
    """Bits per dimension of test images by the probability flow, and the error.

    With classes, that of image and class together, which is a lower bound on the
    image's own; texts are left out.
    """
    if not config.nll_images:
        return {}
    rows = zoo.data.fixed_subset(len(data.test_images), config.nll_images)
    options: dict[str, Any] = {"steps": config.nll_steps, "seed": config.seed}
    of_class = 0.0
    if config.conditioning == "label":
        options["labels"] = _labels(data)[1][rows]
        of_class = -math.log(model.config.num_classes)
    nats = of_class + model.log_likelihood(scaled(data.test_images[rows]), **options)
    bits = -nats / (math.prod(model.config.image_shape) * math.log(2))
    return {
        "bits_per_dim": float(bits.mean()),
        "bits_per_dim_error": float(bits.std() / math.sqrt(len(bits))),
        "bits_per_dim_images": len(bits),
    }


def judged(
    run: Run,
    model: Diffusion,
    requests: ClassRequests | None,
    data: zoo.data.ImageDataset,
) -> dict[str, Any]:
    """What the judge says of samples, and at each strength of guidance."""
    config: Config = run.config  # type: ignore[assignment]
    assert config.judge is not None
    judge = ImageClassifier.from_preset(config.judge)
    classes = len(requests.words) if requests else 0
    how: dict[str, Any] = {"steps": config.sample_steps, "solver": config.solver}

    def sample(count: int, strength: float) -> np.ndarray:
        labels = np.arange(count) % (classes or 1)
        given = asked(model, requests, labels, config.seed + 1)
        return model.sample(
            count, seed=config.seed + 1, guidance=strength, **how, **given
        )

    first = config.guidance[0]
    figures = judged_samples(
        lambda count: sample(count, first),
        judge,
        data,
        config.judge_images,
        config.seed,
    )
    if requests is None:
        return figures
    swept = []
    few = min(config.judge_images, 2000)
    for strength in config.guidance:
        draw_some = functools.partial(sample, strength=strength)
        found = judged_samples(draw_some, judge, data, few, config.seed)

        def drawn_of(labels: np.ndarray, strength: float = strength) -> np.ndarray:
            given = asked(model, requests, labels, config.seed + 2)
            return model.sample(seed=config.seed + 2, guidance=strength, **how, **given)

        each = max(1, few // classes)
        right = judged_requests(drawn_of, judge, requests.words, each)
        swept.append(
            {
                "guidance": strength,
                "class_accuracy": right["class_accuracy"],
                **{k: found[f"judge_{k}"] for k in ("fid", "precision", "recall")},
            }
        )
    with replacing(run.out / "guidance.json") as file:
        file.write((json.dumps(swept, indent=2) + "\n").encode())
    figures["class_accuracy"] = swept[0]["class_accuracy"]
    return figures


def draw(
    run: Run,
    model: Diffusion,
    requests: ClassRequests | None,
    data: zoo.data.ImageDataset,
) -> None:
    """Draws what the module docstring lists."""
    config: Config = run.config  # type: ignore[assignment]
    names = requests.words if requests else ()
    columns = len(names) or 10
    samples = drawn(config, model, requests)
    image_grid(
        run.out / "samples.png",
        samples,
        columns=columns,
        title="Samples" + (", one column per request" if names else ""),
    )
    labels = np.arange(min(columns, 10))
    given = asked(model, requests, labels, config.seed)
    film = model.film(len(labels), frames=10, seed=config.seed, **given)
    image_grid(
        run.out / "film.png",
        film.reshape(-1, *film.shape[2:]),
        columns=film.shape[1],
        title="From noise to image: what the model takes the image to be on the way",
    )
    if requests:
        strips = [
            drawn(config, model, requests, rows=1, guidance=strength)
            for strength in sorted(config.guidance)
        ]
        image_grid(
            run.out / "guidance.png",
            np.concatenate(strips),
            columns=columns,
            title="The same noise at several strengths of guidance",
            row_names=[f"{strength:g}" for strength in sorted(config.guidance)],
        )
    train = scaled(data.train_images)
    shown = samples[: min(10, len(samples))]
    indices, _ = nearest_neighbours(shown, train, k=min(5, len(train)))
    neighbour_grid(run.out / "neighbours.png", shown, train, indices)
    rows = zoo.data.fixed_subset(len(data.test_images), 8)
    test = scaled(data.test_images[rows])
    options: dict[str, Any] = {}
    if config.conditioning == "label":
        # Both ends need one class, and different digits have two: none is told.
        options["labels"] = None
    ways = model.interpolate(test[:4], test[4:], 10, **options)
    image_grid(
        run.out / "interpolations.png",
        ways.reshape(-1, *ways.shape[2:]),
        columns=10,
        title="From one test image to another, by way of their noise",
    )


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
