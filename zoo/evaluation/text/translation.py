"""BLEU and chrF of translations, as `sacrebleu` counts them.

Papineni et al. 2002; Popović 2015; Post 2018, for why a figure needs its signature.
"""

from collections.abc import Sequence


def translation_metrics(
    translations: Sequence[str], references: Sequence[str]
) -> dict[str, float | str]:
    """How near translations are to references, over all sentences together.

    Args:
        translations: Plain text, one a sentence; `sacrebleu` cuts it into words.
        references: One for each.

    Returns:
        `bleu` and `chrf`, from 0 to 100; and `bleu_signature` and `chrf_signature`,
        without which such figures don't compare.
    """
    from sacrebleu.metrics import BLEU, CHRF

    if len(translations) != len(references) or not len(references):
        raise ValueError(
            f"{len(translations)} translations for {len(references)} references; "
            "expected one for each, and some"
        )
    found: dict[str, float | str] = {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        score = metric.corpus_score(list(translations), [list(references)])
        found[name] = float(score.score)
        found[f"{name}_signature"] = str(metric.get_signature())
    return found
