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


def design(features: xr.DataArray, lags: Sequence[int]) -> Design:
    """Build the design matrix of complete features; refuse lags that leave no sample."""
    stacked, parts = stack(features), stretches(features)
    if lags == [0]:
        values, usable = stacked.values, np.arange(len(stacked.values))
    else:
        values = np.concatenate([shifted(stacked.values, parts, lag) for lag in lags], axis=1)
        usable = np.flatnonzero(~np.isnan(values).any(axis=1))
    if not usable.size:
        longest = max((part.stop - part.start for part in parts), default=0)
        raise AnalysisError(
            f"encoding: lags {list(lags)} leave no sample of dims {stacked.sample_dims}; the longest stretch "
            f"(segment of a trial) has {longest}"
        )
    names = features["unit"].values
    labels = [str(name) if lags == [0] else f"{name}@{lag}" for lag in lags for name in names]
    coords = {
        f"feature_{name}": ("feature", np.tile(coord.values, len(lags)), coord.attrs)
        for name, coord in stacked.unit_coords.items()
    }
    lag = ("feature", np.repeat(np.asarray(lags, dtype=np.int64), len(names)), {"units": "sample"})
    feature = ("feature", np.array(labels, dtype=object))
    return Design(values, usable, {**coords, "feature": feature, "feature_lag": lag})
