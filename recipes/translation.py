r"""Train a Transformer to translate, from parallel text to BLEU.

    python -m recipes.translation                      # a small grammar, minutes
    python -m recipes.translation --variant multi30k --data-dir data/
    python -m recipes.translation --variant multi30k --data-dir data/ \
        --dataset parallel --source fr --target en     # your own files

Sentences lie in `train.en` and `train.de`, line by line, and so do those of `val` and
`test_2016_flickr`; names may end in `.gz`. The summary has BLEU and chrF of the test,
greedily and with beams, and the signatures of sacrebleu that make them comparable.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

import zoo
from zoo.data import (
    PairBatches,
    ParallelText,
    TokenPairs,
    pairs_once,
    train_joint_bpe,
)
from zoo.evaluation import translation_metrics
from zoo.evaluation.images.pictures import attention_map, loss_curves
from zoo.models.language.transformer import Transformer, TransformerConfig
from zoo.training import WarmupCosine, WarmupInverseSqrt
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig


@dataclass(frozen=True)
class Config(TextRunConfig):
    """A Transformer, its languages and its training.

    Attributes:
        source: language to translate from, as the names of files end.
        target: language to translate to.
        vocab_size: tokens of the byte-level BPE trained on both sides.
        num_layers: blocks of the encoder, and of the decoder.
        num_heads: attention heads of each.
        width: of the residual streams.
        feed_forward_width: of the hidden layers.
        context_length: the most tokens of a sentence; longer pairs are left out.
        dropout: after embeddings, attention and feed-forward.
        label_smoothing: share of each target that goes to all tokens alike.
        batch_tokens: the most tokens of one side of a batch, padding included.
        accumulate: micro-batches that a batch is cut into.
        steps: updates.
        schedule: of the rate after its warm-up: the paper's root, or a cosine to 0.
        learning_rate: at its peak.
        warmup_steps: of its linear rise.
        beta_2: of Adam.
        weight_decay: of matrices, decoupled.
        clip: largest norm of all gradients together.
        ema: momentum of the weights' moving average; 0 for none.
        remat: recompute activations instead of keeping them.
        eval_every: updates between evaluations and checkpoints.
        num_beams: of beam search.
        length_penalty: its α.
        test_sentences: to translate at the end, at most.
    """

    dataset: str = "multi30k"
    out: Path = Path("runs/translation")
    source: str = "en"
    target: str = "de"
    vocab_size: int = 6000
    num_layers: int = 3
    num_heads: int = 4
    width: int = 256
    feed_forward_width: int = 512
    context_length: int = 128
    dropout: float = 0.2
    label_smoothing: float = 0.1
    batch_tokens: int = 2048
    accumulate: int = 1
    steps: int = 4000
    schedule: Literal["inverse_sqrt", "cosine"] = "cosine"
    learning_rate: float = 2e-3
    warmup_steps: int = 400
    beta_2: float = 0.98
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.99
    remat: bool = False
    eval_every: int = 250
    num_beams: int = 5
    length_penalty: float = 0.6
    test_sentences: int = 1000


MULTI30K = Config()
VARIANTS = {
    "demo": replace(
        MULTI30K,
        dataset="animal_sentences",
        vocab_size=600,
        num_layers=2,
        width=64,
        feed_forward_width=128,
        context_length=64,
        dropout=0.1,
        batch_tokens=1024,
        steps=1000,
        warmup_steps=100,
        ema=0.98,
        eval_every=100,
    ),
    "multi30k": MULTI30K,
    "multi30k_paper": replace(MULTI30K, schedule="inverse_sqrt", ema=0.998),
    # Vaswani et al. 2017, table 3 and section 5: WMT 2014, for eight GPUs.
    "base": replace(
        MULTI30K,
        dataset="parallel",
        vocab_size=37000,
        num_layers=6,
        num_heads=8,
        width=512,
        feed_forward_width=2048,
        context_length=256,
        dropout=0.1,
        batch_tokens=25_000,
        steps=100_000,
        schedule="inverse_sqrt",
        learning_rate=(512 * 4000) ** -0.5,
        warmup_steps=4000,
        ema=0.9999,
        eval_every=2000,
        test_sentences=3003,
    ),
}


def optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Adam as in section 5.3 of the paper, with clipping and averaged weights."""
    warmup = min(config.warmup_steps, max(config.steps // 10, 1))
    rate: Any = WarmupInverseSqrt(config.learning_rate, warmup)
    if config.schedule == "cosine":
        rate = WarmupCosine(config.learning_rate, config.steps, warmup)
    return keras.optimizers.AdamW(
        rate,
        beta_1=0.9,
        beta_2=config.beta_2,
        epsilon=1e-9,
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )


def main(config: Config) -> dict:
    """Trains, translates the test, scores it; returns the summary."""
    if config.smoke:
        config = replace(config, num_layers=1, num_heads=2, width=16, vocab_size=300)
        config = replace(config, feed_forward_width=16, steps=2, eval_every=1)
        config = replace(config, test_sentences=4, num_beams=2)
    run = Run(config)
    text = zoo.data.load(
        config.dataset,
        config.data_dir,
        expect=ParallelText,
        source=config.source,
        target=config.target,
        on_bad=config.on_bad,
    )
    run.start({"dataset": text.sha256})
    tokenizer = train_joint_bpe(text.train, config.vocab_size)
    train, validation = (
        TokenPairs.of(part, tokenizer, config.context_length)
        for part in (text.train, text.validation)
    )
    batches = PairBatches(train, config.batch_tokens, seed=config.seed)
    held_out = list(pairs_once(validation, config.batch_tokens))
    model = Transformer(
        TransformerConfig(
            tokenizer.vocab_size,
            config.context_length,
            config.num_layers,
            config.num_heads,
            config.width,
            config.feed_forward_width,
            dropout=config.dropout,
            label_smoothing=config.label_smoothing,
            pad_id=tokenizer.pad_id,
            begin_id=tokenizer.cls_id,
            end_id=tokenizer.sep_id,
            remat=config.remat,
        )
    )
    model.tokenizer = tokenizer
    model.compile(optimizer(config), accumulate=config.accumulate)
    print(
        f"{model.count_params():,} parameters, {len(train):,} pairs of "
        f"{config.dataset}, {batches.steps_per_epoch} batches an epoch, "
        f"{keras.config.backend()} backend"
    )

    def evaluate() -> dict:
        once = iter(held_out)
        with model.averaged_weights(needed=False):
            return model.evaluate(
                once, steps=len(held_out), verbose=0, return_dict=True
            )

    run.fit(
        model,
        batches.batches,
        updates=config.steps,
        evaluate_every=config.eval_every,
        evaluate=evaluate,
        batch_tokens=batches.target_tokens,
    )
    with model.averaged_weights(needed=False):
        model.save_to_preset(run.out / "preset")
        pairs = (text.test or text.validation)[: config.test_sentences]
        figures, table = translated(config, model, pairs)
        draw_attention(run.out / "attention.png", model, pairs[0][0])
    run.write_json("translations.json", table)
    updates = [row["update"] for row in run.rows]
    loss_curves(
        run.out / "loss.png",
        updates,
        {
            "training, smoothed": run.curve("loss"),
            "training": run.curve("nats"),
            "validation": run.curve("val_nats"),
        },
        title=f"Transformer on {config.dataset} ({config.variant})",
    )
    summary = run.finish(
        **figures,
        test_sentences=len(pairs),
        left_out=train.left_out,
        parameters=model.count_params(),
        dataset=config.dataset,
        dataset_sha256=text.sha256,
        vocab_size=tokenizer.vocab_size,
    )
    for row in table[:5]:
        print("\n" + "\n".join(f"{name:>9}  {line}" for name, line in row.items()))
    print(
        f"\nBLEU {summary['bleu']:.2f} with {config.num_beams} beams, "
        f"{summary['greedy_bleu']:.2f} greedily ({summary['bleu_signature']}); "
        f"see {run.out}"
    )
    return summary


def translated(config: Config, model: Transformer, pairs) -> tuple[dict, list[dict]]:
    """Figures of both ways to translate, and all translations."""
    sources, references = map(list, zip(*pairs, strict=True))
    ways: dict[str, dict[str, Any]] = {
        "greedy": {},
        "beam": {
            "num_beams": config.num_beams,
            "length_penalty": config.length_penalty,
        },
    }
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


def draw_attention(path: Path, model: Transformer, sentence: str) -> None:
    """Where the last block looks, the mean over its heads, as it writes greedily."""
    # Ids, since not all that a model may write is text that encodes to the same.
    source = model.tokenizer.encode(sentence)
    target = model.generate(source)
    columns, rows = ([model.tokenizer.decode([i]) for i in x] for x in (source, target))
    shares = np.mean(model.attention_maps(source, target)[-1], axis=0)
    attention_map(
        path,
        shares,
        # A row is what is seen when its token is to be written.
        [*rows, "(end)"],
        [*columns, "(end)"],
        title="Cross-attention of the last block",
    )


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
