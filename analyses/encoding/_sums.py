"""Sums over samples of features and responses in float64, and what ridge takes from them, on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurointerp.backend import like, namespace, to_numpy
from neurointerp.least_squares import BATCH, Fit, Moments, decompose, rows_of
from neurointerp.split import Fold

Indices = NDArray[np.int64]
ROWS = 1024
"""Rows that are multiplied at a time."""
TALL, LONG = 2**14, 16
"""Samples, and test samples for each feature, from which errors are taken from sums."""


class Sums(NamedTuple):
    """Sums over some samples, about a mean of all: float64.

    Attributes
    ----------
    samples
        How many.
    x, y, power
        (feature,), (unit,), (unit,): sums, and sums of squares of the responses.
    low, high
        (unit,), the least and largest response.
    gram, cross
        (feature, feature) or None, (feature, unit).
    """

    samples: int
    x: Any
    y: Any
    power: Any
    low: Any
    high: Any
    gram: Any
    cross: Any


class Cells(NamedTuple):
    """Samples by the sets that they belong to.

    Attributes
    ----------
    code
        (sample,), the cell of each; -1: none.
    table
        (set, cell), which cells a set is made of.
    """

    code: Indices
    table: NDArray[np.bool_]


class Held(NamedTuple):
    """A decomposed training set, and its test set in the same directions.

    Attributes
    ----------
    fit
        Of the training set.
    gram, off
        (direction, direction), (direction,): of the test set about its mean; that mean about the training mean.
    """

    fit: Fit
    gram: Any
    off: Any


def cells_of(samples: int, sets: Sequence[Indices]) -> Cells:
    """Divide so many samples by the sets (of positions) that they belong to, in time linear in them."""
    code, table = np.zeros(samples, dtype=np.int64), np.zeros((0, 1), dtype=bool)
    for one in sets:
        inside = np.zeros(samples, dtype=np.int64)
        inside[one] = 1
        code += inside * table.shape[1]
        there = np.flatnonzero(np.bincount(code, minlength=2 * table.shape[1]))
        place = np.zeros(2 * table.shape[1], dtype=np.int64)
        place[there] = np.arange(there.size)
        old = np.concatenate([table, table], axis=1)[:, there]
        table = np.concatenate([old, (there >= table.shape[1])[None]], axis=0)
        code = place[code]
    inside_any = table.any(axis=0)
    number = np.where(inside_any, np.cumsum(inside_any) - 1, -1)
    return Cells(number[code], table[:, inside_any])


def set_sums(cells: Sequence[Sums], mean: tuple[Any, Any], train: Indices) -> Moments:
    """Give the sums of a set about its own means, from those of its cells about `mean`."""
    n = sum(one.samples for one in cells)
    dx, dy = sum(one.x for one in cells) / n, sum(one.y for one in cells) / n
    gram = None if cells[0].gram is None else sum(one.gram for one in cells) - n * dx[:, None] * dx[None, :]
    cross = sum(one.cross for one in cells) - n * dx[:, None] * dy[None, :]
    power = sum(one.power for one in cells) - n * dy * dy
    return Moments(train, like(mean[0], dx) + dx, like(mean[1], dy) + dy, power, gram, cross)


def merged(*parts: dict[int, Sums]) -> dict[int, Sums]:
    """Add the sums of blocks, cell by cell."""
    out: dict[int, Sums] = {}
    for part in parts:
        for cell, one in part.items():
            out[cell] = _both(out[cell], one) if cell in out else one
    return out


def added(x: Any, y: Any, code: Indices, mean: tuple[Any, Any], gram: bool) -> dict[int, Sums]:
    """Sum rows cell by cell: Gram matrices in float64, which small penalties need; cross-products as they come."""
    out: dict[int, Sums] = {}
    for cell in map(int, np.unique(code[code >= 0])):
        which = np.flatnonzero(code == cell)
        for start in range(0, len(which), ROWS):
            some = which[start : start + ROWS]
            one = _of_rows(rows_of(x, some), rows_of(y, some), mean, gram)
            out[cell] = _both(out[cell], one) if cell in out else one
    return out


def facing(fit: Fit, test: Moments) -> Held:
    """Give a decomposed training set with its test set in the same directions."""
    return Held(fit, fit.turn.T @ test.gram @ fit.turn, fit.turn.T @ (test.feature_mean - fit.feature_mean))


def errors(held: Held, train: Moments, test: Moments, alphas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the summed squared error (alpha, unit) of a test set, from its sums: about its mean, and of the mean."""
    xp, fit = namespace(test.gram), held.fit
    known, aim = fit.turn.T @ train.cross, fit.turn.T @ test.cross
    level = test.response_mean - train.response_mean
    out = []
    for alpha in alphas:
        own = known / (fit.values + float(alpha))[:, None]
        about = xp.sum(own * (held.gram @ own - 2 * aim), axis=0)
        out.append(to_numpy(test.power + about + len(test.train) * (level - held.off @ own) ** 2))
    return np.stack(out)


