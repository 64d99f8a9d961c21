"""Prompts that demonstrate a task by examples (Brown et al. 2020, figure 2.1)."""

from collections.abc import Sequence


def few_shot(
    query: str,
    instruction: str = "",
    examples: Sequence[tuple[str, str]] = (),
    *,
    arrow: str = " => ",
    separator: str = "\n",
) -> str:
    r"""A prompt that ends where the model should continue.

    It is zero-shot without examples, one-shot with one, few-shot with more.

    Args:
        query: the input to answer.
        instruction: a description of the task; may be empty.
        examples: pairs of an input and its answer.
        arrow: text between an input and its answer.
        separator: text between lines; also a good `stop` for `generate`.

    Raises:
        ValueError: an example is not a pair.

    >>> few_shot("cheese", "Translate English to French:", [("sea otter", "loutre")])
    'Translate English to French:\nsea otter => loutre\ncheese =>'
    """
    for example in examples:
        if isinstance(example, str) or len(example) != 2:
            raise ValueError(
                f"An example must be a pair (input, answer), got {example!r}."
            )
    lines = [instruction] if instruction else []
    lines += [f"{given}{arrow}{answer}" for given, answer in examples]
    lines.append(f"{query}{arrow.rstrip()}")
    return separator.join(lines)
