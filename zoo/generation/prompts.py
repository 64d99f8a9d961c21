"""Prompts that show a task by examples (Brown et al. 2020, figure 2.1)."""

from collections.abc import Sequence


def few_shot(
    query: str,
    instruction: str = "",
    examples: Sequence[tuple[str, str]] = (),
    *,
    arrow: str = " => ",
    separator: str = "\n",
) -> str:
    r"""A prompt that ends where the model has to go on.

    Without examples it is zero-shot, with one one-shot, with more few-shot.

    Args:
        query: the input to be answered.
        instruction: says the task in words; may be left out.
        examples: pairs of an input and its answer.
        arrow: between an input and its answer.
        separator: between lines; also a good `stop` for `generate`.

    >>> few_shot("cheese", "Translate English to French:", [("sea otter", "loutre")])
    'Translate English to French:\nsea otter => loutre\ncheese =>'
    """
    for example in examples:
        if isinstance(example, str) or len(example) != 2:
            raise ValueError(
                f"An example is a pair (input, answer). Received: {example!r}"
            )
    lines = [instruction] if instruction else []
    lines += [f"{given}{arrow}{answer}" for given, answer in examples]
    lines.append(f"{query}{arrow.rstrip()}")
    return separator.join(lines)