def is_tall(x: Any, parent: Moments, folds: Sequence[Fold]) -> bool:
    """Tell whether test sets are so much longer than features are many that errors cost less from their sums.

    Cells hold a sample once: sets that draw it twice (a bootstrap) are not made of them.
    """
    if hasattr(x, "rows") or len(parent.train) < TALL or parent.gram is None:
        return False
    if not all(min(len(train), len(test) / LONG) >= x.shape[1] for train, test in folds):
        return False
    return all(_once(side, x.shape[0]) for pair in folds for side in pair)


def _once(index: Indices, samples: int) -> bool:
    there = np.zeros(samples, dtype=bool)
    there[index] = True
    return int(there.sum()) == len(index)


def errors_from_sums(
    x: Any, y: Any, parent: Moments, folds: Sequence[Fold], alphas: NDArray[np.float64], standardize: bool
) -> NDArray[np.float64]:
    """Give the squared error (alpha, unit) over folds, from one pass over the rows of some units at a time."""
    xp, cells = namespace(x), cells_of(x.shape[0], [side for pair in folds for side in pair])
    about = [to_numpy(one).astype(np.float64) for one in (parent.feature_mean, parent.response_mean)]
    step, total = float(xp.finfo(x.dtype).eps), np.zeros((alphas.size, y.shape[1]))
    grams: list[Any] = []
    held: dict[int, Held] = {}
    for units in (slice(start, start + BATCH) for start in range(0, y.shape[1], BATCH)):
        mean = (about[0], about[1][units])
        parts = _of_cells(x, y[:, units], cells, mean, gram=not grams)
        grams = grams or [part.gram for part in parts]
        parts = [part._replace(gram=gram) for part, gram in zip(parts, grams, strict=True)]
        for number, pair in enumerate(folds):
            train, test = (
                set_sums([parts[cell] for cell in np.flatnonzero(row)], mean, index)
                for row, index in zip(cells.table[2 * number : 2 * number + 2], pair, strict=True)
            )
            if number not in held:
                fit = decompose(x, y, train, standardize=standardize, smallest=float(alphas.min()), resolution=step)
                held[number] = facing(fit, test)
            total[:, units] += errors(held[number], train, test, alphas)
    return total


def _of_cells(x: Any, y: Any, cells: Cells, mean: tuple[Any, Any], *, gram: bool) -> list[Sums]:
    """Sum each cell, in float64, some rows at a time."""
    xp, found = namespace(x), dict[int, Sums]()
    for start in range(0, x.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        some, aim = (xp.astype(array[rows], xp.float64) for array in (x, y))
        found = merged(found, added(some, aim, cells.code[rows], mean, gram))
    return [found[cell] for cell in range(cells.table.shape[1])]


def _both(one: Sums, other: Sums) -> Sums:
    xp = namespace(one.x)
    gram = None if one.gram is None else one.gram + other.gram
    low, high = xp.minimum(one.low, other.low), xp.maximum(one.high, other.high)
    return Sums(
        one.samples + other.samples, one.x + other.x, one.y + other.y, one.power + other.power, low, high, gram,
        one.cross + other.cross,
    )  # fmt: skip


def _of_rows(x: Any, y: Any, mean: tuple[Any, Any], gram: bool) -> Sums:
    xp = namespace(x)
    x, y = x - like(mean[0], x), y - like(mean[1], y)
    exact, wide = xp.astype(x, xp.float64), xp.astype(y, xp.float64)
    return Sums(
        x.shape[0], xp.sum(exact, axis=0), xp.sum(wide, axis=0), xp.sum(wide * wide, axis=0), xp.min(y, axis=0),
        xp.max(y, axis=0), exact.T @ exact if gram else None, xp.astype(x.T @ y, xp.float64),
    )  # fmt: skip
