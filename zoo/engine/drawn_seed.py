"""A seed that is drawn before it is used."""

from typing import Any

import keras


class DrawnSeed(keras.random.SeedGenerator):
    """A seed that was already drawn, and gives the same numbers at each use.

    A rematerialized block runs twice. It must drop the same units both times, and must
    not advance a generator from inside.

    Args:
        value: the drawn seed.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._initial_seed = 0

    def next(self, ordered: bool = True) -> Any:
        """The drawn value."""
        del ordered
        return self.value
