"""Sums over the blocks of a chunked recording from which the static measures follow; products on a device if given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp.backend import namespace, to_numpy
from neurointerp.streaming import Rows

Floats = NDArray[np.float64]
BY_PART: tuple[tuple[np.ufunc, float], ...] = (
    (np.add, 0.0),
    (np.add, 0.0),
    (np.minimum, np.inf),
    (np.maximum, -np.inf),
)
"""How sums, counts, the least and the largest of a stretch are put together, and what those of no sample are."""


def mean_of(rows: Rows) -> Floats:
    """Give the mean (unit) of what is there."""
    about = rows.about
    return np.asarray(about.total / np.maximum(len(rows) - about.missing, 1))


def centred(rows: Rows) -> Rows:
    """Take the mean of each unit off."""
    return rows.scaled(mean_of(rows), np.ones(rows.width, rows.dtype))


def scaled(rows: Rows) -> tuple[Rows, NDArray[np.bool_]]:
    """Centre each unit and scale it to unit length; give also which vary. Constant ones are 0."""
    about = rows.about
    z = rows.scaled(mean_of(rows), about.span)
    length = np.sqrt(z.total(_squares)[0])
    z = rows.scaled(mean_of(rows), about.span * np.where(about.varies & (length > 0), length, 1.0))
    return z.then(partial(_kept, keep=about.varies)), about.varies


def gram(rows: Rows) -> Floats:
    """Give the products (unit, unit) of rows, in float64; those of each block are of the type of the values."""
    return np.asarray(rows.total(_gram)[0])


def pearson_and_lengths(rows: Rows) -> tuple[np.ndarray, NDArray[np.bool_], Any]:
    """Give correlations, which units vary, and a function for the squared length of each standardised sample.

    Three passes: means, products about them, and the lengths where they are asked for.
    """
    about = rows.about
    z = rows.scaled(mean_of(rows), about.span)
    products = gram(z)
    power = np.diag(products)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = 1 / np.sqrt(np.where(about.varies, power, np.nan))
    r = np.clip(products * root[:, None] * root, -1.0, 1.0).astype(rows.dtype)
    np.fill_diagonal(r, np.where(about.varies, 1.0, np.nan))
    weight = len(rows) / np.where(about.varies, power, np.inf)
    return r, about.varies, lambda: np.concatenate(z.on(None).each(partial(_lengths, weight=weight)))


def lengths(rows: Rows) -> np.ndarray:
    """Give the squared length (sample) of each row."""
    return np.concatenate(rows.on(None).each(partial(_lengths, weight=np.ones(rows.width))))


def pair_sums(rows: Rows) -> tuple[Floats, ...]:
    """Give, of rows with missing values, the products that `_moments.pairwise` is made of, as it names them."""
    about = rows.about
    found: tuple[Floats, ...] = rows.on(None).scaled(mean_of(rows), about.span).total(_pair_sums)
    return found


def less_segment_means(rows: Rows, parts: Sequence[slice]) -> Rows:
    """Take off each stretch its own means."""
    stops = np.array([part.stop for part in parts])
    _, total, count, low, high = rows.total(partial(_by_part, stops=stops), combine=_beside)
    means = np.where(low == high, low, total / np.maximum(count, 1))  # rounding would leave something of a constant
    return rows.then(partial(_less_means, stops=stops, means=means))


def squares(values: Any) -> Any:
    """Give the sum of squares (unit) of rows, in float64, where they lie."""
    if isinstance(values, np.ndarray):
        return np.einsum("tu,tu->u", values, values, dtype=np.float64)
    xp = namespace(values)
    wide = xp.astype(values, xp.float64)
    return xp.sum(wide * wide, axis=0)


def _squares(values: Any, first: int, own: slice) -> tuple[Floats]:
    return (to_numpy(squares(values)),)


def _kept(values: Any, first: int, *, keep: NDArray[np.bool_]) -> Any:
    return values if keep.all() else np.where(keep, values, 0)


def _gram(values: Any, first: int, own: slice) -> tuple[Floats]:
    xp = namespace(values)
    return (to_numpy(xp.astype(values.T @ values, xp.float64)),)


def _lengths(values: Any, first: int, own: slice, *, weight: Floats) -> Floats:
    return np.asarray(np.einsum("tu,tu,u->t", values, values, weight, dtype=np.float64))


def _pair_sums(values: Any, first: int, own: slice) -> tuple[Floats, ...]:
    there = ~np.isnan(values)
    mask = there.astype(np.float64)
    z = np.where(there, values, 0.0).astype(np.float64)
    square = z * z
    return mask.T @ mask, z.T @ mask, square.T @ mask, z.T @ z, square.T @ square


def _by_part(values: Any, first: int, own: slice, *, stops: NDArray[np.int64]) -> tuple[Any, ...]:
    """Give the first stretch that a block touches; sum, count, least and largest of it and those that follow alone."""
    part = np.searchsorted(stops, np.arange(first, first + len(values)), side="right")
    start = int(part[0]) if len(part) else 0
    there, edges = ~np.isnan(values), np.unique(part, return_index=True)[1]
    given = np.where(there, values, 0), there, np.where(there, values, np.inf), np.where(there, values, -np.inf)
    return start, *(
        put.reduceat(one, edges, axis=0, dtype=np.float64) for (put, _), one in zip(BY_PART, given, strict=True)
    )


def _beside(*parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Put what is known of blocks that follow each other together; a stretch may lie in several."""
    first = parts[0][0]
    shape = parts[-1][0] + len(parts[-1][1]) - first, parts[0][1].shape[1]
    made = [np.full(shape, of_none) for _, of_none in BY_PART]
    for start, *given in parts:
        own = slice(start - first, start - first + len(given[0]))
        for (put, _), out, one in zip(BY_PART, made, given, strict=True):
            put(out[own], one, out=out[own])
    return first, *made


def _less_means(values: Any, first: int, *, stops: NDArray[np.int64], means: Floats) -> Any:
    part = np.searchsorted(stops, np.arange(first, first + len(values)), side="right")
    return values - means[part].astype(values.dtype)
