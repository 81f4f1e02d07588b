"""Sums over the blocks of a chunked recording, of products of samples some time apart; blocks see their neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._streamed import squares
from neurointerp.backend import namespace, to_numpy
from neurointerp.streaming import Rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def bounds(parts: Sequence[slice]) -> tuple[Ints, Ints]:
    """Give where stretches begin and end."""
    return np.array([part.start for part in parts]), np.array([part.stop for part in parts])


def lagged_sums(z: Rows, parts: Sequence[slice], max_lag: int) -> tuple[Floats, ...]:
    """Give per lag the products (lag, unit, unit), counts, sums and sums of squares of samples that lead and follow."""
    kernel = partial(_lagged, starts_stops=bounds(parts), max_lag=max_lag)
    found: tuple[Floats, ...] = z.total(kernel, after=max_lag)
    return found


def gram_of_past(z: Rows, parts: Sequence[slice], order: int) -> tuple[Floats, int]:
    """Give what `_past.lagged_gram` gives, in numpy, from blocks with `order` samples of past ahead of them."""
    products, total, count = z.total(partial(_past_gram, starts_stops=bounds(parts), order=order), before=order)
    products -= np.outer(total, total / count)
    return products.reshape((order + 1, z.width) * 2), int(count)


def fold_moments(z: Rows, present: Ints, order: int, folds: Sequence[Ints]) -> list[tuple[Any, ...]]:
    """Give per fold the products of past with past and present, sums and counts, and squares of the present."""
    stops = np.cumsum([len(fold) for fold in folds])
    found = z.total(partial(_folds, present=present, stops=stops, order=order), before=order)
    return list(zip(*found, strict=True))


def _past_rows(first: int, own: slice, values: Any, starts_stops: tuple[Ints, Ints], order: int) -> Ints:
    """Give the places in `values` of those own samples that have `order` samples of past in their stretch."""
    starts, stops = starts_stops
    rows = np.arange(first + own.start, first + min(own.stop, len(values)))
    part = np.searchsorted(stops, rows, side="right")
    inside = part < len(stops)
    rows, part = rows[inside], part[inside]
    return np.asarray(rows[rows - order >= starts[part]] - first)


def _past_gram(
    values: Any, first: int, own: slice, *, starts_stops: tuple[Ints, Ints], order: int
) -> tuple[Floats, Floats, int]:
    xp = namespace(values)
    at = _past_rows(first, own, values, starts_stops, order)
    stacked = xp.concat([values[at - lag, :] for lag in range(order + 1)], axis=1)
    return to_numpy(stacked.T @ stacked), to_numpy(xp.sum(stacked, axis=0)), len(at)


def _lagged(values: Any, first: int, own: slice, *, starts_stops: tuple[Ints, Ints], max_lag: int) -> tuple[Any, ...]:
    """Sum over own samples that lead, and those up to `max_lag` later in the same stretch that follow."""
    xp = namespace(values)
    starts, stops = starts_stops
    zeros = partial(xp.zeros, dtype=xp.float64, device=values.device)
    products, sums = zeros((max_lag + 1, values.shape[1], values.shape[1])), zeros((4, max_lag + 1, values.shape[1]))
    counts = np.zeros(max_lag + 1, dtype=np.int64)
    near = slice(
        np.searchsorted(stops, first + own.start, side="right"), np.searchsorted(starts, first + own.stop, side="left")
    )
    for start, stop in zip((starts[near] - first).tolist(), (stops[near] - first).tolist(), strict=True):
        low, high = max(start, own.start), min(stop, own.stop)
        for lag in range(max_lag + 1):
            end = min(high, stop - lag, len(values) - lag)
            if end <= low:
                break
            lead, follow = values[low:end], values[low + lag : end + lag]
            products[lag, ...] += lead.T @ follow
            counts[lag] += end - low
            for place, side in ((0, lead), (2, follow)):
                sums[place, lag, :] += xp.sum(side, axis=0, dtype=xp.float64)
                sums[place + 1, lag, :] += squares(side)
    return to_numpy(products), counts, *to_numpy(sums)


def _folds(values: Any, first: int, own: slice, *, present: Ints, stops: Ints, order: int) -> tuple[Floats, ...]:
    xp = namespace(values)
    units, count = values.shape[1], len(stops)
    wide = order * units
    gram, past, cross = np.zeros((count, wide, wide)), np.zeros((count, wide)), np.zeros((count, wide, units))
    now, samples, square = np.zeros((count, units)), np.zeros(count), np.zeros((count, units))
    low, high = np.searchsorted(present, [first + own.start, first + own.stop])
    edges = np.unique(np.clip(np.concatenate([[low], stops, [high]]), low, high))
    for start, stop in itertools.pairwise(edges):
        fold, at = int(np.searchsorted(stops, start, side="right")), present[start:stop] - first
        before = xp.concat([values[at - lag, :] for lag in range(1, order + 1)], axis=1)
        here = values[at, :]
        gram[fold] += to_numpy(before.T @ before)
        past[fold] += to_numpy(xp.sum(before, axis=0))
        cross[fold] += to_numpy(before.T @ here)
        now[fold] += to_numpy(xp.sum(here, axis=0))
        samples[fold] += len(at)
        square[fold] += to_numpy(xp.sum(here**2, axis=0))
    return gram, past, cross, now, samples, square
