"""BERT and its variants in Hugging Face's format (`transformers`), with all heads.

Reads and writes five model types: bert, roberta, albert, electra, distilbert. Only the
discriminator of an `Electra` is written, since ELECTRA's folders hold no more.

Shapes: D width, N heads, H head width.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from zoo.formats.huggingface.bert_layout import (
    BODIES,
    BODY_OF,
    HEADS,
    PASSED_OVER,
    SYNONYMS,
    Row,
    expanded,
    head_of,
    layer_name,
    parts_of,
    renamed,
)
from zoo.formats.huggingface.bert_options import (
    CLASSES,
    POOLED,
    architecture,
    check_same,
    config_fields,
    kind_of,
    task_of,
    their_config,
    tokenizer_settings,
    unknown_head,
)
from zoo.presets import weights

__all__ = [
    "architecture",
    "config_fields",
    "convert",
    "export_bert",
    "their_form",
    "their_names",
    "unknown_head",
]


def convert(
    theirs: Mapping[str, np.ndarray],
    config: Any,
    architecture: str,
    head: str = "",
    strict: bool = True,
) -> dict[str, np.ndarray]:
    """Converts their weights to ours, with all heads that are present.

    Args:
        theirs: their weights, by name.
        config: the configuration of our model, which may have another head.
        architecture: what `architecture` returned for the folder.
        head: what `unknown_head` returned; the weights of such a head keep their names.
        strict: False ignores missing weights, and keeps the names of weights that
            belong to none of our layers.

    Returns:
        Our weights by name.

    Raises:
        ValueError: weights are missing, or belong to none of our layers.
    """
    theirs = {renamed(name): x for name, x in theirs.items()}
    theirs = {name: x for name, x in theirs.items() if not PASSED_OVER.fullmatch(name)}
    _untie(theirs)
    layers = {name.rpartition(".")[0] for name in theirs}
    body = next(
        (
            rows
            for start, rows in BODIES.items()
            if any(layer.startswith(start) for layer in layers)
        ),
        BODIES["encoder.layer."],
    )
    # Both heads have the same name there.
    other = "classifier" if architecture == "BertTagger" else "tagger"
    present = {head_of(row) for row in HEADS if row[0] in layers} - {other}
    present &= {"pooler"} if head else present
    heads = [row for row in HEADS if head_of(row) in present]
    table = [*expanded(body, config), *heads]
    expected = [f"{layer}.{end}" for row in table for layer, end, _ in parts_of(row)]
    known = set(expected)
    others = {name: x for name, x in theirs.items() if name not in known}
    if strict:
        taken = known & set(theirs) if head else theirs
        weights.check_names(taken, expected, "the BERT folder")
    ours: dict[str, list[np.ndarray]] = {}
    for row in table:
        parts = [(f"{layer}.{end}", name) for layer, end, name in parts_of(row)]
        missing = {name for place, name in parts if place not in theirs}
        for place, name in parts:
            if name not in missing:
                ours.setdefault(name, []).append(_transposed(theirs[place], row))
    return {name: _joined(arrays, config) for name, arrays in ours.items()} | others


def _untie(theirs: dict[str, np.ndarray]) -> None:
    """Removes the decoder's weights, which are duplicates under a second name."""
    head, decoder = "cls.predictions", "cls.predictions.decoder"
    bias = theirs.pop(f"{decoder}.bias", None)
    if bias is not None:
        theirs.setdefault(f"{head}.bias", bias)
    table = "embeddings.word_embeddings.weight"
    for copy, original in (
        (bias, f"{head}.bias"),
        (theirs.pop(f"{decoder}.weight", None), table),
        (theirs.pop(f"{head}.weight", None), table),
    ):
        # Only one of the two may have been saved.
        if copy is not None and not np.array_equal(
            copy, theirs.setdefault(original, copy)
        ):
            raise ValueError(
                f"The weights of {decoder} must equal {original}, since config.json "
                "ties the embeddings, but they are not equal to "
                f"{original}. Untied embeddings are not converted."
            )


