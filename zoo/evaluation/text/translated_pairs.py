"""Sentences translated in several ways, scored, and a picture of the attention."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.evaluation.images.pictures import attention_map
from zoo.evaluation.text.translation import translation_metrics


def translate_pairs(
    model: Any, pairs: Sequence[tuple[str, str]], **ways: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Translates sentences in several ways, and scores each of them.

    Args:
        model: with a method `generate`, and a tokenizer.
        pairs: of a sentence and its reference.
        **ways: options of `generate`, by the way's name.

    Returns:
        The metrics and seconds of each way, "beam" without its name before them; and,
        for each sentence, its source, reference and translations.
    """
    sources, references = map(list, zip(*pairs, strict=True))
    figures: dict[str, Any] = {}
    found: dict[str, list[str]] = {"source": sources, "reference": references}
    for way, options in ways.items():
        start = time.perf_counter()
        found[way] = model.generate(sources, **options)
        prefix = "" if way == "beam" else f"{way}_"
        seconds = time.perf_counter() - start
        metrics = translation_metrics(found[way], references)
        figures |= {f"{prefix}{name}": value for name, value in metrics.items()}
        figures[f"{prefix}translation_seconds"] = round(seconds, 2)
    rows = zip(*found.values(), strict=True)
    return figures, [dict(zip(found, row, strict=True)) for row in rows]


def draw_cross_attention(path: Path, model: Any, sentence: str) -> None:
    """Draws where the last block looks as it writes greedily, averaged over heads.

    Args:
        path: of the PNG.
        model: with `generate` and `attention_maps`, and a tokenizer.
        sentence: to translate.
    """
    # Ids, since a model may write text that encodes to other ids.
    source = model.tokenizer.encode(sentence)
    target = model.generate(source)
    columns, rows = ([model.tokenizer.decode([i]) for i in x] for x in (source, target))
    shares = np.mean(model.attention_maps(source, target)[-1], axis=0)
    attention_map(
        path,
        shares,
        # A row is where the model looks to write its token.
        [*rows, "(end)"],
        [*columns, "(end)"],
        title="Cross-attention of the last block",
    )
