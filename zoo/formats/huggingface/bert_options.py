"""Converts config.json of Hugging Face's BERT and variants from and to ours."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from zoo.configs.checks import DEPTHS
from zoo.files.limits import MAX_LAYERS, MAX_SIZE
from zoo.formats.huggingface.activation_names import ACTIVATIONS, THEIR_ACTIVATIONS
from zoo.formats.huggingface.bert_layout import renamed
from zoo.formats.huggingface.options import check_fixed, option
from zoo.tokenizers.tokenizer import ROBERTA_TOKENS
from zoo.tokenizers.wordpiece import BERT_TOKENS

# Our models by the suffix of their architecture's name; these are read and written.
TASKS = {
    "Model": "BertBackbone",
    "ForPreTraining": "BertPretrainer",
    "ForMaskedLM": "BertPretrainer",
    "ForSequenceClassification": "BertClassifier",
    "ForTokenClassification": "BertTagger",
    "ForQuestionAnswering": "BertSpanQA",
}
# Only read: the sentence head of a BertPretrainer by itself.
READ = {"ForNextSentencePrediction": "BertPretrainer"}
# Weights that identify the task if config.json does not name it.
TELLING = {
    "cls.predictions.bias": "ForMaskedLM",
    "qa_outputs.weight": "ForQuestionAnswering",
    "discriminator_predictions.dense.weight": "ForPreTraining",
}
CLASSES = {
    "bert": "Bert",
    "roberta": "Roberta",
    "albert": "Albert",
    "electra": "Electra",
    "distilbert": "DistilBert",
}
# Roles of the special tokens, in the order of `BERT_TOKENS`.
ROLES = ("pad", "unk", "cls", "sep", "mask")
# Models that have a pooler.
POOLED = {
    "bert": (
        "Model",
        "ForPreTraining",
        "ForNextSentencePrediction",
        "ForSequenceClassification",
    ),
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
# Different names of fields; None for those that are fixed at the default.
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
# Their name of a classifier's dropout and its default; the others use BERT's.
DROPOUTS: dict[tuple[str, str], tuple[str, float | None]] = {
    ("albert", "ForSequenceClassification"): ("classifier_dropout_prob", 0.1),
    ("albert", "ForTokenClassification"): ("classifier_dropout_prob", 0.1),
    ("distilbert", "ForSequenceClassification"): ("seq_classif_dropout", 0.2),
}
BERT_S_DROPOUT = ("classifier_dropout", None)

# Options that change what the model computes, and the values that we support.
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


def architecture(theirs: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    """Our architecture for their config.json and the names of their weights.

    It is the backbone if zoo does not have the head; see `unknown_head`.
    """
    task = _task(theirs, names)
    # ELECTRA's ForPreTraining is its discriminator.
    if (theirs["model_type"], task) == ("electra", "ForPreTraining"):
        return "Electra"
    return (TASKS | READ).get(task, "BertBackbone")


def unknown_head(theirs: Mapping[str, Any]) -> str:
    """Their name of a model whose head none of ours has; "" for known heads."""
    return "" if _task(theirs) in TASKS | READ else _architectures(theirs)[0]


def _architectures(theirs: Mapping[str, Any]) -> tuple[str, ...]:
    return option(theirs, "architectures", (), tuple[str, ...])


def _task(theirs: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    if given := _architectures(theirs):
        return given[0].removeprefix(CLASSES[theirs["model_type"]])
    found = {renamed(name) for name in names or ()}
    return next((TELLING[name] for name in TELLING if name in found), "Model")


def config_fields(
    theirs: Mapping[str, Any], names: Iterable[str] | None = None
) -> dict[str, Any]:
    """The fields of our configuration for their config.json.

    The weights' names determine whether there is a pooler: bert-base-uncased calls
    itself a BertForMaskedLM, which has none, yet has all of a BertForPreTraining's
    weights. DistilBERT's `qa_dropout` is ignored; we have no such dropout.
    """
    kind, task = theirs["model_type"], _task(theirs, names)
    check_fixed(theirs, FIXED, "zoo's BERT")
    fields: dict[str, Any] = {}
    for field, bert_s, default in FIELDS:
        name = _option(kind, field, bert_s)
        default = DEFAULTS.get(kind, {}).get(field, default)
        if name is not None:
            most = MAX_LAYERS if field in DEPTHS else MAX_SIZE
            default = option(theirs, name, default, most=most)
        fields[field] = default
    if fields["activation"] not in ACTIVATIONS:
        raise ValueError(
            f"{_option(kind, 'activation', 'hidden_act')} in config.json must be one "
            f"of {', '.join(ACTIVATIONS)}, got {fields['activation']!r}."
        )
    fields["activation"] = ACTIVATIONS[fields["activation"]]
    if task == "ForMaskedLM" and kind in ("roberta", "electra"):
        # Their heads always use GELU; ours use the blocks' activation.
        if fields["activation"] != "gelu":
            raise ValueError(
                f"The activation of a masked language model of {kind} must be gelu, "
                f"since only those with gelu are converted, got "
                f"{fields['activation']!r}."
            )
    fields |= {"position_offset": 0, "embedding_width": 0}
    if kind == "roberta":
        fields["position_offset"] = option(theirs, "pad_token_id", 1) + 1
        fields["context_length"] -= fields["position_offset"]
    if kind in ("albert", "electra"):
        fields["embedding_width"] = option(theirs, "embedding_size", 128)
        if kind == "electra" and fields["embedding_width"] == fields["width"]:
            fields["embedding_width"] = 0
    fields["shared_layers"] = kind == "albert"
    fields["head"] = "bert" if kind == "albert" else kind
    fields["pooler"] = task in POOLED.get(kind, ())
    if names is not None:
        fields["pooler"] = POOLER in {renamed(name) for name in names}
    if (kind, task) == ("electra", "ForPreTraining"):
        fields["generator_divisor"] = _divisor(fields)
    if task in ("ForSequenceClassification", "ForTokenClassification"):
        labels = class_names(theirs)
        fields["num_classes"] = len(labels)
        unnamed = all(x == unnamed_class(i) for i, x in enumerate(labels))
        fields["class_names"] = () if unnamed else labels
        rate = DROPOUTS.get((kind, task), BERT_S_DROPOUT)
        fields["head_dropout"] = option(theirs, *rate, float)
    return fields


def class_names(theirs: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes in order; by default LABEL_0 and so on.

    Raises:
        ValueError: numbers are missing, or names are not strings.
    """
    named = option(theirs, "id2label", {})
    if not named:
        numbers_by_name = option(theirs, "label2id", {})
        named = {number: name for name, number in numbers_by_name.items()}
    if not named:
        return tuple(map(unnamed_class, range(option(theirs, "num_labels", 2))))
    by_number = {str(number): name for number, name in named.items()}
    numbers = [str(number) for number in range(len(named))]
    if sorted(by_number) != sorted(numbers) or not all(
        isinstance(name, str) for name in by_number.values()
    ):
        raise ValueError(
            "id2label in config.json must give each class a name, numbered from 0, "
            f"got {dict(list(named.items())[:4])} ..."
        )
    return tuple(by_number[number] for number in numbers)


