"""Tables that say which of their weights make each of ours, and how.

Shapes: D width, H head width, M heads of keys and values, G query heads for each.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.files.stored_arrays import LazyArrays, shape_of
from zoo.presets import weights


@dataclass(frozen=True)
class Row:
    """One of our weights and what it is made of.

    Attributes:
        ours: our name; a star stands for the block's number.
        theirs: their names.
        transform: "" to take it as it is; "transpose"; "by_head", for projections of
            all queries, then all keys, then all values, which ours have head by head;
            "grouped", which joins the projections of queries, keys and values;
            "plus_one", for scales that they store as the difference from 1.
    """

    ours: str
    theirs: tuple[str, ...]
    transform: str = ""

    def at(self, block: int) -> "Row":
        """The row of one block."""
        ours, *theirs = (
            name.replace("*", str(block)) for name in (self.ours, *self.theirs)
        )
        return Row(ours, tuple(theirs), self.transform)


def rows_of(rows: Iterable[Row], num_layers: int) -> list[Row]:
    """The rows of a model with so many blocks."""
    found = []
    for row in rows:
        blocks = range(num_layers) if "*" in row.ours else range(1)
        found += [row.at(block) for block in blocks]
    return found


def inward(row: Row, theirs: list[np.ndarray], heads: tuple[int, int]) -> np.ndarray:
    """Our weight of theirs.

    Args:
        row: the weight's row.
        theirs: their weights.
        heads: M and G.
    """
    if row.transform == "grouped":
        shared, group = heads
        # (M, G or 1, H, ...): each head of keys beside its queries.
        parts = [
            x.reshape(shared, count, -1, *x.shape[1:])
            for x, count in zip(theirs, (group, 1, 1), strict=True)
        ]
        x = np.concatenate(parts, axis=1)
        return np.ascontiguousarray(x.reshape(-1, *x.shape[3:]).T)
    (x,) = theirs
    if row.transform == "transpose":
        x = x.T
    elif row.transform == "by_head":
        x = _swapped(x, (3, heads[0]))
    elif row.transform == "plus_one":
        x = x + np.ones((), x.dtype)
    return np.ascontiguousarray(x)


def outward(row: Row, ours: np.ndarray, heads: tuple[int, int]) -> list[np.ndarray]:
    """Their weights of ours: the inverse of `inward`."""
    if row.transform == "grouped":
        shared, group = heads
        x = ours.T.reshape(shared, group + 2, -1, *ours.shape[:-1])
        parts = np.split(x, (group, group + 1), axis=1)
        return [np.ascontiguousarray(p.reshape(-1, *p.shape[3:])) for p in parts]
    if row.transform == "transpose":
        ours = ours.T
    elif row.transform == "by_head":
        ours = _swapped(ours, (heads[0], 3))
    elif row.transform == "plus_one":
        ours = ours - np.ones((), ours.dtype)
    return [np.ascontiguousarray(ours)]


def _swapped(x: np.ndarray, outer: tuple[int, int]) -> np.ndarray:
    """Columns in the other order of head and part."""
    parts = x.reshape(*x.shape[:-1], *outer, -1)
    return np.swapaxes(parts, -3, -2).reshape(x.shape)


def our_shape(row: Row, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of our weight, from theirs."""
    if row.transform == "grouped":
        return (*shapes[0][1:], sum(shape[0] for shape in shapes))
    return shapes[0][::-1] if row.transform == "transpose" else shapes[0]


def converted(
    theirs: Mapping[str, np.ndarray],
    names: Mapping[str, str],
    rows: Iterable[Row],
    heads: tuple[int, int],
    kept: Iterable[str] = (),
) -> LazyArrays:
    """Our weights, each made of theirs when it is asked for.

    Args:
        theirs: their weights.
        names: the names in `theirs`, by the names in the rows.
        rows: what to convert.
        heads: M and G.
        kept: names of further weights, which keep their names and values.
    """

    def maker(row: Row) -> Callable[[], np.ndarray]:
        return lambda: inward(row, [theirs[names[name]] for name in row.theirs], heads)

    def as_it_is(name: str) -> Callable[[], np.ndarray]:
        return lambda: np.ascontiguousarray(theirs[names[name]])

    makers, shapes = {}, {}
    for row in rows:
        makers[row.ours] = maker(row)
        parts = [shape_of(theirs, names[name]) for name in row.theirs]
        shapes[row.ours] = our_shape(row, parts)
    for name in kept:
        makers[name] = as_it_is(name)
        shapes[name] = shape_of(theirs, names[name])
    return LazyArrays(makers, shapes)


def their_arrays(
    model: Any, rows: Iterable[Row], heads: tuple[int, int] | None = None
) -> dict[str, np.ndarray]:
    """The weights of a model of ours by their names; biases that it lacks are zeros.

    Args:
        model: the model.
        rows: what to convert.
        heads: M and G; by default M heads of each kind.
    """
    ours = weights.arrays_of(model)
    heads = heads or (model.config.num_heads, 1)
    arrays: dict[str, np.ndarray] = {}
    for row in rows:
        array = ours.get(row.ours)
        if array is None:
            layer, part = row.ours.rsplit("/", 1)
            beside = ours[f"{layer}/{'gamma' if part == 'beta' else 'kernel'}"]
            array = np.zeros(beside.shape[-1], "float32")
        arrays |= dict(zip(row.theirs, outward(row, array, heads), strict=True))
    return arrays


def untied(
    theirs: Mapping[str, np.ndarray], names: dict[str, str], head: str, table: str
) -> None:
    """Drops the head's copy of a tied table from `names`; it may be the only one.

    Raises:
        ValueError: the copy differs.
    """
    if head not in names:
        return
    copy = names.pop(head)
    kept = names.setdefault(table, copy)
    if copy != kept and not np.array_equal(theirs[copy], theirs[kept]):
        raise ValueError(
            f"{head} must equal {table}, since config.json ties the embeddings, but it "
            "does not. Set tie_word_embeddings to false in config.json."
        )


def taken(
    names: Mapping[str, Any], rows: list[Row], strict: bool, head: str, source: str
) -> tuple[list[Row], list[str]]:
    """The rows whose weights are all there, and the names that belong to none.

    Args:
        names: the names that the file has.
        rows: the model's rows.
        strict: whether to raise for weights that are missing or left over.
        head: the name of a head that the model lacks, whose weights may be left over.
        source: what the file is, for the message.

    Raises:
        ValueError: `strict`, and names are missing or left over.
    """
    expected = {name for row in rows for name in row.theirs}
    others = [name for name in names if name not in expected]
    if strict:
        found = expected & set(names) if head else names
        weights.check_names(found, expected, source)
    return [row for row in rows if set(row.theirs) <= set(names)], others
