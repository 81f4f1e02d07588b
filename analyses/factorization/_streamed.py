"""The matrix of a chunked recording: passes over its blocks, computed wherever the scheduler computes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import backend
from neurointerp.analyses.factorization._samples import (
    Pass,
    Samples,
    Update,
    filled,
    gram,
    parts_of,
    require_seen,
    scale_of,
    sum_of_squares,
    swept,
)
from neurointerp.errors import AnalysisError
from neurointerp.streaming import Rows, require_room, rows_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Blocks(Samples):
    """Samples whose passes are sums over blocks; see `Samples`.

    Attributes
    ----------
    rows
        The blocks, divided by `scale`.
    analysis
        Named where something needs the whole and there is no room.
    """

    rows: Rows
    analysis: str

    @property
    def spread(self) -> float:
        return float(self.rows.total(partial(_spread, mean=self.mean))[0])

    def whole(self) -> Any:
        require_room(math.prod(self.shape) * self.rows.dtype.itemsize, self.analysis)
        return super().whole()

    def project(self, G: Any, F: Any = None) -> Any:
        kernel = partial(_image, mean=self.mean, F=F, missing=self.missing)
        return self._tall(G, kernel)[1][0].astype(self.rows.dtype)

    def sweep(self, F: Any, G: Any, update: Update, kept: Any = None) -> Pass:
        kernel = partial(_swept, F=F, Q=gram(F.T), update=update, missing=bool(self.missing))
        parts = [G[rows] for rows in self.rows.slices]
        beside = [None] * len(parts) if kept is None else [kept[rows] for rows in self.rows.slices]
        found, (image, inner, error) = self.rows.both(kernel, list(zip(parts, beside, strict=True)))
        dtype = self.rows.dtype
        fresh, ahead, *more = (np.concatenate(list(one)).astype(dtype, copy=False) for one in zip(*found, strict=True))
        loss = max(0.0, (self.power + error) / self.power)
        return Pass(fresh, ahead, image.astype(self.rows.dtype), inner, loss, more)

    def _tall(self, G: Any, kernel: Any) -> tuple[list[Any], Any]:
        return self.rows.both(kernel, [(G[rows],) for rows in self.rows.slices])


def blocks_of(recording: xr.DataArray, analysis: str, device: str | None, precision: str | None) -> Blocks:
    """Give the matrix of a chunked recording.

    Raises
    ------
    AnalysisError
        When all values are zero, or a unit or a sample has no value at all.
    """
    rows = rows_of(recording)
    about, units = rows.about, list(map(str, recording["unit"].values))
    missing, samples = int(about.missing.sum()), len(rows)
    if missing:
        empty = int(rows.total(_empty)[0])
        require_seen(np.flatnonzero(about.missing == samples), empty, missing, analysis, units)
    peak = float(np.maximum(about.high, -about.low).max(initial=0.0))
    if not peak > 0:
        raise AnalysisError(f"{analysis}: all {rows.size} values are zero; there is nothing to factor")
    scale = scale_of(peak)
    scaled = rows if scale == 1 else rows.then(partial(_over, scale=scale))
    mean = about.total / np.maximum(samples - about.missing, 1) / scale
    power = float(scaled.total(_power)[0])
    onto = scaled.on(device, precision)
    return Blocks(scaled.blocks, rows.shape, scale, power, mean, missing, onto, analysis)


def _over(values: Any, first: int, *, scale: float) -> Any:
    return values / values.dtype.type(scale)


def _empty(values: Any, first: int, own: slice) -> tuple[int]:
    return (int(np.isnan(values).all(axis=1).sum()),)


def _power(values: Any, first: int, own: slice) -> tuple[float]:
    return (sum_of_squares(np.where(np.isnan(values), values.dtype.type(0), values)),)


def _spread(values: Any, first: int, own: slice, *, mean: Floats) -> tuple[float]:
    xp, found = backend.namespace(values), 0.0
    mean = backend.like(mean, xp.astype(values[:1], xp.float64))
    for rows in parts_of(values):
        about = xp.astype(values[rows, :], xp.float64) - mean
        found += sum_of_squares(xp.where(xp.isnan(about), xp.zeros_like(about), about))
    return (found,)


def _image(
    values: Any, first: int, own: slice, G: Any, *, mean: Floats, F: Any, missing: int
) -> tuple[None, tuple[Floats]]:
    G = backend.like(G, values)
    model = backend.like(mean, values) if F is None or not missing else G @ backend.like(F, values)
    return None, (_wide(G.T @ filled(values, model)[0]),)


def _swept(
    values: Any, first: int, own: slice, before: Any, kept: Any, *, F: Any, Q: Any, update: Update, missing: bool
) -> tuple[tuple[np.ndarray, ...], tuple[Floats, Floats, float]]:
    """Do for one block what `Samples.sweep` does; what comes back is numpy's, whatever the block lies on."""
    xp = backend.namespace(values)
    F, before = backend.like(F, values), backend.like(before, values)
    kept = None if kept is None else backend.like(kept, values)
    Q = backend.like(Q, xp.astype(values[:1], xp.float64))
    made, image, error = swept(values, F, Q, before, kept, update, missing)
    tall = tuple(backend.to_numpy(one) for one in made)
    return tall, (_wide(image), backend.to_numpy(gram(made[1])), error)


def _wide(image: Any) -> Floats:
    return np.asarray(backend.to_numpy(image), dtype=np.float64)
