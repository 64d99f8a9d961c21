"""A seed drawn before it is used."""

import keras


class DrawnSeed(keras.random.SeedGenerator):
    """A seed that was drawn already; it gives the same numbers at each use.

    A rematerialised block runs twice and has to drop the same units both times, and
    must not advance a generator from within.
    """

    def __init__(self, value) -> None:
        self.value = value
        self._initial_seed = 0

    def next(self, ordered: bool = True):
        """The drawn value."""
        del ordered
        return self.value
