"""Questions and stretches of their texts as sequences, and answers found in them.

Devlin et al. 2019, sections 4.2 and 4.3, and its `run_squad.py`.

Shapes: Q questions, N windows, K tokens of all texts, T tokens of a window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.data.tasks.labelled import Question
from zoo.data.text.sequences import Sequences
from zoo.tokenizers.tokenizer import Tokenizer

# The score of a place that is padding; its exponential is 0 in float32.
IMPOSSIBLE = -1e9


def best_spans(
    start_logits: np.ndarray, end_logits: np.ndarray, max_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of all spans of at most `max_length` tokens, those of the largest sum of logits.

    Args:
        start_logits: (N, T); -inf where no span may start.
        end_logits: (N, T); likewise.
        max_length: in tokens.

    Returns:
        First and last tokens (N, 2), int32, and the sums (N,).
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
    """[CLS] question [SEP] a stretch of its text [SEP], for each stretch of it.

    Attributes:
        questions: All questions.
        owners: The number of each window's question, in rising order, (N,).
        positions: The columns of the answer's first and last token, 0 and 0 ([CLS])
            where a window does not hold all of it; int32, (N, 2).
        offsets: The characters of its text at which each token begins and ends, (K, 2).
    """

    questions: Sequence[Question] = field(repr=False, kw_only=True)
    owners: np.ndarray = field(repr=False, kw_only=True)
    positions: np.ndarray = field(repr=False, kw_only=True)
    offsets: np.ndarray = field(repr=False, kw_only=True)

    def batch(self, rows: np.ndarray, length: int | None = None) -> tuple:
        """(inputs, positions) as `fit` takes them."""
        return self.pack(rows, length), self.positions[rows]

    def answers(
        self, start_logits: np.ndarray, end_logits: np.ndarray, max_tokens: int = 30
    ) -> tuple[list[str], np.ndarray]:
        """The likeliest answer to each question, and how much likelier there is none.

        Of all stretches of the text in all its windows, the one of which the first
        token's start logit and the last token's end logit have the highest sum. A
        token counts in the window alone where most of the text is around it.

        Args:
            start_logits: Of each token to be an answer's first, (N, T).
            end_logits: To be its last, (N, T).
            max_tokens: The longest answer.

        Returns:
            The answers, as they stand in the texts; and for each question the sum of
            [CLS]'s logits, the lowest of its windows, less the answer's sum: (Q,).
        """
        shape = (len(self), self.length)
        if start_logits.shape != shape or end_logits.shape != shape:
            raise ValueError(
                f"logits are of shape {start_logits.shape} and {end_logits.shape}; "
                f"expected {shape}, windows and tokens of each"
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
        """Whether no other window has more text to both sides of a token, (N, T)."""
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
        questions: The questions; of several answers the first one is learned.
        tokenizer: What encodes them.
        length: T.
        stride: Tokens from the beginning of one window to the next one's.
        max_question: Tokens of a question; others are left out.
        num_segments: Of the model, see `Sequences`.

    Raises:
        ValueError: T leaves no room for the text, or windows would leave out tokens.
    """
    special = 2 + tokenizer.separators
    room = length - special - max_question
    if not 1 <= stride <= room:
        raise ValueError(
            f"stride={stride}, length={length}, max_question={max_question}; expected "
            f"a stride from 1 to length - {special} - max_question, so that windows "
            "overlap"
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
        raise ValueError("there are no questions; expected at least one")
    all_offsets = np.concatenate(offsets)
    starts, stops, owners, positions = [], [], [], []
    for owner, question in enumerate(questions):
        asked, read = texts[question.question], texts[question.context]
        end = min(asked.stop, asked.start + max_question)
        room = length - special - (end - asked.start)
        first, last = _answer(question, all_offsets[read]) + read.start
        column = special - 1 + end - asked.start  # of the window's first token
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
    """The first and last token of the first answer; past the end if there is none."""
    if not question.answers:
        return np.array([len(offsets), len(offsets)])
    begin = question.starts[0]
    end = begin + len(question.answers[0])
    first = np.searchsorted(offsets[:, 1], begin, "right")
    return np.array([first, np.searchsorted(offsets[:, 0], end) - 1])
