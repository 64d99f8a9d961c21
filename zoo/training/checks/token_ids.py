"""The token ids that a model knows."""

from typing import Any

from zoo.training.checks.ranges import Range


def token_range(token_ids: Any, config: Any, name: str = "Token ids") -> Range:
    """The range of token ids that a model with this configuration takes.

    Args:
        token_ids: the ids, of any shape.
        config: has `vocab_size`.
        name: what the error calls the ids.
    """
    hint = (
        "Was the text encoded with another tokenizer? "
        f"{type(config).__name__}(vocab_size=tokenizer.vocab_size) fits."
    )
    field = f"vocab_size={config.vocab_size}"
    return Range(name, token_ids, 0, config.vocab_size - 1, field=field, hint=hint)
