"""Questions and windows of their texts as sequences, and the answers found in them.

Devlin et al. 2019, sections 4.2 and 4.3, and its `run_squad.py`.

Shapes: Q questions, N windows, K tokens in all texts, T tokens per window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.data.tasks.labelled import Question
from zoo.data.text.sequences import Sequences
from zoo.tokenizers.tokenizer import Tokenizer

# The score of padding and of forbidden choices; its exponential is 0 in float32.
IMPOSSIBLE = -1e9


def best_spans(
    start_logits: np.ndarray, end_logits: np.ndarray, max_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the span in each window with the largest sum of start and end logits.

    Args:
        start_logits: of shape (N, T); -inf where no span may start.
        end_logits: of shape (N, T); -inf where no span may end.
        max_length: the longest span, in tokens.

    Returns:
        The first and last token of each span, int32 of shape (N, 2), and the sums, of
        shape (N,).
    """
    count, length = start_logits.shape
    rows = np.arange(count)
    spans: np.ndarray = np.zeros((count, 2), "int32")
    best = np.full(count, -np.inf, start_logits.dtype)
    for more in range(min(max_length, length)):
        sums = start_logits[:, : length - more] + end_logits[:, more:]
        first = sums.argmax(axis=1)
        better = sums[rows, first] > best
        best[better] = sums[rows, first][better]
        spans[better] = np.stack([first, first + more], axis=1)[better]
    return spans, best


@dataclass(frozen=True, eq=False)
class QuestionWindows(Sequences):
    """[CLS] question [SEP] window [SEP], for each window of each question's text.

    Attributes:
        questions: all questions.
        owners: the number of each window's question, ascending, of shape (N,).
        positions: the columns of the answer's first and last token, or 0 and 0 ([CLS])
            if a window does not hold the whole answer; int32 of shape (N, 2).
        offsets: the characters of its text at which each token begins and ends, of
            shape (K, 2).
    """

    questions: Sequence[Question] = field(repr=False, kw_only=True)
    owners: np.ndarray = field(repr=False, kw_only=True)
    positions: np.ndarray = field(repr=False, kw_only=True)
    offsets: np.ndarray = field(repr=False, kw_only=True)

    def batch(self, rows: np.ndarray, length: int | None = None) -> tuple:
        """Returns (inputs, positions) for `fit`, with inputs as in `pack`."""
        return self.pack(rows, length), self.positions[rows]

    def answers(
        self, start_logits: np.ndarray, end_logits: np.ndarray, max_tokens: int = 30
    ) -> tuple[list[str], np.ndarray]:
        """Returns the likeliest answer to each question, and how it compares to none.

        Over all windows of the text, this is the span with the highest sum of the start
        logit of its first token and the end logit of its last. A start counts only in
        the window that has the most context around the token.

        Args:
            start_logits: each token's logit of starting the answer, of shape (N, T).
            end_logits: each token's logit of ending the answer, of shape (N, T).
            max_tokens: the longest answer, in tokens.

        Returns:
            The answers, as spelled in the texts; and per question the sum of [CLS]'s
            logits, the lowest over its windows, minus the answer's sum, of shape (Q,).
            The higher it is, the likelier the text holds no answer.

        Raises:
            ValueError: the logits have another shape.
        """
        shape = (len(self), self.length)
        if start_logits.shape != shape or end_logits.shape != shape:
            raise ValueError(
                f"logits must have the shape {shape}, windows and tokens, got "
                f"{start_logits.shape} and {end_logits.shape}."
            )
        sources = self.sources(np.arange(len(self)))
        context = (sources >= self.starts[:, 1:]) & (sources < self.stops[:, 1:])
        begins = np.where(context & self._widest(sources), start_logits, -np.inf)
        ends = np.where(context, end_logits, -np.inf)
        spans, best = best_spans(begins, ends, max_tokens)
        texts, scores = [], []
        nothing = start_logits[:, 0] + end_logits[:, 0]
        for question, windows in zip(self.questions, self._by_question(), strict=True):
            window = windows[best[windows].argmax()]
            token, end = sources[window, spans[window]]
            found = slice(self.offsets[token, 0], self.offsets[end, 1])
            texts.append(question.context[found] if best[window] > -np.inf else "")
            scores.append(nothing[windows].min() - best[window])
        return texts, np.array(scores)

    def _by_question(self) -> Iterator[np.ndarray]:
        firsts = np.searchsorted(self.owners, np.arange(1, len(self.questions)))
        return iter(np.split(np.arange(len(self)), firsts))

    def _widest(self, sources: np.ndarray) -> np.ndarray:
        """Tells whether a token has the most context in its window, bool (N, T)."""
        begin, end = self.starts[:, 1:], self.stops[:, 1:]
        around = np.minimum(sources - begin, end - 1 - sources) + 0.01 * (end - begin)
        widest: np.ndarray = np.zeros(sources.shape, bool)
        for windows in self._by_question():
            low, high = begin[windows[0], 0], end[windows[-1], 0]
            score = np.full((len(windows), high - low), -1.0)
            for row, window in enumerate(windows):
                inside = (sources[window] >= begin[window]) & (
                    sources[window] < end[window]
                )
                score[row, sources[window, inside] - low] = around[window, inside]
            best = score.argmax(axis=0)
            for row, window in enumerate(windows):
                tokens = np.clip(sources[window] - low, 0, max(high - low - 1, 0))
                widest[window] = best[tokens] == row if len(best) else False
        return widest


