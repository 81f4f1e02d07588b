"""Lagged features as one matrix, with the labels of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.align import shifted
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stack, stretches


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
    if isinstance(lags, xr.DataArray):
        return _convolved(features, lags)
    stacked, parts = stack(features), stretches(features)
    if lags == [0]:
        values, usable = stacked.values, np.arange(len(stacked.values))
    else:
        values = np.concatenate([shifted(stacked.values, parts, lag) for lag in lags], axis=1)
        usable = np.flatnonzero(~np.isnan(values).any(axis=1))
    _require_samples(usable, list(lags), stacked.sample_dims, parts)
    names = features["unit"].values
    labels = [str(name) if lags == [0] else f"{name}@{lag}" for lag in lags for name in names]
    coords = {
        f"feature_{name}": ("feature", np.tile(coord.values, len(lags)), coord.attrs)
        for name, coord in stacked.unit_coords.items()
    }
    lag = ("feature", np.repeat(np.asarray(lags, dtype=np.int64), len(names)), {"units": "sample"})
    feature = ("feature", np.array(labels, dtype=object))
    return Design(values, usable, {**coords, "feature": feature, "feature_lag": lag})


def span(lags: Sequence[int] | xr.DataArray) -> list[int]:
    """Give the delays, in samples, that a design reaches over."""
    return [int(lag) for lag in (lags["lag"].values if isinstance(lags, xr.DataArray) else lags)]


def _convolved(features: xr.DataArray, kernels: xr.DataArray) -> Design:
    """Weigh the delayed features by each kernel (lag, basis) in turn."""
    stacked, parts = stack(features), stretches(features)
    delays, bases = span(kernels), [str(name) for name in kernels["basis"].values]
    weight = np.asarray(kernels.transpose("lag", "basis").values, dtype=stacked.values.dtype)
    values = np.zeros((len(bases), *stacked.values.shape), dtype=stacked.values.dtype)
    for row, delay in zip(weight, delays, strict=True):
        values += row[:, None, None] * shifted(stacked.values, parts, delay)[None]
    usable = np.flatnonzero(~np.isnan(values).any(axis=(0, 2)))
    _require_samples(usable, delays, stacked.sample_dims, parts)
    names = features["unit"].values
    coords = {
        f"feature_{name}": ("feature", np.tile(coord.values, len(bases)), coord.attrs)
        for name, coord in stacked.unit_coords.items()
    }
    labels = np.array([f"{name}@{basis}" for basis in bases for name in names], dtype=object)
    basis = ("feature", np.repeat(np.array(bases, dtype=object), len(names)))
    return Design(
        np.concatenate(list(values), axis=1), usable, {**coords, "feature": ("feature", labels), "feature_basis": basis}
    )


def _require_samples(
    usable: NDArray[np.int64], lags: Sequence[int], dims: Sequence[str], parts: Sequence[slice]
) -> None:
    if not usable.size:
        longest = max((part.stop - part.start for part in parts), default=0)
        raise AnalysisError(
            f"encoding: lags {list(lags)} leave no sample of dims {tuple(dims)}; the longest stretch "
            f"(segment of a trial) has {longest}"
        )
