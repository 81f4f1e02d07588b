"""Pearson correlation of every pair of units."""

from __future__ import annotations

from typing import Any

import xarray as xr

from neurointerp.analyses.connectivity._pairs import SIDES, pair_coords
from neurointerp.backend import namespace, to_numpy
from neurointerp.errors import AnalysisError
from neurointerp.matrix import require_complete, stack
from neurointerp.result import result


def correlation(recording: xr.DataArray, *, seed: int = 0) -> xr.Dataset:
    r"""Correlate every pair of units over all samples.

    :math:`r_{ij} = \sum_t z_i(t)\, z_j(t)` with each unit centred and scaled to unit length. Samples of all
    trials, segments and subjects are pooled about one mean.

    Parameters
    ----------
    recording
        Any recording without missing values. float32 stays float32: on 100,000 samples of normal
        values it is within 1e-6 of the answer in float64, also where means are 100 standard deviations from 0.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, dimensionless in [-1, 1], symmetric, 1 on the diagonal. `source` and
        `target` are the unit labels; a coordinate `region` of the units becomes `source_region` and
        `target_region`. A constant unit has no correlation: its row and column, diagonal included, are NaN,
        and the attr `undefined_units` of `connectivity` counts such units.

    Raises
    ------
    AnalysisError
        When values are missing or there are fewer than two samples.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> values = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 1.0], [3.0, 6.0, 2.0]])
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0)
    >>> connectivity.correlation(rec).connectivity.values.round(6) + 0.0
    array([[ 1. ,  1. , -0.5],
           [ 1. ,  1. , -0.5],
           [-0.5, -0.5,  1. ]])
    """
    stacked = stack(recording)
    require_complete(recording, "connectivity.correlation")
    if len(stacked.values) < 2:
        raise AnalysisError(
            f"connectivity.correlation: {len(stacked.values)} samples along {stacked.sample_dims}; at least 2 "
            "are needed"
        )
    r, defined = _pearson(stacked.values)
    attrs = {"units": "1", "undefined_units": int((~to_numpy(defined)).sum())}
    connectivity = xr.DataArray(r, dims=SIDES, coords=pair_coords(stacked.unit_coords), attrs=attrs)
    return result(
        {"connectivity": connectivity},
        analysis="connectivity.correlation",
        recording=recording,
        parameters={},
        seed=seed,
    )


def _pearson(values: Any) -> tuple[Any, Any]:
    """Give the correlations (unit, unit) of (sample, unit) values, and which units vary (unit)."""
    xp = namespace(values)
    varies = xp.max(values, axis=0) > xp.min(values, axis=0)
    z = values - _mean(xp, values)
    z = z - _mean(xp, z)  # what rounding of a large mean left behind
    largest = xp.max(xp.abs(z), axis=0)
    z = z / xp.where(varies, largest, xp.ones_like(largest))  # so that no square under- or overflows
    length = xp.sqrt(xp.sum(z * z, axis=0, dtype=xp.float64))
    z = z / xp.astype(xp.where(varies, length, xp.ones_like(length)), z.dtype)
    r = xp.clip(z.T @ z, -1.0, 1.0)
    r = (r + r.T) / 2
    same = xp.eye(r.shape[0], dtype=xp.bool, device=r.device)
    r = xp.where(same, xp.ones_like(r), r)
    return xp.where(varies[:, None] & varies[None, :], r, xp.full_like(r, xp.nan)), varies


def _mean(xp: Any, values: Any) -> Any:
    """Give the mean of each column, summed in float64 and given in the dtype of `values`."""
    return xp.astype(xp.sum(values, axis=0, dtype=xp.float64) / values.shape[0], values.dtype)
