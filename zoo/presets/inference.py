"""What of each model is exported: one function from named arrays to named arrays.

Shapes: B batch, T tokens, V vocabulary, L latent dimensions, (H, W, C) of a picture.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from zoo.layers.convolution.image_format import from_signed, to_signed

Direction = Literal["a_to_b", "b_to_a"]
# Sides of the pictures that a translator takes: multiples of it, from four of it up.
STRIDE = 4


@dataclass(frozen=True)
class Side:
    """One side of an array that is not the same in every call.

    Attributes:
        name: sides of one name are alike in all inputs.
        most: the largest; 0 where there is no limit.
        least: the smallest.
        multiple: of which it has to be one.
    """

    name: str
    most: int = 0
    least: int = 1
    multiple: int = 1


BATCH = Side("batch")


@dataclass(frozen=True)
class Array:
    """One input.

    Attributes:
        name: its.
        shape: its sides.
        values: "ids" (below `limit`), "mask", "normal" (numbers) or "pictures", which
            are in [0, 1].
        limit: see `values`.
    """

    name: str
    shape: tuple[int | Side, ...]
    values: Literal["ids", "mask", "normal", "pictures"]
    limit: int = 0

    @property
    def dtype(self) -> str:
        """Of its elements."""
        return {"ids": "int32", "mask": "bool"}.get(self.values, "float32")

    def spec(self) -> keras.InputSpec:
        """As Keras wants it, with None for sides that differ."""
        shape = tuple(None if isinstance(side, Side) else side for side in self.shape)
        return keras.InputSpec(shape=shape, dtype=self.dtype, name=self.name)

    def sample(self, sizes: Mapping[str, int], seed: int = 0) -> np.ndarray:
        """Some values, for sides of these sizes by name."""
        shape = [sizes[s.name] if isinstance(s, Side) else s for s in self.shape]
        rng = np.random.default_rng(seed)
        match self.values:
            case "ids":
                return rng.integers(self.limit, size=shape, dtype="int32")
            case "mask":
                lengths = rng.integers(1, shape[-1], size=shape[:-1], endpoint=True)
                return np.arange(shape[-1]) < lengths[..., None]
            case "normal":
                return rng.normal(size=shape).astype("float32")
            case "pictures":
                return rng.uniform(size=shape).astype("float32")


class Served(keras.Model):
    """A network's inference alone, on a dict of arrays.

    Attributes:
        arrays: what it takes.
        names_of_outputs: the names of what it gives.
        class_names: of a classifier's scores, if somebody named them.
        as_dict: whether it gives a dict; else a tuple, or its one array.
    """

    def __init__(
        self,
        network: Any,
        function: Callable[[Mapping[str, Any]], Sequence[Any]],
        arrays: Sequence[Array],
        output_names: Sequence[str],
    ) -> None:
        super().__init__(name="inference")
        self.network, self.function = network, function
        self.arrays, self.names_of_outputs = tuple(arrays), tuple(output_names)
        self.class_names = tuple(getattr(network, "class_names", ()))
        self.as_dict = True
        self.built = True

    def call(self, inputs):
        """The function's results, in inference."""
        results = self.function(inputs)
        if self.as_dict:
            return dict(zip(self.names_of_outputs, results, strict=True))
        return tuple(results) if len(results) > 1 else results[0]

    @property
    def signature(self) -> list[dict[str, keras.InputSpec]]:
        """Its one argument, as Keras's exports want it."""
        return [{array.name: array.spec() for array in self.arrays}]

    @property
    def sides(self) -> dict[str, Side]:
        """Those that differ from call to call, by name."""
        found = (side for array in self.arrays for side in array.shape)
        return {side.name: side for side in found if isinstance(side, Side)}

    def samples(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Some inputs; of the smallest sides with seed 1, of the largest with seed 2.

        With others each side is from 2 up, since exporters take a side of 1 for fixed.
        """
        rng = np.random.default_rng(seed)
        sizes = {}
        for name, side in self.sides.items():
            least = -(-side.least // side.multiple)
            most = side.most // side.multiple or least + 4
            drawn = int(rng.integers(min(max(least, 2), most), most, endpoint=True))
            sizes[name] = side.multiple * {1: least, 2: most}.get(seed, drawn)
        return {array.name: array.sample(sizes, seed) for array in self.arrays}


def served(model: Any, direction: Direction = "a_to_b") -> Served:
    """What is exported of a model.

    Args:
        model: one of the classes in `MAKERS`.
        direction: of a CycleGAN, which has two.

    Raises:
        ValueError: nothing of such a model is exported, or not in its precision.
    """
    kinds = [kind.__name__ for kind in type(model).__mro__]
    kind = next((name for name in kinds if name in MAKERS), None)
    if kind is None:
        raise ValueError(
            f"Nothing of a {type(model).__name__} is exported for inference; something "
            f"is of {', '.join(MAKERS)}."
        )
    if model.dtype_policy.name != "float32":
        raise ValueError(
            f"Inference is exported in float32; this {type(model).__name__} is of "
            f"{model.dtype_policy.name}. from_preset(name, dtype='float32') makes one "
            "that can be exported."
        )
    if kind == "CycleGAN":
        model = getattr(model, direction)
    return MAKERS[kind](model)


def _gpt(model: Any) -> Served:
    """Logits (B, T, V) of token ids (B, T)."""
    config = model.config
    # Windows and distances are laid out for one length.
    fixed = config.window or config.positions in ("t5_bias", "transformer_xl")
    length = config.context_length
    tokens = length if fixed else Side("tokens", length)
    return Served(
        model,
        lambda inputs: [model(inputs["token_ids"], training=False)],
        [Array("token_ids", (BATCH, tokens), "ids", config.vocab_size)],
        ["logits"],
    )


def _bert(model: Any) -> Served:
    """A head's scores, or the encoder's vectors, of texts (B, T)."""
    config = model.config
    shape = (BATCH, Side("tokens", config.context_length))
    arrays = [Array("token_ids", shape, "ids", config.vocab_size)]
    if config.num_segments:
        arrays.append(Array("segment_ids", shape, "ids", config.num_segments))
    arrays.append(Array("padding_mask", shape, "mask"))
    names = {
        "BertBackbone": ["sequence_output", "pooled_output"],
        "BertPretrainer": ["mlm_logits", "nsp_logits"],
        "BertSpanQA": ["start_logits", "end_logits"],
    }.get(type(model).__name__, ["logits"])
    if model.pooler is None and names[0] in ("sequence_output", "mlm_logits"):
        names = names[:1]

    def function(inputs):
        found = model(dict(inputs), training=False)
        return [found[name] for name in names] if isinstance(found, dict) else [found]

    return Served(model, function, arrays, names)


def _decoder(model: Any) -> Served:
    """Pictures (B, H, W, C), the observation's mean, of codes (B, L)."""
    return Served(
        model.decoder,
        lambda inputs: [model.observation.mean(model.decoder(inputs["latents"]))],
        [Array("latents", (BATCH, model.decoder.input_shape[-1]), "normal")],
        ["images"],
    )


def _generator(model: Any) -> Served:
    """Pictures (B, H, W, C) in [0, 1] of latents (B, L), and of labels (B,)."""
    config = model.config
    arrays = [Array("latents", (BATCH, config.latent_dim), "normal")]
    if config.num_classes:
        arrays.append(Array("labels", (BATCH,), "ids", config.num_classes))

    def function(inputs):
        given = [inputs[array.name] for array in arrays]
        return [model.from_network(model.generator(*given, training=False))]

    return Served(model.generator, function, arrays, ["images"])


def _translator(model: Any) -> Served:
    """Pictures (B, H, W, C) in [0, 1] as of the other domain, likewise."""
    sides = (Side(name, 0, 4 * STRIDE, STRIDE) for name in ("height", "width"))
    shape = (BATCH, *sides, model.config.channels[0])
    return Served(
        model.generator,
        lambda inputs: [from_signed(model.generator(to_signed(inputs["images"])))],
        [Array("images", shape, "pictures")],
        ["translated"],
    )


def _classifier(model: Any) -> Served:
    """Scores of the classes of pictures (B, H, W, C) in [0, 1]."""
    return Served(
        model,
        lambda inputs: [model(inputs["images"], training=False)],
        [Array("images", (BATCH, *model.config.image_shape), "pictures")],
        ["logits"],
    )


MAKERS: dict[str, Callable[[Any], Served]] = {
    "GPT": _gpt,
    "BertBackbone": _bert,
    "BertPretrainer": _bert,
    "BertClassifier": _bert,
    "BertTagger": _bert,
    "BertSpanQA": _bert,
    "VAE": _decoder,
    "Autoencoder": _decoder,
    "DCGAN": _generator,
    "CycleGAN": _translator,
    "CycleGANGenerator": _translator,
    "ImageClassifier": _classifier,
}
