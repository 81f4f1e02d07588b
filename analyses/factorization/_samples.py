"""The (sample, unit) matrix that is factored: its blocks of rows, what is missing in them, and a pass over all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import backend, matrix
from neurointerp.errors import AnalysisError

PART = 2**22
"""Bytes of the rows that are turned into float64 at a time, as float64."""
MODEST = 2.0**16
"""Values whose largest is between one over this and this are taken as they are: no copy of them is made."""
Update = Callable[[Any, Any, Any, Any], tuple[Any, ...]]
"""`(P, Q, G, kept) -> (new G, next G, more, ...)` for some rows: P = X F', Q = F F' (float64), G where the pass starts,
and what was handed to the pass beside it."""


@dataclass(frozen=True)
class Pass:
    """What one pass over the rows gives.

    Attributes
    ----------
    G, ahead
        (sample, component): the new coefficients, and those that the next pass starts from.
    image, gram
        (component, unit) `ahead' X`; (component, component) `ahead' ahead`, float64.
    loss
        Squared relative error of `G F` on the observed entries.
    more
        (sample, ...): what else the update made of every row.
    """

    G: Any
    ahead: Any
    image: Any
    gram: Any
    loss: float
    more: list[Any]


@dataclass(frozen=True)
class Samples:
    """A matrix in blocks of rows, divided by `scale` (a power of two: exact). NaN is missing.

    Missing entries take the model's own value, so that they pull it nowhere: a pass lowers the error on the observed
    entries alone (expectation-maximization).

    Attributes
    ----------
    source
        Gives the blocks of rows, from the first.
    shape
        Samples and units.
    scale
        What the values were divided by.
    power
        Sum of squares of what is observed.
    mean
        (unit,) of what is observed, float64.
    missing
        Number of missing entries.
    """

    source: Callable[[], Iterator[Any]]
    shape: tuple[int, int]
    scale: float
    power: float
    mean: Any
    missing: int

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """Give the rows of each block and its values."""
        start = 0
        for block in self.source():
            yield slice(start, start + block.shape[0]), block
            start += block.shape[0]

    @property
    def spread(self) -> float:
        """Give the sum of squares about the unit means of what is observed, which differences of sums would lose."""
        found = 0.0
        for _, block in self.blocks():
            xp = backend.namespace(block)
            for rows in parts_of(block):
                about = xp.astype(block[rows, :], xp.float64) - self.mean
                found += sum_of_squares(xp.where(xp.isnan(about), xp.zeros_like(about), about))
        return found

    def whole(self) -> Any:
        """Give the whole matrix, missing entries filled with the mean of their unit."""
        parts = [filled(block, self.mean)[0] for _, block in self.blocks()]
        return parts[0] if len(parts) == 1 else backend.namespace(parts[0]).concat(parts, axis=0)

    def project(self, G: Any, F: Any = None) -> Any:
        """Give `G' X`; missing entries are those of `G F`, or the unit means where there is no `F` yet."""
        image: Any = 0.0
        for rows, block in self.blocks():
            model = None if not self.missing else self.mean if F is None else G[rows, :] @ F
            image = image + G[rows, :].T @ filled(block, model)[0]
        return image

    def sweep(self, F: Any, G: Any, update: Update, kept: Any = None) -> Pass:
        """Update the coefficients of every row, and collect what the features are updated from.

        Two products with the matrix; two more where values are missing. `kept` (sample, ...) is handed to the update.
        """
        xp = backend.namespace(G)
        Q, made = gram(F.T), list[tuple[Any, ...]]()
        image: Any = 0.0
        error = self.power
        for rows, block in self.blocks():
            beside = None if kept is None else kept[rows, :]
            found, part, change = swept(block, F, Q, G[rows, :], beside, update, bool(self.missing))
            error += change
            image = image + part
            made.append(found)
        parts = zip(*made, strict=True)
        joined, leaps, *more = (xp.concat(list(one), axis=0) if len(one) > 1 else one[0] for one in parts)
        return Pass(joined, leaps, image, gram(leaps), max(0.0, error / self.power), more)

    def loss(self, F: Any, G: Any) -> float:
        """Give the squared relative error of `G F` on the observed entries."""
        return self.sweep(F, G, _same).loss


def _same(P: Any, Q: Any, before: Any, kept: Any) -> tuple[Any, Any]:
    return before, before


def swept(
    block: Any, F: Any, Q: Any, before: Any, kept: Any, update: Update, missing: bool
) -> tuple[tuple[Any, ...], Any, float]:
    """Update the coefficients of one block: give what the update makes, `ahead' X`, and what the rows add to the error.

    The error is that beyond the sum of squares of the block.
    """
    xp = backend.namespace(block)
    X, holes = filled(block, before @ F if missing else None)
    P = X @ F.T
    fresh, leap, *more = update(P, Q, before, kept)
    error = float(xp.sum(Q * gram(fresh))) - 2 * float(xp.sum(xp.vecdot(P, fresh), dtype=xp.float64))
    if holes is not None:
        guess, zero = xp.where(holes, X, xp.zeros_like(X)), xp.zeros_like(X)
        moved = xp.where(holes, X - fresh @ F, zero)
        error += sum_of_squares(guess) - sum_of_squares(moved)
    return (fresh, leap, *more), leap.T @ X, error


def of_recording(
    recording: xr.DataArray, analysis: str, device: str | None = None, precision: str | None = None
) -> Samples:
    """Give a recording's matrix; one that is chunked (dask) is read chunk by chunk in every pass.

    With a device blocks are worked on there, in memory or not.

    Raises
    ------
    AnalysisError
        When all values are zero, or a unit or a sample has no value at all.
    """
    if recording.chunks:
        from neurointerp.analyses.factorization._streamed import blocks_of

        return blocks_of(recording, analysis, device, precision)
    values = matrix.stack(recording, analysis).values
    return of_array(values, analysis, list(map(str, recording["unit"].values)))


def of_array(X: Any, analysis: str, units: list[str] | None = None) -> Samples:
    """Give the matrix of an array (sample, unit), numpy or torch, where NaN is missing."""
    shape, scale, mean, missing = _measured(lambda: iter([X]), analysis, units)
    scaled = X if scale == 1 else X / scale
    power = sum(sum_of_squares(filled(scaled[rows, :], 0 * mean)[0]) for rows in parts_of(X))
    return Samples(lambda: iter([scaled]), shape, scale, power, mean, missing)


def _measured(
    source: Callable[[], Iterator[Any]], analysis: str, units: list[str] | None
) -> tuple[tuple[int, int], float, Any, int]:
    """Give shape, scale, scaled means of units and the number of missing entries."""
    rows, width, peak, missing, empty = 0, 0, 0.0, 0, 0
    total: Any = 0.0
    seen: Any = 0.0
    for block in source():
        xp = backend.namespace(block)
        rows, width = rows + block.shape[0], block.shape[1]
        if not block.shape[0] * width:
            continue
        for part in parts_of(block):
            holes = xp.isnan(block[part, :])
            known = xp.where(holes, xp.zeros_like(block[part, :]), block[part, :])
            missing += int(xp.count_nonzero(holes))
            empty += int(xp.count_nonzero(xp.all(holes, axis=1)))
            total = total + xp.sum(known, axis=0, dtype=xp.float64)
            seen = seen + xp.astype(xp.count_nonzero(~holes, axis=0), xp.float64)
            peak = max(peak, float(xp.max(xp.abs(known))))
    if missing:
        require_seen(np.flatnonzero(backend.to_numpy(seen) == 0), empty, missing, analysis, units)
    if peak == 0:
        raise AnalysisError(f"{analysis}: all {rows * width} values are zero; there is nothing to factor")
    scale = scale_of(peak)
    return (rows, width), scale, total / seen / scale, missing


def scale_of(peak: float) -> float:
    """Give a power of two to divide by: exact, and keeps the squares of float32 teslas above underflow."""
    return 1.0 if 1 / MODEST <= peak <= MODEST else 2.0 ** math.frexp(peak)[1]


def parts_of(block: Any) -> list[slice]:
    """Give runs of rows that are not too large in float64."""
    step = max(1, PART // (8 * max(block.shape[1], 1)))
    return [slice(start, start + step) for start in range(0, max(block.shape[0], 1), step)]


def require_seen(bare: np.ndarray, empty: int, missing: int, analysis: str, units: list[str] | None) -> None:
    if bare.size or empty:
        name = f" (first {units[bare[0]]!r})" if bare.size and units else ""
        raise AnalysisError(
            f"{analysis}: {missing} missing values, and {bare.size} units{name} and {empty} samples have no value at "
            "all, so that nothing is known of them: drop them first (.dropna('unit', how='all'), ...)"
        )


def sum_of_squares(X: Any) -> float:
    """Give the sum of squares in float64."""
    xp = backend.namespace(X)
    return float(xp.sum(xp.vecdot(X, X), dtype=xp.float64))


def gram(columns: Any) -> Any:
    """Give the Gram matrix in float64: the loss is a small difference of sums of its entries."""
    xp = backend.namespace(columns)
    found: Any = 0.0
    for rows in parts_of(columns):
        exact = xp.astype(columns[rows, :], xp.float64)
        found = found + exact.T @ exact
    return found


def filled(block: Any, model: Any) -> tuple[Any, Any]:
    """Give a block with `model` where values are missing, and where that is; None where nothing is."""
    if model is None:
        return block, None
    xp = backend.namespace(block)
    holes = xp.isnan(block)
    if not bool(xp.any(holes)):
        return block, None
    return xp.where(holes, xp.astype(xp.broadcast_to(model, block.shape), block.dtype), block), holes
