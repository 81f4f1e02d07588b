"""Steps from fluorescence to dF/F and on to deconvolved activity, each recorded in `history`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history
from neurointerp.schema import check, segment_bounds


def dff(rec: xr.DataArray, *, percentile: float = 8.0, window: float | None = None) -> xr.DataArray:
    """Give the relative change of fluorescence over a running baseline, `(F - F0) / F0`.

    Parameters
    ----------
    rec
        (time, unit) fluorescence.
    percentile
        F0 is this percentile (0 to 100) of each unit's values, missing ones left aside.
    window
        Width (s) of the window that F0 is taken in, centred on each sample, within segments; None (default): one F0
        per unit for the whole recording. A window needs a regular clock and no missing values.

    Returns
    -------
    xarray.DataArray
        Same shape and labels, float64, units `"1"`.

    Raises
    ------
    LoaderError
        When dims, percentile or window do not fit, or a baseline is not above zero; the message names the unit.

    Notes
    -----
    The percentile in a window of Dombeck DA, et al. (2007) Neuron 56:43 (8th, 15 s there). Neuropil comes off before.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.array([[2.0], [2.0], [3.0]]), modality="calcium", units="1", sampling_rate=1.0)
    >>> dff(rec, percentile=0).values.ravel()
    array([0. , 0. , 0.5])
    """
    _check(rec)
    if not 0 <= percentile <= 100:
        raise LoaderError(f"percentile is {percentile!r}: a number from 0 to 100 is needed")
    values = np.asarray(rec.values, dtype=np.float64)
    blank = ~np.isfinite(values).any(axis=0)
    baseline = np.full_like(values, np.nan)
    if window is None:
        baseline[:, ~blank] = np.nanpercentile(values[:, ~blank], percentile, axis=0)
    else:
        baseline = _running(rec, values, percentile, window)
    low = np.flatnonzero((baseline <= 0).any(axis=0))
    if low.size:
        unit = rec["unit"].values[low[0]]
        raise LoaderError(
            f"{low.size} units have a baseline that is not above zero, first {unit!r} "
            f"({np.nanmin(baseline[:, low[0]]):g}): dF/F is not defined; leave them out, or subtract less neuropil"
        )
    out = rec.copy(data=(values - baseline) / baseline)
    out.attrs = {**rec.attrs, "units": "1"}
    return add_history(out, "loaders.calcium.dff", percentile=percentile, window=window)


def subtract_neuropil(rec: xr.DataArray, neuropil: xr.DataArray, *, coefficient: float = 0.7) -> xr.DataArray:
    """Take a share of the surrounding signal from each unit, `F - coefficient * Fneu`.

    Parameters
    ----------
    rec, neuropil
        (time, unit) of the same clock, units of values and labels, such as suite2p's `F` and `Fneu`.
    coefficient
        Share, in (0, 1].

    Returns
    -------
    xarray.DataArray
        As `rec`, float64.

    Raises
    ------
    LoaderError
        When labels, clocks or units differ, or the coefficient is out of range.

    Notes
    -----
    0.7 after Chen TW, et al. (2013) Nature 499:295.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.ones((2, 1)), modality="calcium", units="1", sampling_rate=1.0)
    >>> subtract_neuropil(rec, rec, coefficient=0.5).values.ravel()
    array([0.5, 0.5])
    """
    _check(rec)
    _check(neuropil)
    if not 0 < coefficient <= 1:
        raise LoaderError(f"coefficient is {coefficient!r}: a share in (0, 1] is needed")
    for dim in ("time", "unit"):
        if not rec.indexes[dim].equals(neuropil.indexes[dim]):
            raise LoaderError(f"the neuropil has other labels along {dim!r}: match them first")
    if rec.attrs["units"] != neuropil.attrs["units"]:
        raise LoaderError(f"units differ: {rec.attrs['units']!r} and {neuropil.attrs['units']!r}")
    values = np.asarray(rec.values, np.float64) - coefficient * np.asarray(neuropil.values, np.float64)
    return add_history(rec.copy(data=values), "loaders.calcium.subtract_neuropil", coefficient=coefficient)


def deconvolve(rec: xr.DataArray, *, decay: float | None = None) -> xr.DataArray:
    r"""Estimate the activity that a calcium trace follows, with OASIS as the library `oasis-deconv` has it.

    .. math:: \min \|s\|_1 \quad \text{with} \quad c_t = g\, c_{t-1} + s_t,\; s_t \ge 0,\;
              \|y - b - c\|^2 = \sigma^2 T, \quad g = e^{-1 / (\tau r)}

    Parameters
    ----------
    rec
        (time, unit) dF/F or fluorescence on a regular clock in seconds (rate :math:`r`), without missing values.
    decay
        Time constant :math:`\tau` (s) of the indicator; None (default): the library's estimate from the
        autocovariance of each unit, for which the recording must be one segment.

    Returns
    -------
    xarray.DataArray
        (time, unit): activity :math:`s`, float64, not negative, in the units of the trace per sample; segments are
        taken apart. Along `unit`: `decay` (s). It is no spike count, and its scale is that of the indicator.

    Raises
    ------
    LoaderError
        When the library is missing, the clock is not regular, values are missing, several segments have no `decay`,
        or a unit shows no exponential decay; the message names the unit.

    Notes
    -----
    Friedrich J, Zhou P, Paninski L (2017) PLoS Comput Biol 13:e1005423. The baseline :math:`b \ge 0` and the noise
    :math:`\sigma` are the library's own estimates. `oasis-deconv` is GPL-3 and no dependency of this package: install
    it yourself.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.loaders import calcium
    >>> activity = calcium.deconvolve(ni.load("demo-calcium"), decay=0.5)  # doctest: +SKIP
    """
    _check(rec)
    rate = rec.attrs.get("sampling_rate")
    missing = int((~np.isfinite(rec.values)).sum())
    if missing or rate is None or rec["time"].attrs.get("units") != "s":
        found = f"{missing} missing values" if missing else f"rate {rate!r} in {rec['time'].attrs.get('units')!r}"
        raise LoaderError(f"deconvolve: all values on a regular clock in seconds are needed, found {found}")
    bounds = segment_bounds(rec)
    if decay is None and len(bounds) > 1:
        raise LoaderError(f"deconvolve: {len(bounds)} segments may not share an estimate; pass decay= (s)")
    if decay is not None and not 0 < decay < np.inf:
        raise LoaderError(f"deconvolve: decay is {decay!r}: a positive number of seconds is needed")
    values, constants = np.empty(rec.shape), np.empty(rec.sizes["unit"])
    for column, unit in enumerate(rec["unit"].values):
        for begin, end in bounds:
            trace = np.asarray(rec.values[begin:end, column], dtype=np.float64)
            values[begin:end, column], constants[column] = _oasis(trace, rate, decay, unit)
    out = rec.copy(data=values).assign_coords(decay=("unit", constants, {"units": "s"}))
    return add_history(out, "loaders.calcium.deconvolve", method="oasis", order=1, penalty=1, decay=decay)


def _oasis(trace: np.ndarray, rate: float, decay: float | None, unit: Any) -> tuple[np.ndarray, float]:
    try:
        library = import_module("oasis.functions")
    except ImportError as error:
        raise LoaderError("oasis-deconv (GPL-3) is needed to deconvolve: pip install oasis-deconv") from error
    with files.reading(f"unit {unit!r}", "a trace that decays"):
        given = None if decay is None else float(np.exp(-1 / (decay * rate)))
        _, activity, _, constants, _ = library.deconvolve(trace, g=(given,), penalty=1)
    factor = float(np.ravel(constants)[0])
    if not 0 < factor < 1:
        raise LoaderError(f"deconvolve: unit {str(unit)!r} shows no exponential decay (factor {factor:.3g} per sample)")
    return np.maximum(activity, 0.0), float(-1 / (np.log(factor) * rate)) if decay is None else decay


def _check(rec: xr.DataArray) -> None:
    check(rec)
    if rec.dims != ("time", "unit"):
        raise LoaderError(f"traces (time, unit) are needed, found dims {rec.dims}")


def _running(rec: xr.DataArray, values: np.ndarray, percentile: float, window: float) -> np.ndarray:
    from scipy.ndimage import percentile_filter

    rate = rec.attrs.get("sampling_rate")
    missing = int((~np.isfinite(values)).sum())
    if rate is None or missing:
        found = f"{missing} missing values" if missing else "an irregular clock"
        raise LoaderError(
            f"a baseline in a window needs a regular clock and all values, found {found}; use window=None"
        )
    samples = round(window * rate)
    if samples < 2:
        raise LoaderError(f"window={window!r} s is {samples} samples at {rate:g} Hz: a longer one is needed")
    parts = [
        percentile_filter(values[a:b], percentile, size=(samples, 1), mode="nearest") for a, b in segment_bounds(rec)
    ]
    return np.concatenate(parts)
