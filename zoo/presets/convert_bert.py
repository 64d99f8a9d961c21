"""BERT and its variants in Hugging Face's format (`transformers`), with all heads.

All five model types are read and written: bert, roberta, albert, electra, distilbert.
Of ELECTRA's two networks the discriminator comes without its head.

Shapes: D width, N heads, H head width.
"""

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from zoo.presets import weights
from zoo.presets.activations import ACTIVATIONS, THEIR_ACTIVATIONS

# Their layer, ours, and how the weights of one become the other's; a star stands for
# the number of the block.
Row = tuple[str, str, str]

EMBEDDINGS: tuple[Row, ...] = (
    ("embeddings.word_embeddings", "bert/token_embedding", "embedding"),
    ("embeddings.token_type_embeddings", "bert/segment_embedding", "embedding"),
    ("embeddings.position_embeddings", "bert/positions", "embedding"),
    ("embeddings.LayerNorm", "bert/embedding_norm", "norm"),
)


def _blocks(
    prefix: str, attention: str, output: str, norm: str, expand: str, contract: str,
    last_norm: str,
) -> tuple[Row, ...]:  # fmt: skip
    return tuple(
        (f"{prefix}.{theirs}", f"bert/block_*/{ours}", kind)
        for theirs, ours, kind in (
            (attention, "attention/query_key_value", "by_head"),
            (output, "attention/output", "dense"),
            (norm, "attention_norm", "norm"),
            (expand, "feed_forward/expand", "dense"),
            (contract, "feed_forward/contract", "dense"),
            (last_norm, "feed_forward_norm", "norm"),
        )
    )


# The encoder, by the start of its blocks' names.
BODIES: dict[str, tuple[Row, ...]] = {
    "encoder.layer.": (
        *EMBEDDINGS,
        ("embeddings_project", "bert/projection", "dense"),
        *_blocks(
            "encoder.layer.*",
            "attention.self.(query|key|value)",
            "attention.output.dense",
            "attention.output.LayerNorm",
            "intermediate.dense",
            "output.dense",
            "output.LayerNorm",
        ),
    ),
    "encoder.albert_layer_groups.": (
        *EMBEDDINGS,
        ("encoder.embedding_hidden_mapping_in", "bert/projection", "dense"),
        *_blocks(
            "encoder.albert_layer_groups.*.albert_layers.0",
            "attention.(query|key|value)",
            "attention.dense",
            "attention.LayerNorm",
            "ffn",
            "ffn_output",
            "full_layer_layer_norm",
        ),
    ),
    "transformer.layer.": (
        *EMBEDDINGS,
        *_blocks(
            "transformer.layer.*",
            "attention.(q_lin|k_lin|v_lin)",
            "attention.out_lin",
            "sa_layer_norm",
            "ffn.lin1",
            "ffn.lin2",
            "output_layer_norm",
        ),
    ),
}

# Whose blocks are not called as BERT's are.
BODY_OF = {"albert": "encoder.albert_layer_groups.", "distilbert": "transformer.layer."}

# By BERT's names, in the order in which they are written; then ELECTRA's
# discriminator's.
HEADS: tuple[Row, ...] = (
    ("pooler.dense", "pooler", "dense"),
    ("cls.predictions", "masked_lm", "bias"),
    ("cls.predictions.transform.dense", "masked_lm/transform", "dense"),
    ("cls.predictions.transform.LayerNorm", "masked_lm/norm", "norm"),
    ("cls.seq_relationship", "next_sentence", "dense"),
    ("classifier.dense", "transform", "dense"),
    ("classifier", "classifier", "dense"),
    ("classifier", "tagger", "dense"),
    ("qa_outputs", "span", "dense"),
    ("discriminator_predictions.dense", "replaced/transform", "dense"),
    ("discriminator_predictions.dense_prediction", "replaced/score", "dense"),
)

