"""What models of texts make of a few held-out texts, as lines for people to read.

Shapes: B texts, T tokens, M masked positions, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo.data.tasks.labelled import LabelledText
from zoo.data.text.sequences import Sequences
from zoo.engine.tensors import Tensor
from zoo.evaluation.text.tasks import outputs
from zoo.models.bert.electra import Electra
from zoo.models.bert.pretrainer import BertPretrainer
from zoo.models.language.elmo import INPUTS, ELMo
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.batched import Batched

NO_ANSWER = "(no answer)"
LONGEST = 160  # characters of a text in a line
MASKED_INPUTS = ("token_ids", "segment_ids", "padding_mask", "mask_positions")


class FilledMasks:
    """Held-out texts with the tokens that a model puts in place of masks.

    Each masked place is shown in brackets: `[cat]` where the model is right, and
    `[dog, not cat]` where it is not.

    Args:
        model: the model, with a tokenizer; of an Electra, its generator is asked.
        masked: a batch of `masked_once`.
        count: the number of texts.
    """

    def __init__(
        self,
        model: BertPretrainer | Electra,
        masked: Mapping[str, np.ndarray],
        count: int = 4,
    ) -> None:
        self.model = model
        self.masked = {name: rows[:count] for name, rows in masked.items()}

        def logits(*arrays: Tensor) -> Tensor:
            inputs = dict(zip(MASKED_INPUTS, arrays, strict=True))
            if isinstance(model, Electra):
                places = inputs.pop("mask_positions")
                return model.generator(inputs, places)
            return model(inputs)["mlm_logits"]

        self._logits = Batched(logits, lambda: model.variables)

    def __call__(self) -> dict[str, str]:
        """The texts as they are filled now."""
        logits = self._logits(*(self.masked[name] for name in MASKED_INPUTS))
        found = logits.argmax(axis=-1)
        texts = [self._text(row, tokens) for row, tokens in enumerate(found)]
        return {"filled_masks": "\n\n".join(texts)}

    def _text(self, row: int, found: np.ndarray) -> str:
        tokenizer: Tokenizer = self.model.tokenizer
        ids, mask = self.masked["token_ids"][row], self.masked["padding_mask"][row]
        counts = self.masked["mask_weights"][row] > 0
        places = self.masked["mask_positions"][row][counts]
        truth, found = self.masked["mask_ids"][row][counts], found[counts]
        text, begin, end = "", 1, int(mask.sum()) - 1  # within [CLS] and [SEP]
        for place, right, token in zip(places, truth, found, strict=True):
            said, wanted = (_token(tokenizer, number) for number in (token, right))
            shown = f"[{said}]" if token == right else f"[{said}, not {wanted}]"
            text = _joined(text, self._run(ids[begin:place]))
            text = _joined(text, shown, within=wanted.startswith("##"))
            begin = place + 1
        return _joined(text, self._run(ids[begin:end])).strip()

    def _run(self, ids: np.ndarray) -> str:
        """The text of tokens between masks; "##" marks one that continues a word."""
        if not len(ids):
            return ""
        text = self.model.tokenizer.decode(ids).strip().removeprefix("##")
        return "##" * _token(self.model.tokenizer, ids[0]).startswith("##") + text


class GuessedWords:
    """Held-out texts, and the words that an ELMo expects in each of their places.

    Args:
        model: the model, with a tokenizer.
        sequences: held-out sequences.
        count: the number of texts.
    """

    def __init__(self, model: ELMo, sequences: Sequences, count: int = 4) -> None:
        self.model = model
        packed = sequences.pack(np.arange(min(count, len(sequences))))
        self.inputs = {name: packed[name] for name in INPUTS if name in packed}

        def logits(*arrays: Tensor) -> dict[str, Tensor]:
            return model(dict(zip(self.inputs, arrays, strict=True)))

        self._logits = Batched(logits, lambda: model.variables)

    def __call__(self) -> dict[str, str]:
        """The texts with the words expected from the left and from the right."""
        found = self._logits(*self.inputs.values())
        # A position's logits are of the word after it, and of the word before it.
        guessed = {
            "from the left": found["forward"].argmax(axis=-1)[:, :-2],
            "from the right": found["backward"].argmax(axis=-1)[:, 2:],
        }
        texts = []
        for row, ids in enumerate(self.inputs["token_ids"]):
            last = int(self.inputs["padding_mask"][row].sum()) - 2
            lines = {"text": ids[1:], **{k: v[row] for k, v in guessed.items()}}
            texts.append(self._table({k: v[:last] for k, v in lines.items()}))
        return {"expected_words": "\n\n".join(texts)}

    def _table(self, lines: Mapping[str, np.ndarray]) -> str:
        words = {
            name: [_token(self.model.tokenizer, number) for number in ids]
            for name, ids in lines.items()
        }
        columns = [
            max(map(len, column)) for column in zip(*words.values(), strict=True)
        ]
        names = max(map(len, words))
        return "\n".join(
            f"{name:{names}}  "
            + " ".join(
                f"{word:{width}}" for word, width in zip(row, columns, strict=True)
            ).rstrip()
            for name, row in words.items()
        )


def classified_texts(
    model: Any,
    examples: Sequence[LabelledText],
    sequences: Any,
    names: Sequence[str],
) -> list[str]:
    """A line for each text: its class by the model, and the right one if it is known.

    Args:
        model: with a method `predict_probabilities`.
        examples: the texts.
        sequences: the same, encoded.
        names: the names of the classes.
    """
    lines = []
    shares = outputs(sequences, model.predict_probabilities)
    for example, row in zip(examples, shares, strict=True):
        best, label = int(row.argmax()), example.label
        right = "" if label is None or best == label else names[int(label)]
        lines.append(_line(example, f"{names[best]} ({row[best]:.2f})", right))
    return lines


def valued_texts(
    model: Any, examples: Sequence[LabelledText], sequences: Any
) -> list[str]:
    """A line for each text: its value by the model, and the right one."""
    values = outputs(sequences, lambda x: model.predict(x, verbose=0)[:, 0])
    return [
        _line(example, f"{value:.3g}", f"{example.label:.3g}")
        for example, value in zip(examples, values, strict=True)
    ]


def tagged_texts(
    tags: Sequence[Sequence[str]], examples: Sequence[Any], names: Sequence[str]
) -> list[str]:
    """A line for each sentence: its words with their tags, other than O, by a model.

    Args:
        tags: the tags of each sentence's words by the model.
        examples: the sentences with their right tags.
        names: the names of the tags.
    """
    lines = []
    for given, example in zip(tags, examples, strict=True):
        words = []
        for word, tag, number in zip(example.words, given, example.tags, strict=True):
            right = names[number]
            said = tag if tag == right else f"{tag}, not {right}"
            words.append(word if said == "O" else f"{word} [{said}]")
        lines.append(" ".join(words))
    return lines


def answered_questions(texts: Sequence[str], examples: Sequence[Any]) -> list[str]:
    """A line for each question: the answer by a model, and the right one."""
    lines = []
    for text, example in zip(texts, examples, strict=True):
        right = example.answers or ("",)
        line = f"{example.question} → {text or NO_ANSWER}"
        lines.append(
            line if text in right else f"{line}; right: {right[0] or NO_ANSWER}"
        )
    return lines


def _joined(text: str, more: str, within: bool = False) -> str:
    """Both with a space between, unless the second continues a word of the first."""
    within = within or more.startswith("##")
    return text + ("" if within else " ") + more.removeprefix("##") if more else text


def _line(example: LabelledText, said: str, right: str) -> str:
    text = example.text if example.pair is None else f"{example.text} | {example.pair}"
    text = " ".join(text.split())
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    return f"{text} → {said}" + (f"; right: {right}" if right else "")


def _token(tokenizer: Tokenizer, number: int) -> str:
    return tokenizer.id_to_token(int(number)) or f"({number})"
