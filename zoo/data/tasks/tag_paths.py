"""The likeliest tags of a sentence's words, of those that make whole entities.

Word by word, the likeliest tags may begin an entity inside, as O, I-PER: such paths are
left out of the search (Viterbi 1967).

Shapes: W words, C tags.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from zoo.data.tasks.questions import IMPOSSIBLE


class TagPaths:
    """Which tag may follow which.

    An I-TYPE follows B-TYPE or I-TYPE alone, unless the known tags have others: where
    entities begin with I-TYPE (the original CoNLL files), all paths may be taken.

    Args:
        names: Of the tags: O, B-TYPE or I-TYPE.
        known: Some sentences' tags, by number, to see how they begin entities.
    """

    def __init__(self, names: Sequence[str], known: Iterable[Sequence[int]]) -> None:
        inside = np.array([name.startswith("I-") for name in names])
        kinds = np.array([name.partition("-")[2] for name in names])
        self._follows = ~inside | (kinds[:, None] == kinds)  # O is of no kind
        self._begins = ~inside
        if not all(self._fits(np.asarray(tags)) for tags in known):
            self._follows[:], self._begins[:] = True, True

    def best(self, scores: np.ndarray) -> np.ndarray:
        """The path of the highest sum.

        Args:
            scores: Log-probabilities of each word's tags, (W, C).

        Returns:
            A tag a word, by number, (W,).
        """
        count = scores.shape[-1]  # tags that nothing was learned of may be missing
        follows = np.where(self._follows[:count, :count], 0.0, IMPOSSIBLE)
        path = np.zeros(len(scores), int)
        if not len(scores):
            return path
        sums = np.where(self._begins[:count], scores[0], IMPOSSIBLE)
        before = []
        for word in scores[1:]:
            paths = sums[:, None] + follows
            before.append(paths.argmax(axis=0))
            sums = paths.max(axis=0) + word
        path[-1] = sums.argmax()
        for place in range(len(before), 0, -1):
            path[place - 1] = before[place - 1][path[place]]
        return path

    def _fits(self, tags: np.ndarray) -> bool:
        begins = self._begins[tags[:1]].all()
        return bool(begins and self._follows[tags[:-1], tags[1:]].all())