# Layers by the names that the variants have for them, and by BERT's.
SYNONYMS: dict[str, dict[str, str]] = {
    "bert": {},
    "roberta": {
        "lm_head": "cls.predictions",
        "lm_head.decoder": "cls.predictions.decoder",
        "lm_head.dense": "cls.predictions.transform.dense",
        "lm_head.layer_norm": "cls.predictions.transform.LayerNorm",
        "classifier.out_proj": "classifier",
    },
    "albert": {
        "pooler": "pooler.dense",
        "predictions": "cls.predictions",
        "predictions.decoder": "cls.predictions.decoder",
        "predictions.dense": "cls.predictions.transform.dense",
        "predictions.LayerNorm": "cls.predictions.transform.LayerNorm",
        "sop_classifier.classifier": "cls.seq_relationship",
    },
    "electra": {
        "generator_lm_head": "cls.predictions",
        "generator_predictions.dense": "cls.predictions.transform.dense",
        "generator_predictions.LayerNorm": "cls.predictions.transform.LayerNorm",
        "classifier.out_proj": "classifier",
    },
    "distilbert": {
        "vocab_projector": "cls.predictions",
        "vocab_transform": "cls.predictions.transform.dense",
        "vocab_layer_norm": "cls.predictions.transform.LayerNorm",
        "pre_classifier": "classifier.dense",
    },
}
ALL_SYNONYMS = {k: name for names in SYNONYMS.values() for k, name in names.items()}
# Of checkpoints from TensorFlow.
OLD_NORMS = {"gamma": "weight", "beta": "bias"}

# What is no weight: numbers of positions.
PASSED_OVER = re.compile(r"embeddings\.position_ids")

PARTS = {
    "dense": (("weight", "kernel"), ("bias", "bias")),
    "by_head": (("weight", "kernel"), ("bias", "bias")),
    "norm": (("weight", "gamma"), ("bias", "beta")),
    "embedding": (("weight", "embeddings"),),
    "bias": (("bias", "bias"),),
}

# What ours are called there, by the end of the names of their architectures.
TASKS = {
    "Model": "BertBackbone",
    "ForPreTraining": "BertPretrainer",
    "ForMaskedLM": "BertPretrainer",
    "ForSequenceClassification": "BertClassifier",
    "ForTokenClassification": "BertTagger",
    "ForQuestionAnswering": "BertSpanQA",
}
CLASSES = {
    "bert": "Bert",
    "roberta": "Roberta",
    "albert": "Albert",
    "electra": "Electra",
    "distilbert": "DistilBert",
}
# Where there is a pooler.
POOLED = {
    "bert": ("Model", "ForPreTraining", "ForSequenceClassification"),
    "roberta": ("Model",),
    "albert": ("Model", "ForPreTraining", "ForSequenceClassification"),
}
POOLER = "pooler.dense.weight"

# Our field, their name for it, and their default.
FIELDS = (
    ("vocab_size", "vocab_size", 30522),
    ("context_length", "max_position_embeddings", 512),
    ("num_layers", "num_hidden_layers", 12),
    ("num_heads", "num_attention_heads", 12),
    ("width", "hidden_size", 768),
    ("feed_forward_width", "intermediate_size", 3072),
    ("num_segments", "type_vocab_size", 2),
    ("dropout", "hidden_dropout_prob", 0.1),
    ("attention_dropout", "attention_probs_dropout_prob", 0.1),
    ("activation", "hidden_act", "gelu"),
    ("norm_epsilon", "layer_norm_eps", 1e-12),
    ("initial_stddev", "initializer_range", 0.02),
)
# Other names, and none for what is fixed at the default.
RENAMED: dict[str, dict[str, str | None]] = {
    "distilbert": {
        "num_segments": None,
        "norm_epsilon": None,
        "num_layers": "n_layers",
        "num_heads": "n_heads",
        "width": "dim",
        "feed_forward_width": "hidden_dim",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
        "activation": "activation",
    }
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "roberta": {"vocab_size": 50265},
    "albert": {
        "vocab_size": 30000,
        "num_heads": 64,
        "width": 4096,
        "feed_forward_width": 16384,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation": "gelu_new",
    },
    "electra": {"num_heads": 4, "width": 256, "feed_forward_width": 1024},
    "distilbert": {"num_layers": 6, "num_segments": 0},
}
# Their name for the classifiers' dropout, and its default; others have BERT's.
DROPOUTS: dict[tuple[str, str], tuple[str, float | None]] = {
    ("albert", "ForSequenceClassification"): ("classifier_dropout_prob", 0.1),
    ("albert", "ForTokenClassification"): ("classifier_dropout_prob", 0.1),
    ("distilbert", "ForSequenceClassification"): ("seq_classif_dropout", 0.2),
}
BERT_S_DROPOUT = ("classifier_dropout", None)

