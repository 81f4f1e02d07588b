"""Lagged features as one matrix, with the labels of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.align import shifted
from neurointerp.errors import AnalysisError
from neurointerp.matrix import labels, stack, stretches


class Design(NamedTuple):
    """Features at every lag, side by side.

    Attributes
    ----------
    values
        (sample, feature); all units of the first lag, then of the next.
    usable
        (sample,) int, the samples at which every lag lies inside the stretch.
    coords
        `feature`, `feature_unit`, `feature_lag` and `feature_<name>` for each unit coordinate `<name>`.
    """

    values: np.ndarray
    usable: NDArray[np.int64]
    coords: dict[str, Any]


def design(features: xr.DataArray, lags: Sequence[int] | xr.DataArray) -> Design:
    """Build the design matrix of complete features; refuse lags that leave no sample.

    Lags are delays in samples, or kernels (lag, basis) such as `align.hrf` gives.
    """
    stacked = stack(features)
    parts = [] if _plain(lags) else stretches(features)
    values = expanded(stacked.values, parts, lags)
    return Design(values, usable(features, lags), column_labels(features, lags))


def expanded(values: np.ndarray, parts: Sequence[slice], lags: Sequence[int] | xr.DataArray) -> np.ndarray:
    """Give values (sample, unit) at every lag, or weighed by every kernel, side by side; NaN where one is unknown."""
    if isinstance(lags, xr.DataArray):
        weight = np.asarray(lags.transpose("lag", "basis").values, dtype=values.dtype)
        out = np.zeros((weight.shape[1], *values.shape), dtype=values.dtype)
        for row, delay in zip(weight, span(lags), strict=True):
            out += row[:, None, None] * shifted(values, parts, delay)[None]
        return np.concatenate(list(out), axis=1)
    if _plain(lags):
        return values
    return np.concatenate([shifted(values, parts, lag) for lag in lags], axis=1)


def usable(features: xr.DataArray, lags: Sequence[int] | xr.DataArray) -> NDArray[np.int64]:
    """Give the samples at which every lag lies inside the stretch; refuse lags that leave none. Reads no values."""
    total = int(np.prod(features.shape[:-1], dtype=int))
    parts = [] if _plain(lags) else stretches(features)
    delays = span(lags)
    before, after = max(*delays, 0), max(*(-delay for delay in delays), 0)
    kept = [np.arange(part.start + before, part.stop - after) for part in parts]
    found = np.arange(total) if _plain(lags) else np.concatenate([np.arange(0), *kept])
    if not found.size:
        longest = max((part.stop - part.start for part in parts), default=0)
        dims = tuple(map(str, features.dims[:-1]))
        raise AnalysisError(
            f"encoding: lags {delays} leave no sample of dims {dims}; the longest stretch (segment of a trial) has "
            f"{longest}"
        )
    return found


def column_labels(features: xr.DataArray, lags: Sequence[int] | xr.DataArray) -> dict[str, Any]:
    """Give the coordinates of the columns of the design matrix."""
    names = features["unit"].values
    kernels = [str(name) for name in lags["basis"].values] if isinstance(lags, xr.DataArray) else None
    each: list[Any] = list(lags) if kernels is None else kernels
    titles = [str(name) if _plain(lags) else f"{name}@{one}" for one in each for name in names]
    coords: dict[str, Any] = {
        f"feature_{name}": ("feature", np.tile(coord.values, len(each)), coord.attrs)
        for name, coord in labels(features).unit_coords.items()
    }
    coords["feature"] = ("feature", np.array(titles, dtype=object))
    if kernels is None:
        lag = np.repeat(np.asarray(each, dtype=np.int64), len(names))
        return {**coords, "feature_lag": ("feature", lag, {"units": "sample"})}
    return {**coords, "feature_basis": ("feature", np.repeat(np.array(kernels, dtype=object), len(names)))}


def span(lags: Sequence[int] | xr.DataArray) -> list[int]:
    """Give the delays, in samples, that a design reaches over."""
    return [int(lag) for lag in (lags["lag"].values if isinstance(lags, xr.DataArray) else lags)]


def _plain(lags: Sequence[int] | xr.DataArray) -> bool:
    """Tell whether features are taken as they are."""
    return not isinstance(lags, xr.DataArray) and list(lags) == [0]
