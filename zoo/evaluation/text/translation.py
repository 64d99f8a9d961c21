"""BLEU and chrF of translations, computed by `sacrebleu`.

Papineni et al. 2002; Popović 2015; Post 2018 on why scores need a signature.
"""

from collections.abc import Sequence


def translation_metrics(
    translations: Sequence[str], references: Sequence[str]
) -> dict[str, float | str]:
    """Corpus BLEU and chrF of translations against one reference each.

    Args:
        translations: plain text, one per sentence; `sacrebleu` splits it into words.
        references: one reference per translation.

    Returns:
        `bleu` and `chrf`, from 0 to 100; and `bleu_signature` and `chrf_signature`,
        without which such scores are not comparable.

    Raises:
        ValueError: there are no translations, or not one reference for each.
    """
    from sacrebleu.metrics import BLEU, CHRF

    if len(translations) != len(references) or not len(references):
        raise ValueError(
            "There must be one reference for each translation, and at least one, got "
            f"{len(translations)} translations for {len(references)} references."
        )
    found: dict[str, float | str] = {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        score = metric.corpus_score(list(translations), [list(references)])
        found[name] = float(score.score)
        found[f"{name}_signature"] = str(metric.get_signature())
    return found