def question_windows(
    questions: Sequence[Question],
    tokenizer: Tokenizer,
    length: int,
    *,
    stride: int = 128,
    max_question: int = 64,
    num_segments: int = 2,
) -> QuestionWindows:
    """Cuts each question's text into windows.

    Args:
        questions: the questions; of several answers, the first is the target.
        tokenizer: the tokenizer to encode them with.
        length: T.
        stride: the distance between the starts of two windows, in tokens.
        max_question: the most tokens of a question; further ones are cut off.
        num_segments: the model's number of segments, see `Sequences`.

    Raises:
        ValueError: T leaves no room for the text, windows would skip tokens, or there
            are no questions.
    """
    special = 2 + tokenizer.separators
    room = length - special - max_question
    if not 1 <= stride <= room:
        raise ValueError(
            f"stride must be from 1 to length - {special} - max_question = {room}, so "
            f"that windows overlap, got stride={stride}, length={length}, "
            f"max_question={max_question}."
        )
    texts: dict[str, slice] = {}
    tokens, offsets = [], []
    size = 0
    for text in (t for q in questions for t in (q.question, q.context)):
        if text not in texts:
            ids, places = tokenizer.encode_with_offsets(text)
            texts[text] = slice(size, size + len(ids))
            tokens.append(ids)
            offsets.append(places)
            size += len(ids)
    if not tokens:
        raise ValueError("There must be at least one question, got none.")
    all_offsets = np.concatenate(offsets)
    starts, stops, owners, positions = [], [], [], []
    for owner, question in enumerate(questions):
        asked, read = texts[question.question], texts[question.context]
        end = min(asked.stop, asked.start + max_question)
        room = length - special - (end - asked.start)
        first, last = _answer(question, all_offsets[read]) + read.start
        column = special - 1 + end - asked.start  # the window's first token
        for begin in range(
            read.start, max(read.stop - room, read.start) + stride, stride
        ):
            stop = min(begin + room, read.stop)
            starts.append((asked.start, begin))
            stops.append((end, stop))
            owners.append(owner)
            held = question.answers and begin <= first <= last < stop
            place = (first - begin + column, last - begin + column)
            positions.append(place if held else (0, 0))
    return QuestionWindows(
        np.concatenate(tokens),
        np.array(starts),
        np.array(stops),
        length,
        tokenizer,
        num_segments=num_segments,
        questions=tuple(questions),
        owners=np.array(owners),
        positions=np.array(positions, np.int32),
        offsets=all_offsets,
    )


def _answer(question: Question, offsets: np.ndarray) -> np.ndarray:
    """Returns the first and last token of the first answer; past the end if none."""
    if not question.answers:
        return np.array([len(offsets), len(offsets)])
    begin = question.starts[0]
    end = begin + len(question.answers[0])
    first = np.searchsorted(offsets[:, 1], begin, "right")
    return np.array([first, np.searchsorted(offsets[:, 0], end) - 1])
