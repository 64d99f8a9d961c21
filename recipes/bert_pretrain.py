r"""Pretrain a BERT: masked tokens, and which sentence follows which.

    python -m recipes.bert_pretrain                              # docs, minutes
    python -m recipes.bert_pretrain --variant no_sentences       # as RoBERTa
    python -m recipes.bert_pretrain --variant order              # as ALBERT
    python -m recipes.bert_pretrain --variant electra            # replaced tokens
    python -m recipes.bert_pretrain --teacher runs/bert_pretrain/preset  # DistilBERT
    python -m recipes.bert_pretrain --dataset text --data-dir my_novel.txt
    python -m recipes.bert_pretrain --variant from_encoder --encoder all-MiniLM-L6-v2/

Documents are stretches of paragraphs; those of validation are of other topics. Masks
are drawn anew in every update, and once for validation, of which 15 % of the tokens are
masked at any rate of training. The summary has the baselines beside the figures: the
frequency of tokens, and guessing.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

import zoo
from zoo.data import (
    Documents,
    MaskedBatches,
    Masking,
    Sequences,
    Tokenizer,
    collocations,
    full_sentences,
    sentence_pairs,
)
from zoo.data.pretraining.masking import most_masked
from zoo.data.pretraining.sentence_pairs import NEGATIVES
from zoo.evaluation import masked_once
from zoo.evaluation.images.pictures import loss_curves
from zoo.models.bert.backbone import Bert, num_segments_of
from zoo.models.bert.distiller import Distiller
from zoo.models.bert.electra import Electra
from zoo.models.bert.pretrainer import BertPretrainer, check_pretrained
from zoo.store.names import PresetName
from zoo.training import ConstantThenLinear, Model
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig


@dataclass(frozen=True)
class Config(TextRunConfig):
    """A BERT, its text, its masks and its training.

    Attributes:
        encoder: a preset, by name or folder, whose encoder and tokenizer to start from.
        teacher: a pretrained one, likewise, from which to distil a model of half its
            layers, and whose tokenizer to use.
        electra: train a discriminator of tokens that a small generator replaced.
        vocab_size: tokens of the WordPiece tokenizer that is trained without one.
        num_layers: transformer blocks, of a new model.
        num_heads: attention heads of each, of a new model.
        width: of the residual stream, of a new model.
        context_length: tokens of a sequence.
        dropout: after embeddings, attention and feed-forward.
        attention_dropout: of attention's probabilities; 0.1 in the paper, which trains
            for longer.
        sentences: what is learned of pairs: which one is "next", in which "order" they
            stand, or "none": no pairs.
        paragraphs: of the text that make up a document.
        duplicates: times that documents are cut into pairs, each time into others.
        mask_rate: share of tokens to predict.
        mask_unit: what is masked as a whole; "pmi" is words that occur together.
        collocations: the most n-grams that "pmi" takes from the text.
        batch_size: sequences an update.
        accumulate: micro-batches that a batch is cut into.
        steps: updates.
        learning_rate: at its peak; it falls linearly to zero.
        warmup_steps: of its linear rise, a tenth of all steps at most.
        weight_decay: of matrices, decoupled.
        clip: largest norm of all gradients together.
        remat: recompute activations instead of keeping them.
        eval_every: updates between evaluations and checkpoints.
        eval_sequences: of validation, at most.
    """

    dataset: str = "docs"
    out: Path = Path("runs/bert_pretrain")
    encoder: PresetName | None = None
    teacher: PresetName | None = None
    electra: bool = False
    vocab_size: int = 4096
    num_layers: int = 4
    num_heads: int = 4
    width: int = 128
    context_length: int = 64
    dropout: float = 0.1
    attention_dropout: float = 0.0
    sentences: Literal["next", "order", "none"] = "next"
    paragraphs: int = 8
    duplicates: int = 10
    mask_rate: float = 0.15
    mask_unit: Literal["token", "word", "span", "pmi"] = "token"
    collocations: int = 2000
    batch_size: int = 32
    accumulate: int = 1
    steps: int = 2000
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    remat: bool = False
    eval_every: int = 250
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
    # Of the size that Turc et al. 2019 call tiny.
    "tiny": replace(DEMO, num_layers=2, num_heads=2, steps=6000, eval_every=500),
    # For `--encoder`: what belongs together shows in longer stretches.
    "from_encoder": replace(
        DEMO,
        context_length=128,
        batch_size=16,
        steps=800,
        learning_rate=2e-4,
        warmup_steps=80,
        eval_every=100,
    ),
    # Devlin et al. 2019, appendix A.2, on nine tenths of the steps at 128 tokens.
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
    """The model, new or with the weights that it starts from."""
    changes: dict[str, Any] = {
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "remat": config.remat,
    }
    if config.teacher is not None:
        teacher = BertPretrainer.from_preset(config.teacher, **changes)
        check_pretrained(teacher, config.teacher)
        return Distiller(teacher)
    changes["pooler"] = config.sentences != "none"
    made: Any = Electra if config.electra else BertPretrainer
    if config.encoder is not None:
        return made.from_preset(config.encoder, **changes)
    return made(
        made.Config(
            vocab_size=tokenizer.vocab_size,
            context_length=config.context_length,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            width=config.width,
            **changes,
        )
    )


def kept(trained: Model) -> Bert:
    """What is saved of it."""
    return trained.student if isinstance(trained, Distiller) else trained


def model(config: Config, tokenizer: Tokenizer) -> Model:
    """The compiled model, with its tokenizer."""
    trained = network(config, tokenizer)
    kept(trained).tokenizer = tokenizer
    schedule = ConstantThenLinear(
        config.learning_rate,
        config.steps,
        warmup_steps=min(config.warmup_steps, config.steps // 10),
    )
    trained.compile(
        keras.optimizers.AdamW(
            schedule, weight_decay=config.weight_decay, global_clipnorm=config.clip
        ),
        accumulate=config.accumulate,
    )
    return trained


def sequences(
    config: Config, text: str, tokenizer: Tokenizer, num_segments: int = 2
) -> Sequences:
    """What to train or evaluate on, cut from a text."""
    documents = Documents.from_text(text, tokenizer, config.paragraphs)
    if config.sentences == "none":
        return full_sentences(documents, tokenizer, config.context_length)
    return sentence_pairs(
        documents,
        tokenizer,
        config.context_length,
        negatives=NEGATIVES[config.sentences],
        duplicates=config.duplicates,
        num_segments=num_segments,
        seed=config.seed,
    )


def masks(config: Config, text: str, tokenizer: Tokenizer) -> Masking:
    """What is masked; n-grams are counted in the text."""
    masked = most_masked(config.mask_rate, config.context_length)
    unit: Any = config.mask_unit
    if unit == "pmi":
        documents = Documents.from_text(text, tokenizer)
        unit = collocations(documents, tokenizer, config.collocations)
    return Masking(tokenizer, masked, rate=config.mask_rate, unit=unit)


def main(config: Config) -> dict:
    """Trains and evaluates; returns the summary."""
    start = config.teacher or config.encoder
    if config.teacher and (config.encoder or config.electra):
        raise ValueError("--teacher goes without --encoder and without --electra")
    if config.smoke:
        config = replace(config, num_layers=1, num_heads=2, width=16, vocab_size=400)
        config = replace(config, steps=2, eval_every=1, eval_sequences=32)
        config = replace(config, context_length=32, batch_size=8)
    if config.variant == "from_encoder" and config.encoder is None:
        raise ValueError("--variant from_encoder starts from weights: give --encoder")
    run = Run(config)
    text = zoo.data.load(
        config.dataset,
        config.data_dir,
        expect=zoo.data.TextDataset,
        on_bad=config.on_bad,
    )
    if start is None:
        tokenizer = Tokenizer.train_wordpiece(text.train, config.vocab_size)
    else:
        tokenizer = Tokenizer.from_preset(start)
    run.start({"dataset": text.sha256, "tokenizer": tokenizer.sha256})
    num_segments = num_segments_of(start)
    parts = {}
    for part in ("train", "validation"):
        try:
            parts[part] = sequences(
                config, getattr(text, part), tokenizer, num_segments
            )
        except ValueError as error:
            raise ValueError(
                f"the {part} part of {config.dataset!r}: {error}"
            ) from error
    train, held_out = parts["train"], parts["validation"]
    masking = masks(config, text.train, tokenizer)
    batches = MaskedBatches(train, masking, config.batch_size, seed=config.seed)
    validation = masked_once(
        held_out, tokenizer, config.context_length, config.eval_sequences
    )
    if config.electra:
        noise = np.random.default_rng(0).random(validation["mask_ids"].shape)
        validation["noise"] = noise.astype("float32")
    bert = model(config, tokenizer)
    print(
        f"{bert.count_params():,} parameters, {len(train):,} sequences of "
        f"{config.dataset}, {keras.config.backend()} backend"
    )

    def evaluate() -> dict:
        return bert.evaluate(
            validation, batch_size=config.batch_size, verbose=0, return_dict=True
        )

    run.fit(
        bert,
        batches.batches,
        updates=config.steps,
        evaluate_every=config.eval_every,
        evaluate=evaluate,
        batch_tokens=config.batch_size * config.context_length,
    )
    updates = [row["update"] for row in run.rows]
    about = f"BERT on {config.dataset} ({config.variant})"
    (phase,) = bert.phases()
    losses = {
        f"{term.removesuffix('_loss')}, {part}": run.curve(f"{prefix}{term}")
        for term in phase.objective
        for part, prefix in (("training", ""), ("validation", "val_"))
    }
    loss_curves(run.out / "loss.png", updates, losses, title=about, unit="nats")
    kept(bert).save_to_preset(run.out / "preset")
    summary = run.finish(
        **unigram(train.tokens, validation, tokenizer.vocab_size),
        sequences=len(train),
        val_sequences=len(validation["token_ids"]),
        parameters=kept(bert).count_params(),
        dataset=config.dataset,
        dataset_sha256=text.sha256,
        vocab_size=tokenizer.vocab_size,
    )
    print(
        f"\nvalidation: masked tokens {summary['val_mlm_loss']:.3f} nats (by frequency "
        f"{summary['unigram_loss']:.3f}), {summary['val_mlm_accuracy']:.3f} right "
        f"(the commonest {summary['unigram_accuracy']:.3f})"
    )
    if "val_nsp_accuracy" in summary:
        print(f"sentences {summary['val_nsp_accuracy']:.3f} right (guessing 0.5)")
    if config.electra:
        print(
            f"replaced tokens {summary['val_rtd_accuracy']:.3f} right (taking all for "
            f"original {1 - summary['val_replaced']:.3f})"
        )
    print(f"see {run.out}")
    return summary


def unigram(tokens: np.ndarray, validation: dict, vocab_size: int) -> dict[str, float]:
    """Nats a masked token by the frequency of tokens, and the commonest one's share."""
    counts = np.bincount(tokens, minlength=vocab_size) + 1.0
    chosen = validation["mask_ids"][validation["mask_weights"] > 0]
    return {
        "unigram_loss": float(-np.log(counts / counts.sum())[chosen].mean()),
        "unigram_accuracy": float(np.mean(chosen == counts.argmax())),
    }


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
