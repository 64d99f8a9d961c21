"""Fair timing: contenders take turns, so that a busy machine slows all of them."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """Something that trains.

    Attributes:
        run: takes n steps; returns the last loss, possibly still being computed.
        block: waits until that loss has been computed.
    """

    run: Callable[[int], object]
    block: Callable[[object], object] = float

    @classmethod
    def fitting(cls, model, batches: Iterator, loss: str = "loss") -> "Contender":
        """Calls `model.fit` as a user would, including its overhead.

        Args:
            model: a compiled model.
            batches: endless batches.
            loss: name of the loss in the history.
        """

        def run(steps: int) -> float:
            history = model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0)
            return history.history[loss][-1]

        return cls(run)


@dataclass(frozen=True)
class Result:
    """One contender's speed, and its ratio to the baseline in the same rounds."""

    tokens_per_second: float  # or images; median over rounds
    milliseconds_per_step: float  # median over rounds
    ratio: float  # median over rounds of speed relative to the baseline
    ratio_min: float
    ratio_max: float


def interleave(
    contenders: Mapping[str, Contender],
    baseline: str,
    tokens_per_step: int,
    rounds: int = 15,
    steps: int = 20,
    warmup: int = 5,
) -> dict[str, Result]:
    """Times `steps` steps of each contender in turn, `rounds` times over.

    A ratio compares two times of the same round, so that slow phases of a shared
    machine mostly cancel. The order is reversed every round, so that no contender
    always runs after the same one.
    """
    if baseline not in contenders:
        raise ValueError(f"baseline {baseline!r} is not one of {list(contenders)}")
    for contender in contenders.values():
        contender.block(contender.run(warmup))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds):
        names = list(contenders)
        for name in names if index % 2 == 0 else reversed(names):
            contender = contenders[name]
            start = time.perf_counter()
            contender.block(contender.run(steps))
            seconds[name].append((time.perf_counter() - start) / steps)
    results = {}
    for name, own in seconds.items():
        pairs = zip(seconds[baseline], own, strict=True)
        ratios = [theirs / ours for theirs, ours in pairs]
        results[name] = Result(
            tokens_per_second=tokens_per_step / statistics.median(own),
            milliseconds_per_step=1000 * statistics.median(own),
            ratio=statistics.median(ratios),
            ratio_min=min(ratios),
            ratio_max=max(ratios),
        )
    return results