def unnamed_class(index: int) -> str:
    """The name that `transformers` gives a class without one."""
    return f"LABEL_{index}"


def _divisor(fields: Mapping[str, Any]) -> int:
    """The ratio of discriminator to generator width, which their folder does not state.

    It is 4, as in ELECTRA's small and large, or the next smaller number that divides
    all widths.
    """
    width, hidden = fields["width"], fields["feed_forward_width"]
    heads = fields["num_heads"]

    def fits(divisor: int) -> bool:
        one = max(1, heads // divisor)
        whole = width % divisor == hidden % divisor == 0
        return whole and width // divisor % one == 0

    return next(divisor for divisor in (4, 3, 2, 1) if fits(divisor))


def _option(kind: str, field: str, name: str) -> str | None:
    return RENAMED.get(kind, {}).get(field, name)


def kind_of(config: Any) -> str:
    """The model type that a configuration's features imply."""
    if hasattr(config, "generator_divisor"):
        return "electra"
    if not config.num_segments:
        return "distilbert"
    if config.shared_layers:
        return "albert"
    if config.position_offset:
        return "roberta"
    if config.embedding_width or getattr(config, "head", "bert") == "electra":
        return "electra"
    return "bert"


def task_of(model: Any) -> str:
    """The suffix of the name of a model's architecture there."""
    name = type(model).__name__
    if name == "Electra":
        return "ForPreTraining"
    tasks = [task for task, ours in TASKS.items() if ours == name]
    if not tasks:
        known = ", ".join({*TASKS.values(), "Electra"})
        raise ValueError(f"export_bert needs one of {known}, got a {name}.")
    # A pretrainer has two: the second is without a pooler.
    return tasks[0] if model.pooler is not None else tasks[-1]


def their_config(config: Any, kind: str, task: str) -> dict[str, Any]:
    """The contents of config.json for our configuration."""
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
        labels = config.class_names or map(unnamed_class, range(config.num_classes))
        settings["id2label"] = {str(index): x for index, x in enumerate(labels)}
        settings["label2id"] = {x: int(i) for i, x in settings["id2label"].items()}
        name, default = DROPOUTS.get((kind, task), BERT_S_DROPOUT)
        unset = config.head_dropout is None and default is not None
        settings[name] = config.dropout if unset else config.head_dropout
    return settings


def tokenizer_settings(model: Any) -> dict[str, Any]:
    """tokenizer_config.json's special tokens and the names of the model's inputs."""
    if model.tokenizer is None:
        return {}
    segments = ["token_type_ids"] if model.config.num_segments > 1 else []
    settings: dict[str, Any] = {
        "model_input_names": ["input_ids", *segments, "attention_mask"]
    }
    for role, *names in zip(ROLES, BERT_TOKENS, ROBERTA_TOKENS, strict=True):
        for name in names:
            if model.tokenizer.token_to_id(name) is not None:
                settings.setdefault(f"{role}_token", name)
    return settings


def check_same(config: Any, settings: Mapping[str, Any]) -> None:
    """Raises unless their configuration can express ours.

    Raises:
        ValueError: a field has a value that theirs can't have.
    """
    wanted = dataclasses.asdict(config) | {
        "feed_forward_width": config.feed_forward_width or 4 * config.width
    }
    # The weights show whether there is a pooler; nothing describes a generator; dropout
    # and class names do not change what a model computes.
    for name in (
        "pooler",
        "generator_divisor",
        "dropout",
        "attention_dropout",
        "head_dropout",
        "class_names",
    ):
        wanted.pop(name, None)
    for name, value in config_fields(settings).items():
        if wanted.get(name, value) != value:
            raise ValueError(
                f"Hugging Face's {settings['architectures'][0]} has {name}={value!r} "
                f"for a model like this one, which has {wanted[name]!r}."
            )
