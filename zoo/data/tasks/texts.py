"""The text of labelled examples."""

from zoo.data.tasks.labelled import LabelledText, Question, TaggedWords


def texts_of(examples: tuple) -> list[str]:
    """All text of labelled examples, to train a tokenizer on."""
    found = []
    for example in examples:
        match example:
            case LabelledText():
                found += [example.text, example.pair or ""]
            case TaggedWords():
                found.append(" ".join(example.words))
            case Question():
                found += [example.question, example.context]
    return found
