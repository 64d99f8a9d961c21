"""The likeliest valid tags of a sentence's words.

The likeliest tag of each word by itself may start an entity in the middle, as in
O, I-PER. Such paths are left out of the search (Viterbi 1967).

Shapes: W words, C tags.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from zoo.data.tasks.questions import IMPOSSIBLE


class TagPaths:
    """The valid paths of tags, and the search for the best.

    I-TYPE must follow B-TYPE or I-TYPE. If the known tags do not keep to this, because
    entities begin with I-TYPE (as in the original CoNLL files), all paths are valid.

    Args:
        names: the names of the tags: O, B-TYPE or I-TYPE.
        known: the tags of some sentences, by number, which show how entities begin.
    """

    def __init__(self, names: Sequence[str], known: Iterable[Sequence[int]]) -> None:
        inside = np.array([name.startswith("I-") for name in names])
        kinds = np.array([name.partition("-")[2] for name in names])
        self._follows = ~inside | (kinds[:, None] == kinds)  # the kind of O is ""
        self._begins = ~inside
        if not all(self._fits(np.asarray(tags)) for tags in known):
            self._follows[:], self._begins[:] = True, True

    def best(self, scores: np.ndarray) -> np.ndarray:
        """Finds the valid path with the highest sum of scores.

        Args:
            scores: the log-probabilities of each word's tags, of shape (W, C).

        Returns:
            The number of each word's tag, of shape (W,).
        """
        count = scores.shape[-1]  # tags that did not occur in training may be missing
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
