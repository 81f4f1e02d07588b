"""Intervals of figures over other units and other stretches of time: the jackknife that deletes a seventh of each.

A bootstrap with replacement would draw the same unit twice, and twins are perfectly correlated: dimensions, errors of
factorizations, communities and predictions would all be those of another kind of recording. So units and blocks of
time are left out instead. The spread of a figure over such draws, times kept / left out, estimates its variance.

The intrinsic timescale is where a curve crosses a threshold, and a jump of the curve that hardly moves the crossing in
one place moves it far in another. So its interval is read from the curve: at each lag the autocorrelation has an
interval, and the timescale may be any lag at which that one holds the threshold.
"""

from __future__ import annotations

import zlib

import numpy as np
import xarray as xr
from scipy.special import expit

from neurointerp import matrix
from neurointerp.analyses.comparison._figures import (
    FIGURES,
    WINDOW,
    Figure,
    autocorrelation,
    below_threshold,
    figures,
    step,
)

METHOD = "delete-d jackknife over units and blocks of time; of the timescale, on its autocorrelation"

LEVEL = 0.95
KEPT = 0.85
BLOCKS, FEWEST_BLOCKS = 20, 5
TIMESCALES = 3.0
"""Length of a block, at least, in intrinsic timescales of the recording."""
NEARLY = 0.75
"""Of a block's length, what a segment needs to be a block."""
FEWEST_UNITS = 4
MOST_UNDEFINED = 0.1
"""Share of draws in which a figure may be undefined and still have an interval."""


def intervals(
    name: str, matched: xr.DataArray, data: np.ndarray, *, resamples: int, seed: int
) -> tuple[np.ndarray, float]:
    """Give low and high (metric, bound) of every figure of a matched recording, and the degrees of freedom behind them.

    NaN where there is no interval. Degrees of freedom, those of the fewer of units and blocks and of the draws: 1/df =
    1/(fewer - 1) + 1/(draws - 1).
    """
    order = [figure.name for figure in FIGURES]
    blocks = time_blocks(matched, float(data[order.index("intrinsic_timescale")]))
    units = matched.sizes["unit"]
    kept = max(round(KEPT * units), FEWEST_UNITS), max(round(KEPT * len(blocks)), 1)
    if kept[0] >= units or len(blocks) < FEWEST_BLOCKS:
        return np.full((len(FIGURES), 2), np.nan), float("nan")
    draws = np.full((resamples, len(FIGURES)), np.nan)
    curves: list[np.ndarray] = []
    from scipy.stats import t

    for draw in range(resamples):
        rng = np.random.default_rng([seed, zlib.crc32(f"{name}/interval".encode()), draw])
        part = _part(matched, blocks, kept, rng)
        if part.sizes["unit"] >= FEWEST_UNITS:
            found = figures(part, seed)[0]
            draws[draw] = [found.get(figure, np.nan) for figure in order]
            curves += [autocorrelation(part)] if "time" in part.dims else []
    freedom = 1 / (1 / (min(units, len(blocks)) - 1) + 1 / (resamples - 1))
    ratio = max(kept[0] / (units - kept[0]), kept[1] / (len(blocks) - kept[1]))
    reach = float(t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(ratio))
    half = reach * np.sqrt(np.array([_variance(column) for column in draws.T]))
    bounds = np.array([_bounded(*each) for each in zip(data, half, FIGURES, strict=True)])
    timescale = order.index("intrinsic_timescale")
    if np.isfinite(bounds[timescale]).all():
        bounds[timescale] = _crossings(autocorrelation(matched), curves, reach) * step(matched)
    return bounds, float(freedom)


def _crossings(curve: np.ndarray, draws: list[np.ndarray], reach: float) -> np.ndarray:
    """Give the first and the last lag at which the interval of a curve may hold the threshold; NaN without a last."""
    known = min(len(curve), *map(len, draws))
    half = reach * np.std([one[:known] for one in draws], axis=0, ddof=1)
    found = np.array([below_threshold(curve[:known] - half), below_threshold(curve[:known] + half)])
    return found if np.isfinite(found).all() else np.full(2, np.nan)


