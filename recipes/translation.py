r"""Train a Transformer to translate, from parallel text to BLEU.

    zoo train translation                      # a small grammar, minutes
    zoo train translation --variant multi30k --data-dir data/
    zoo train translation --variant multi30k --data-dir data/ \
        --dataset parallel --source fr --target en     # your own files

Sentences are read from `train.en` and `train.de`, one per line, and from the `val` and
`test_2016_flickr` files in the same way; names may end in `.gz`. The summary has BLEU
and chrF on the test set, with greedy and beam search, and sacrebleu's signatures, which
make the scores comparable.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from zoo.data import (
    PairBatches,
    ParallelText,
    TokenPairs,
    pairs_once,
    train_joint_bpe,
)
from zoo.evaluation.text.translated_pairs import (
    draw_cross_attention,
    translate_pairs,
)
from zoo.models.language.transformer import Transformer, TransformerConfig
from zoo.training import WarmupCosine, WarmupInverseSqrt
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, TextRunConfig

from ._shared import (
    AverageConfig,
    StepsConfig,
    announce,
    average,
    draw_curves,
    evaluation_of_batches,
    fit_steps,
    load,
    replace,
    smoke,
)


@dataclass(frozen=True)
class Config(StepsConfig, AverageConfig, TextRunConfig):
    """A Transformer, its languages and its training.

    Attributes:
        source: language to translate from, as in the file names.
        target: language to translate to, as in the file names.
        vocab_size: size of the byte-level BPE vocabulary trained on both languages.
        context_length: maximum tokens per sentence; longer pairs are left out.
        batch_tokens: maximum tokens per batch in each language, including padding.
        schedule: learning rate decay after warm-up: the paper's inverse square root,
            or a cosine to zero.
        beta_2: beta_2 of Adam.
        num_beams: number of beams in beam search.
        length_penalty: length penalty of beam search, α.
        test_sentences: maximum number of test sentences to translate at the end.
    """

    dataset: str = "multi30k"
    out: Path = Path("runs/translation")
    source: str = "en"
    target: str = "de"
    model: TransformerConfig = flags(
        TransformerConfig(6000, 128, 3, 4, 256, 512, dropout=0.2),
        *("vocab_size", "num_layers", "num_heads", "width", "feed_forward_width"),
        *("context_length", "dropout", "label_smoothing", "remat"),
    )
    batch_tokens: int = 2048
    steps: int = 4000
    schedule: Literal["inverse_sqrt", "cosine"] = "cosine"
    learning_rate: float = 2e-3
    warmup_steps: int = 400
    beta_2: float = 0.98
    weight_decay: float = 0.0
    ema: float = 0.99
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
        **average(config.ema),
    )


def main(config: Config) -> dict:
    """Trains, translates the test set and scores it; returns the summary."""
    config = smoke(
        config,
        **{"num_layers": 1, "num_heads": 2, "width": 16, "feed_forward_width": 16},
        **{"vocab_size": 300, "test_sentences": 4, "num_beams": 2},
        **{"steps": 2, "eval_every": 1},
    )
    run = Run(config)
    text = load(config, ParallelText, source=config.source, target=config.target)
    run.start({"dataset": text.sha256})
    tokenizer = train_joint_bpe(text.train, config.model.vocab_size)
    train, validation = (
        TokenPairs.of(part, tokenizer, config.model.context_length)
        for part in (text.train, text.validation)
    )
    batches = PairBatches(train, config.batch_tokens, seed=config.seed)
    held_out = list(pairs_once(validation, config.batch_tokens))
    model = Transformer(
        replace(
            config.model,
            vocab_size=tokenizer.vocab_size,
            pad_id=tokenizer.pad_id,
            begin_id=tokenizer.cls_id,
            end_id=tokenizer.sep_id,
        )
    )
    model.tokenizer = tokenizer
    model.compile(optimizer(config), accumulate=config.accumulate)
    announce(
        model,
        f"{len(train):,} pairs of {config.dataset}, {batches.steps_per_epoch} batches "
        "per epoch",
    )
    evaluate = evaluation_of_batches(model, held_out)

    def samples() -> dict[str, str]:
        shown = [source for source, _ in text.validation[:3]]
        found = zip(shown, model.generate(shown), strict=True)
        return {"translations": "\n".join(f"{a}\n  {b}" for a, b in found)}

    fit_steps(
        *(run, config, model, batches.batches, evaluate, batches.target_tokens),
        monitor="val_nats",
        samples=samples,
    )
    with model.averaged_weights(needed=False):
        model.save_to_preset(run.out / "preset")
        pairs = (text.test or text.validation)[: config.test_sentences]
        beam = {"num_beams": config.num_beams, "length_penalty": config.length_penalty}
        figures, table = translate_pairs(model, pairs, greedy={}, beam=beam)
        draw_cross_attention(run.out / "attention.png", model, pairs[0][0])
    run.write_json("translations.json", table)
    curves = {
        "training, smoothed": "loss",
        "training": "nats",
        "validation": "val_nats",
    }
    draw_curves(run, curves, "Transformer")
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
        f"{summary['greedy_bleu']:.2f} greedy ({summary['bleu_signature']}); "
        f"see {run.out}"
    )
    return summary


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