def _transposed(x: np.ndarray, row: Row) -> np.ndarray:
    """Transposes kernels, (out, in) there and (in, out) here, in either direction."""
    is_product = row[2] in ("dense", "by_head")
    return np.ascontiguousarray(x.T) if is_product else x


def _joined(parts: list[np.ndarray], config: Any) -> np.ndarray:
    """Joins queries, keys and values (..., D) into one array, ordered head by head."""
    if len(parts) == 1:
        return parts[0]
    by_head = [x.reshape(*x.shape[:-1], config.num_heads, -1) for x in parts]
    joined = np.stack(by_head, axis=-2)
    return joined.reshape(*joined.shape[:-3], -1)


def _cut(x: np.ndarray, count: int, config: Any) -> list[np.ndarray]:
    """Splits an array into `count` parts, as `_joined` joins them."""
    if count == 1:
        return [x]
    by_head = x.reshape(*x.shape[:-1], config.num_heads, count, -1)
    parts = np.moveaxis(by_head, -2, 0)
    return [part.reshape(*part.shape[:-2], -1) for part in parts]


def export_bert(model: Any, directory: str | os.PathLike[str]) -> None:
    """Writes a folder that `transformers` loads, with the model's head.

    The configuration's features determine the model type: without segments it is
    DistilBERT, with shared layers ALBERT, with a position offset RoBERTa, with narrow
    embeddings or ELECTRA's head ELECTRA, and otherwise BERT.

    Args:
        model: a model of BERT's family.
        directory: the folder to write.

    Raises:
        ValueError: the model computes something that this type does not.
    """
    arrays, settings = their_form(model)
    tokenizer = weights.transformers_tokenizer_texts(model, **tokenizer_settings(model))
    texts = {"config.json": settings, **tokenizer}
    weights.write(directory, arrays, texts, {"format": "pt"})


def their_form(model: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights by their names and the contents of config.json, for `export_bert`."""
    config = model.config
    kind = kind_of(config)
    task = task_of(model)
    settings = their_config(config, kind, task)
    check_same(config, settings)
    if model.pooler is not None and task not in POOLED.get(kind, ()):
        raise ValueError(
            f"Hugging Face's {CLASSES[kind]} has no pooler here, but this "
            f"{type(model).__name__} has one. from_preset(folder, pooler=False) leaves "
            "it out."
        )
    ours = weights.arrays_of(model)
    arrays = {}
    for name, row, places in _placed(model, kind, task):
        cut = _cut(ours[name], len(places), config)
        for place, x in zip(places, cut, strict=True):
            arrays[place] = np.ascontiguousarray(_transposed(x, row))
    return arrays, settings


def their_names(model: Any) -> dict[str, list[str]]:
    """Hugging Face's name of each of our weights; several if it splits them."""
    placed = _placed(model, kind_of(model.config), task_of(model))
    return {name: places for name, _, places in placed}


def _placed(model: Any, kind: str, task: str) -> Iterator[tuple[str, Row, list[str]]]:
    """Yields our weights' names, their rows of the layout, and their names there."""
    layers = {name.split("/")[0] for name in weights.named_weights(model)}
    heads = [row for row in HEADS if head_of(row) in layers]
    names = {ours: theirs for theirs, ours in SYNONYMS[kind].items()}
    body = BODIES[BODY_OF.get(kind, "encoder.layer.")]
    for row in (*expanded(body, model.config), *heads):
        in_body = row[1].startswith(("bert/", "pooler"))
        prefix = f"{kind}." if in_body and task != "Model" else ""
        parts = list(parts_of(row))
        for name in dict.fromkeys(name for _, _, name in parts):
            yield (
                name,
                row,
                [
                    f"{prefix}{layer_name(layer, row, names)}.{end}"
                    for layer, end, part in parts
                    if part == name
                ],
            )


write = export_bert