def time_blocks(matched: xr.DataArray, timescale: float) -> list[np.ndarray]:
    """Cut the samples into blocks, in order: rows of each.

    A block is a twentieth of the samples, longer where three intrinsic timescales are, at most a fifth. It never
    holds a part of a segment and a part of another one, unless segments are shorter than a block: then it holds whole
    ones.
    """
    length = int(np.ceil(len(matched) / BLOCKS))
    if "time" in matched.dims:
        slow = TIMESCALES * timescale / step(matched) if np.isfinite(timescale) else np.inf
        length = int(np.ceil(max(length, min(slow, len(matched))) / WINDOW)) * WINDOW
    length = max(min(length, len(matched) // FEWEST_BLOCKS), 1)
    blocks: list[np.ndarray] = []
    open_rows: list[np.ndarray] = []
    for stretch in matrix.stretches(matched):
        rows = np.arange(stretch.start, stretch.stop)
        whole = len(rows) >= NEARLY * length
        if open_rows and (whole or sum(map(len, open_rows)) >= NEARLY * length):
            blocks.append(np.concatenate(open_rows))
            open_rows = []
        if whole:
            blocks += np.array_split(rows, max(len(rows) // length, 1))
        else:
            open_rows.append(rows)
    return blocks + ([np.concatenate(open_rows)] if open_rows else [])


def _part(
    matched: xr.DataArray, blocks: list[np.ndarray], kept: tuple[int, int], rng: np.random.Generator
) -> xr.DataArray:
    """Give the recording on some units and blocks, z-scored; where a block was left out a segment ends."""
    units = np.sort(rng.choice(matched.sizes["unit"], kept[0], replace=False))
    rows = np.concatenate([blocks[i] for i in np.sort(rng.choice(len(blocks), kept[1], replace=False))])
    return standardised(on_rows(matched.isel(unit=units), rows))


def on_rows(matched: xr.DataArray, rows: np.ndarray) -> xr.DataArray:
    """Give some samples of a recording; samples that were not neighbours are in different segments."""
    part = matched[rows]
    if "time" not in part.dims:
        return part
    stretch = np.empty(len(matched), dtype=int)
    for number, one in enumerate(matrix.stretches(matched)):
        stretch[one] = number
    jump = (np.diff(rows) != 1) | (np.diff(stretch[rows]) != 0)
    return part.assign_coords(segment=("time", np.concatenate([[0], np.cumsum(jump)])))


def standardised(part: xr.DataArray) -> xr.DataArray:
    """Z-score each unit, without those that do not vary."""
    values = np.asarray(part.values, dtype=np.float64)
    live = (values != values[:1]).any(axis=0)
    values = values[:, live]
    return part.isel(unit=np.flatnonzero(live)).copy(data=(values - values.mean(axis=0)) / values.std(axis=0))


def _bounded(value: float, half: float, figure: Figure) -> tuple[float, float]:
    """Give value -/+ half width on the scale on which the figure has no bounds: log above a bound, logit between two.

    By the delta method; a figure that lies on its bound is left on its own scale and the interval cut there.
    """
    low, high = figure.low, figure.high
    below, above = value - low, high - value
    if not np.isfinite(half):
        return float("nan"), float("nan")
    if not np.isfinite(low) or below <= 0 or above <= 0:
        return max(value - half, low), min(value + half, high)
    if not np.isfinite(high):
        factor = np.exp(min(half / below, 700.0))
        return low + below / factor, low + below * factor
    odds, reach = np.log(below / above), half * (1 / below + 1 / above)
    down, up = (low + (high - low) * expit(odds + side * reach) for side in (-1, 1))
    return float(down), float(up)


def _variance(draws: np.ndarray) -> float:
    """Give the variance of the draws in which a figure is defined; NaN where those are few, or all the same."""
    known = draws[np.isfinite(draws)]
    if len(known) < max(2, (1 - MOST_UNDEFINED) * len(draws)) or not np.ptp(known) > 0:
        return float("nan")
    return float(known.var(ddof=1))