# Options that change what the model computes, and the only values that we have.
FIXED: dict[str, tuple[Any, ...]] = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute",),
    "tie_word_embeddings": (True,),
    "num_hidden_groups": (1,),
    "inner_group_num": (1,),
    "problem_type": (None, "single_label_classification", "regression"),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
}


def architecture(theirs: Mapping[str, Any]) -> str:
    """The name of our model for a config.json of theirs; the backbone where unsure."""
    return TASKS.get(_task(theirs), "BertBackbone")


def _task(theirs: Mapping[str, Any]) -> str:
    name = (theirs.get("architectures") or ["Model"])[0]
    found = re.search(r"(Model|For\w+)$", name)
    # ELECTRA's pretraining is that of its discriminator.
    electra = theirs["model_type"] == "electra"
    if found is None or (electra and found[1] == "ForPreTraining"):
        return "Model"
    return found[1]


def config_fields(
    theirs: Mapping[str, Any], names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Fields of the model's configuration for a config.json of theirs.

    Whether there is a pooler the weights' names say: bert-base-uncased calls itself a
    BertForMaskedLM, which has none, and has all of a BertForPreTraining. Ours has no
    dropout of what DistilBERT looks for answers in (`qa_dropout`).
    """
    kind, task = theirs["model_type"], _task(theirs)
    for option, values in FIXED.items():
        if theirs.get(option, values[0]) not in values:
            raise ValueError(
                f"zoo's BERT does not have the option {option}={theirs[option]!r}; "
                f"only {option}={values[0]!r} is converted."
            )
    fields: dict[str, Any] = {}
    for field, bert_s, default in FIELDS:
        name = _option(kind, field, bert_s)
        default = DEFAULTS.get(kind, {}).get(field, default)
        fields[field] = default if name is None else theirs.get(name, default)
    if fields["activation"] not in ACTIVATIONS:
        raise ValueError(
            f"zoo's BERT does not have the activation {fields['activation']!r}; these "
            f"are converted: {', '.join(ACTIVATIONS)}."
        )
    fields["activation"] = ACTIVATIONS[fields["activation"]]
    if task == "ForMaskedLM" and kind in ("roberta", "electra"):
        # Their heads have it whatever the blocks have; ours has that of the blocks.
        if fields["activation"] != "gelu":
            raise ValueError(
                f"Of {kind}'s masked language models only those with gelu "
                f"are converted, got {fields['activation']!r}."
            )
    fields |= {"position_offset": 0, "embedding_width": 0}
    if kind == "roberta":
        fields["position_offset"] = theirs.get("pad_token_id", 1) + 1
        fields["context_length"] -= fields["position_offset"]
    if kind in ("albert", "electra"):
        fields["embedding_width"] = theirs.get("embedding_size", 128)
        if kind == "electra" and fields["embedding_width"] == fields["width"]:
            fields["embedding_width"] = 0
    fields["shared_layers"] = kind == "albert"
    fields["head"] = "bert" if kind == "albert" else kind
    fields["pooler"] = task in POOLED.get(kind, ())
    if names is not None:
        fields["pooler"] = POOLER in {_renamed(name) for name in names}
    if task in ("ForSequenceClassification", "ForTokenClassification"):
        labels = theirs.get("id2label") or range(theirs.get("num_labels", 2))
        fields["num_classes"] = len(labels)
        fields["head_dropout"] = theirs.get(*DROPOUTS.get((kind, task), BERT_S_DROPOUT))
    return fields


def _option(kind: str, field: str, name: str) -> str | None:
    return RENAMED.get(kind, {}).get(field, name)


def convert(
    theirs: Mapping[str, np.ndarray], config: Any, architecture: str
) -> dict[str, np.ndarray]:
    """Our weights from theirs, with all heads that are there.

    Args:
        theirs: by name.
        config: of the model that they are for, whose head may be another.
        architecture: what `architecture` says that they are.

    Raises:
        ValueError: weights are missing, or of no layer of ours.
    """
    theirs = {_renamed(name): x for name, x in theirs.items()}
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
    # Theirs have one name for these two.
    other = "classifier" if architecture == "BertTagger" else "tagger"
    present = {_head(row) for row in HEADS if row[0] in layers} - {other}
    heads = [row for row in HEADS if _head(row) in present]
    table = [*_expanded(body, config), *heads]
    expected = [f"{layer}.{end}" for row in table for layer, end, _ in _parts(row)]
    weights.check_names(theirs, expected, "the BERT folder")
    ours: dict[str, list[np.ndarray]] = {}
    for row in table:
        for layer, end, name in _parts(row):
            ours.setdefault(name, []).append(_transposed(theirs[f"{layer}.{end}"], row))
    return {name: _joined(arrays, config) for name, arrays in ours.items()}


def _renamed(name: str) -> str:
    """The name of a weight as BERT has it, without the prefix of the encoder."""
    name = re.sub(rf"^({'|'.join(SYNONYMS)})\.", "", name)
    layer, dot, end = name.rpartition(".")
    return f"{ALL_SYNONYMS.get(layer, layer)}{dot}{OLD_NORMS.get(end, end)}"


def _untie(theirs: dict[str, np.ndarray]) -> None:
    """Removes the decoder's weights, which are others' by a second name."""
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
        if copy is not None and not np.array_equal(copy, theirs.get(original, copy)):
            raise ValueError(
                f"config.json ties the embeddings, but the weights of {decoder} are "
                f"not equal to {original}."
            )


def _head(row: Row) -> str:
    return row[1].split("/")[0]


def _expanded(rows: Sequence[Row], config: Any) -> Iterator[Row]:
    """A body's layers, all blocks of them, that a model of this configuration has."""
    for theirs, ours, kind in rows:
        if ours == "bert/segment_embedding" and not config.num_segments:
            continue
        if ours == "bert/projection" and not config.embedding_width:
            continue
        distinct = 1 if config.shared_layers else config.num_layers
        for block in range(distinct if "*" in ours else 1):
            index = str(block)
            yield theirs.replace("*", index), ours.replace("*", index), kind


def _parts(row: Row) -> Iterator[tuple[str, str, str]]:
    """A layer's weights: their layer, its weight there, and the weight's name here."""
    theirs, ours, kind = row
    before, _, choices = theirs.partition("(")
    for end, our_end in PARTS[kind]:
        for choice in choices.rstrip(")").split("|"):
            yield before + choice, end, f"{ours}/{our_end}"


def _transposed(x: np.ndarray, row: Row) -> np.ndarray:
    """Their products are of (out, in), ours of (in, out); for both ways."""
    is_product = row[2] in ("dense", "by_head")
    return np.ascontiguousarray(x.T) if is_product else x


def _joined(parts: list[np.ndarray], config: Any) -> np.ndarray:
    """Queries, keys and values of (..., D) as one array, ordered head by head."""
    if len(parts) == 1:
        return parts[0]
    by_head = [x.reshape(*x.shape[:-1], config.num_heads, -1) for x in parts]
    joined = np.stack(by_head, axis=-2)
    return joined.reshape(*joined.shape[:-3], -1)


def _cut(x: np.ndarray, count: int, config: Any) -> list[np.ndarray]:
    """The inverse of `_joined`."""
    if count == 1:
        return [x]
    by_head = x.reshape(*x.shape[:-1], config.num_heads, count, -1)
    parts = np.moveaxis(by_head, -2, 0)
    return [part.reshape(*part.shape[:-2], -1) for part in parts]


def export_bert(model: Any, directory: str | os.PathLike[str]) -> None:
    """Writes a folder that `transformers` loads: a model of its type, with its head.

    It is of the type that has the configuration's features: DistilBERT has no segments,
    ALBERT shares layers, RoBERTa has positions before the first, ELECTRA narrow
    embeddings or its own head, and BERT none of these.

    Raises:
        ValueError: the model computes something that this type does not.
    """
    arrays, settings = their_form(model)
    texts = {"config.json": settings, **weights.tokenizer_texts(model)}
    weights.write(directory, arrays, texts, {"format": "pt"})


def their_form(model: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights by their names, and config.json; see `export_bert`."""
    config = model.config
    kind = _their_kind(config)
    task = _their_task(model)
    settings = _their_config(config, kind, task)
    _check_same(config, settings)
    if model.pooler is not None and task not in POOLED.get(kind, ()):
        raise ValueError(
            f"Hugging Face's {CLASSES[kind]} has no pooler here. This "
            f"{type(model).__name__} has one; from_preset(folder, pooler=False) leaves "
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
    """What each of our weights is called there; several are parts of it."""
    placed = _placed(model, _their_kind(model.config), _their_task(model))
    return {name: places for name, _, places in placed}


def _placed(model: Any, kind: str, task: str) -> Iterator[tuple[str, Row, list[str]]]:
    """Our weights, the rows that they are of, and their names there."""
    layers = {name.split("/")[0] for name in weights.named_weights(model)}
    heads = [row for row in HEADS if _head(row) in layers]
    names = {ours: theirs for theirs, ours in SYNONYMS[kind].items()}
    body = BODIES[BODY_OF.get(kind, "encoder.layer.")]
    for row in (*_expanded(body, model.config), *heads):
        in_body = row[1].startswith(("bert/", "pooler"))
        prefix = f"{kind}." if in_body and task != "Model" else ""
        parts = list(_parts(row))
        for name in dict.fromkeys(name for _, _, name in parts):
            yield (
                name,
                row,
                [
                    f"{prefix}{_layer(layer, row, names)}.{end}"
                    for layer, end, part in parts
                    if part == name
                ],
            )


def _layer(layer: str, row: Row, names: Mapping[str, str]) -> str:
    """A layer's name among its variant's; a tagger's is BERT's everywhere."""
    return layer if _head(row) == "tagger" else names.get(layer, layer)


def _their_kind(config: Any) -> str:
    """The model type that a configuration is of."""
    if not config.num_segments:
        return "distilbert"
    if config.shared_layers:
        return "albert"
    if config.position_offset:
        return "roberta"
    if config.embedding_width or getattr(config, "head", "bert") == "electra":
        return "electra"
    return "bert"


def _their_task(model: Any) -> str:
    tasks = [task for task, ours in TASKS.items() if ours == type(model).__name__]
    if not tasks:
        raise ValueError(
            f"export_bert writes {', '.join(dict.fromkeys(TASKS.values()))}, not a "
            f"{type(model).__name__}."
        )
    # Of a pretrainer's two, the second is the one without a pooler.
    return tasks[0] if model.pooler is not None else tasks[-1]


def _their_config(config: Any, kind: str, task: str) -> dict[str, Any]:
    options = {_option(kind, field, name): field for field, name, _ in FIELDS}
    values = {
        **{field: getattr(config, field) for field, _, _ in FIELDS},
        "feed_forward_width": config.feed_forward_width or 4 * config.width,
        "attention_dropout": config.attention_rate,
        "context_length": config.context_length + config.position_offset,
        "activation": THEIR_ACTIVATIONS[config.activation],
    }
    settings: dict[str, Any] = {
        "architectures": [f"{CLASSES[kind]}{task}"],
        "model_type": kind,
        **{option: values[field] for option, field in options.items() if option},
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    match kind:
        case "roberta":
            settings["pad_token_id"] = config.position_offset - 1
        case "albert" | "electra":
            settings["embedding_size"] = config.embedding_width or config.width
        case "distilbert":
            settings["qa_dropout"] = 0.0
    if hasattr(config, "num_classes"):
        labels = {f"LABEL_{index}": index for index in range(config.num_classes)}
        settings["id2label"] = {str(index): label for label, index in labels.items()}
        settings["label2id"] = labels
        name, default = DROPOUTS.get((kind, task), BERT_S_DROPOUT)
        unset = config.head_dropout is None and default is not None
        settings[name] = config.dropout if unset else config.head_dropout
    return settings


def _check_same(config: Any, settings: Mapping[str, Any]) -> None:
    """Raises unless their configuration says all that ours says."""
    wanted = dataclasses.asdict(config) | {
        "feed_forward_width": config.feed_forward_width or 4 * config.width
    }
    # Of the pooler the weights speak; dropout is not what a model computes.
    for name in ("pooler", "dropout", "attention_dropout", "head_dropout"):
        wanted.pop(name, None)
    for name, value in config_fields(settings).items():
        if wanted.get(name, value) != value:
            raise ValueError(
                f"Hugging Face's {settings['architectures'][0]} has {name}={value!r} "
                f"where all else is as here. This model has {wanted[name]!r}."
            )
