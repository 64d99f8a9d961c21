r"""Pretrain a BERT to predict masked tokens and relations between sentences.

    zoo train bert_pretrain                              # docs, minutes
    zoo train bert_pretrain --variant no_sentences       # like RoBERTa
    zoo train bert_pretrain --variant order              # like ALBERT
    zoo train bert_pretrain --variant electra            # replaced tokens
    zoo train bert_pretrain --teacher runs/bert_pretrain/preset  # DistilBERT
    zoo train bert_pretrain --dataset text --data-dir my_novel.txt
    zoo train bert_pretrain --variant from_encoder --encoder all-MiniLM-L6-v2/

Documents are runs of consecutive paragraphs; the validation documents are about other
topics. Masks are redrawn for every update, but drawn only once for validation, which
always masks 15 % of the tokens, whatever the training rate. The summary also reports
the baselines: token frequencies, and guessing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.data import MaskedBatches, TextDataset, Tokenizer
from zoo.data.pretraining.cutting import (
    MaskUnit,
    masking_of_text,
    pretraining_sequences,
)
from zoo.data.pretraining.sentence_pairs import NEGATIVES
from zoo.evaluation import masked_once
from zoo.evaluation.text.masked_text import frequency_figures, with_noise
from zoo.evaluation.text.shown import FilledMasks
from zoo.models.bert.backbone import Bert, BertConfig, num_segments_of
from zoo.models.bert.distiller import Distiller
from zoo.models.bert.electra import Electra
from zoo.models.bert.pretrainer import BertPretrainer, check_pretrained
from zoo.store.names import PresetName
from zoo.training import ConstantThenLinear, Model
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

from ._shared import (
    StepsConfig,
    adamw,
    announce,
    draw_curves,
    evaluation,
    fit_steps,
    load_text,
    replace,
    smoke,
)


@dataclass(frozen=True)
class Config(StepsConfig, TextRunConfig):
    """A BERT, its text, its masks and its training.

    Attributes:
        encoder: preset whose encoder and tokenizer to start from, by name or folder.
        teacher: pretrained preset to distil into a model with half its layers and the
            same tokenizer.
        electra: train a discriminator to detect tokens that a small generator replaced.
        vocab_size: tokens of the WordPiece vocabulary, which is trained on the text
            unless a preset provides one.
        num_layers: transformer blocks of a new model.
        num_heads: attention heads per block of a new model.
        width: width of the residual stream of a new model.
        context_length: tokens per sequence.
        attention_dropout: dropout rate of attention probabilities; 0.1 in the paper,
            which trains for longer.
        sentences: what to predict about a pair of sentences: whether the second comes
            "next", or their "order"; "none" trains without pairs.
        paragraphs: paragraphs per document.
        duplicates: how many times to cut the documents into pairs, differently each
            time.
        mask_rate: fraction of the tokens to predict.
        mask_unit: what is masked as a whole; "pmi" masks words that often occur
            together.
        collocations: maximum number of n-grams that "pmi" takes from the text.
        batch_size: sequences per update.
        learning_rate: peak learning rate, which then decays linearly to zero.
        eval_sequences: maximum number of validation sequences.
    """

    dataset: str = "docs"
    out: Path = Path("runs/bert_pretrain")
    encoder: PresetName | None = None
    teacher: PresetName | None = None
    electra: bool = False
    model: BertConfig = flags(
        BertConfig(4096, 64, 4, 4, 128, attention_dropout=0.0),
        *("vocab_size", "num_layers", "num_heads", "width", "context_length"),
        *("dropout", "remat"),
        attention_dropout=float,
    )
    sentences: Literal["next", "order", "none"] = "next"
    paragraphs: int = 8
    duplicates: int = 10
    mask_rate: float = 0.15
    mask_unit: MaskUnit = "token"
    collocations: int = 2000
    batch_size: int = 32
    warmup_steps: int = 200
    weight_decay: float = 0.01
    eval_sequences: int = 500


DEMO = Config()
VARIANTS = {
    "demo": DEMO,
    "no_sentences": replace(DEMO, sentences="none"),
    "order": replace(DEMO, sentences="order"),
    "mask_40": replace(DEMO, mask_rate=0.4),
    "whole_words": replace(DEMO, mask_unit="word"),
    "spans": replace(DEMO, mask_unit="span"),
    "pmi": replace(DEMO, mask_unit="pmi"),
    "electra": replace(DEMO, electra=True, sentences="none"),
    # The size that Turc et al. 2019 call "tiny".
    "tiny": replace(DEMO, num_layers=2, num_heads=2, steps=6000, eval_every=500),
    # For `--encoder`: longer sequences make it clearer what belongs together.
    "from_encoder": replace(
        DEMO,
        context_length=128,
        batch_size=16,
        steps=800,
        learning_rate=2e-4,
        warmup_steps=80,
        eval_every=100,
    ),
    # Devlin et al. 2019, appendix A.2: the 90 % of the steps with 128 tokens.
    "base": replace(
        DEMO,
        vocab_size=30522,
        num_layers=12,
        num_heads=12,
        width=768,
        context_length=128,
        batch_size=256,
        steps=900_000,
        learning_rate=1e-4,
        warmup_steps=10_000,
        eval_every=10_000,
    ),
}


def network(config: Config, tokenizer: Tokenizer) -> Model:
    """The model, either new or with the weights of a preset."""
    names = ("dropout", "attention_dropout", "remat")
    changes: dict[str, Any] = {name: getattr(config.model, name) for name in names}
    if config.teacher is not None:
        teacher = BertPretrainer.from_preset(config.teacher, **changes)
        check_pretrained(teacher, config.teacher)
        return Distiller(teacher)
    changes["pooler"] = config.sentences != "none"
    made: Any = Electra if config.electra else BertPretrainer
    if config.encoder is not None:
        return made.from_preset(config.encoder, **changes)
    changes["vocab_size"] = tokenizer.vocab_size
    return made(made.Config(**vars(config.model) | changes))


def sequences(config: Config, text: TextDataset, part: str, tokenizer: Tokenizer):
    """Cuts a part of the text into sequences to train or evaluate on."""
    try:
        return pretraining_sequences(
            getattr(text, part),
            tokenizer,
            config.model.context_length,
            negatives=NEGATIVES.get(config.sentences),
            paragraphs=config.paragraphs,
            duplicates=config.duplicates,
            num_segments=num_segments_of(config.teacher or config.encoder),
            seed=config.seed,
        )
    except ValueError as error:
        raise ValueError(f"the {part} part of {config.dataset!r}: {error}") from error


def main(config: Config) -> dict:
    """Trains and evaluates; returns the summary."""
    if config.teacher and (config.encoder or config.electra):
        raise ValueError("--teacher cannot be combined with --encoder or --electra.")
    config = smoke(
        config,
        **{"num_layers": 1, "num_heads": 2, "width": 16, "vocab_size": 400},
        **{"context_length": 32, "batch_size": 8},
        **{"steps": 2, "eval_every": 1, "eval_sequences": 32},
    )
    if config.variant == "from_encoder" and config.encoder is None:
        raise ValueError("--variant from_encoder starts from a preset: pass --encoder.")
    run = Run(config)
    text = load_text(config)
    start = config.teacher or config.encoder
    if start is None:
        tokenizer = Tokenizer.train_wordpiece(text.train, config.model.vocab_size)
    else:
        tokenizer = Tokenizer.from_preset(start)
    run.start({"dataset": text.sha256, "tokenizer": tokenizer.sha256})

    length, size = config.model.context_length, config.batch_size
    train = sequences(config, text, "train", tokenizer)
    held_out = sequences(config, text, "validation", tokenizer)
    masking = masking_of_text(
        text.train,
        tokenizer,
        length,
        rate=config.mask_rate,
        unit=config.mask_unit,
        most_collocations=config.collocations,
    )
    batches = MaskedBatches(train, masking, size, seed=config.seed)
    validation = masked_once(held_out, tokenizer, length, config.eval_sequences)
    if config.electra:
        validation = with_noise(validation)

    trained = network(config, tokenizer)
    bert: Bert = trained.student if isinstance(trained, Distiller) else trained
    bert.tokenizer = tokenizer
    warmup = min(config.warmup_steps, config.steps // 10)
    rate = ConstantThenLinear(config.learning_rate, config.steps, warmup_steps=warmup)
    trained.compile(adamw(config, rate), accumulate=config.accumulate)
    announce(trained, f"{len(train):,} sequences of {config.dataset}")
    evaluate = evaluation(trained, validation, batch_size=size)
    shown = FilledMasks(trained if config.electra else bert, validation)
    fit_steps(
        run, config, trained, batches.batches, evaluate, size * length, samples=shown
    )
    draw(run, trained)
    bert.save_to_preset(run.out / "preset")
    summary = run.finish(
        **frequency_figures(train.tokens, validation, tokenizer.vocab_size),
        sequences=len(train),
        val_sequences=len(validation["token_ids"]),
        parameters=bert.count_params(),
        dataset=config.dataset,
        dataset_sha256=text.sha256,
        vocab_size=tokenizer.vocab_size,
    )
    report(summary)
    print(f"see {run.out}")
    return summary


def draw(run: Run, trained: Model) -> None:
    """Plots each loss on the training and the validation text."""
    (phase,) = trained.phases()
    losses = {
        f"{term.removesuffix('_loss')}, {part}": f"{prefix}{term}"
        for term in phase.objective
        for part, prefix in (("training", ""), ("validation", "val_"))
    }
    draw_curves(run, losses, "BERT", unit="nats")


def report(summary: Mapping[str, Any]) -> None:
    """Prints how well each task is solved, beside a baseline."""
    print(
        f"\nvalidation: masked tokens {summary['val_mlm_loss']:.3f} nats (by frequency "
        f"{summary['unigram_loss']:.3f}), accuracy {summary['val_mlm_accuracy']:.3f} "
        f"(most frequent token {summary['unigram_accuracy']:.3f})"
    )
    if "val_nsp_accuracy" in summary:
        print(f"sentences: accuracy {summary['val_nsp_accuracy']:.3f} (guessing 0.5)")
    if "val_rtd_accuracy" in summary:
        print(
            f"replaced tokens: accuracy {summary['val_rtd_accuracy']:.3f} (always "
            f"guessing original {1 - summary['val_replaced']:.3f})"
        )


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
