"""Correlation of every pair of units at every lag, and the lag at which it peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._lags import lagged_products
from neurointerp.analyses.connectivity._pairs import (
    SIDES,
    averaged,
    complete,
    pair_coords,
    sampling_rate,
    subject_coords,
)
from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.result import pending, result

_ANALYSIS = "connectivity.lagged"


def lagged(recording: xr.DataArray, *, max_lag: int = 10, seed: int = 0) -> xr.Dataset:
    r"""Correlate every pair of units at every lag up to `max_lag`.

    .. math:: r_{ij}(\ell) = \operatorname{corr}_t \left( x_i(t),\ x_j(t + \ell) \right)

    the Pearson correlation of all pairs of samples :math:`\ell` apart that lie in one segment of one trial. A peak
    at a positive lag says that the source comes first.

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values. float32 stays float32. Each subject is taken alone.
    max_lag
        Largest lag, in samples; 10 by default. Some segment must be longer than `max_lag + 1` samples.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target, lag)`, in [-1, 1]; `peak (source, target)`, its value of largest size over
        lags, with its sign; `peak_lag (source, target)`, where it is: of equal ones that nearest to 0, and the
        positive one first. `lag` and `peak_lag` are in the units of the clock. NaN where either unit is constant
        over the pairs of samples; a constant unit has no peak, and the attr `undefined_units` counts such units. With a
        `subject` dim `connectivity` is the average over subjects of Fisher's z, turned back, `by_subject (subject,
        source, target, lag)` those averaged, and the peak is that of the average.

    Raises
    ------
    AnalysisError
        When values are missing, the clock is irregular or absent, or no segment is long enough.

    Notes
    -----
    Each lag has its own means and variances, those of the pairs it has. Values are thus bounded, are not drawn
    towards 0 at long lags, and at lag 0 equal `correlation`. Autocorrelated units correlate at all lags by
    chance: compare with `surrogate.circular_shift`.

    References
    ----------
    Box, Jenkins and Reinsel (2008), Time series analysis, 4th ed., sec. 12.1, cross-correlation function.
    Deviation: means and variances per lag, where theirs are those of the whole series.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal(203)
    >>> rec = ni.recording(np.stack([x[3:], x[:-3]], axis=1), modality="eeg", units="V", sampling_rate=100.0)
    >>> out = connectivity.lagged(rec, max_lag=5)  # the second unit follows the first by three samples
    >>> out.peak_lag.values
    array([[ 0.  ,  0.03],
           [-0.03,  0.  ]])
    """
    stacked = complete(recording, _ANALYSIS)
    rate = sampling_rate(recording, _ANALYSIS)
    parts = stretches(recording)
    longest = max((part.stop - part.start for part in parts), default=0)
    if not 0 <= max_lag < longest - 1:
        raise AnalysisError(
            f"{_ANALYSIS}: max_lag is {max_lag!r} and the longest segment has {longest} samples; a lag from 0 to "
            f"{longest - 2} leaves at least two pairs of samples"
        )
    analysed = pending(recording)
    subjects = recording.sizes.get("subject", 1)
    own = parts[: len(parts) // max(subjects, 1)]
    each = [_lagged(values, own, int(max_lag)) for values in np.split(stacked.values, subjects)]
    several = "subject" in recording.dims
    r = averaged(np.stack([one for one, _, _ in each]), fisher=True)[0] if several else each[0][0]
    peak, at = _peaks(r) if several else each[0][1:]
    pairs = pair_coords(stacked.unit_coords)
    clock = {"units": recording["time"].attrs["units"]}
    coords = {**pairs, "lag": ("lag", np.arange(-max_lag, max_lag + 1) / rate, clock)}
    attrs = {"units": "1", "undefined_units": int(np.isnan(np.diag(peak)).sum())}
    variables = {
        "connectivity": xr.DataArray(np.moveaxis(r, 0, -1), dims=(*SIDES, "lag"), coords=coords, attrs=attrs),
        "peak": xr.DataArray(peak, dims=SIDES, coords=pairs, attrs={"units": "1"}),
        "peak_lag": xr.DataArray(at / rate, dims=SIDES, coords=pairs, attrs=clock),
    }
    if several:
        one = np.moveaxis(np.stack([one for one, _, _ in each]), 1, -1)
        labels = {**subject_coords(recording), **coords}
        variables["by_subject"] = xr.DataArray(one, dims=("subject", *SIDES, "lag"), coords=labels, attrs=attrs)
    return result(variables, analysis=_ANALYSIS, recording=analysed, parameters={"max_lag": int(max_lag)}, seed=seed)


def _lagged(values: np.ndarray, parts: Sequence[slice], max_lag: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the correlations (lag, unit, unit) of (sample, unit) values from -max_lag to max_lag, and their peaks."""
    z, _ = scaled(values)
    units = z.shape[1]
    r = np.empty((2 * max_lag + 1, units, units), dtype=z.dtype)
    leads, follows = _moments(z, parts, max_lag)
    for block, products in lagged_products(_padded(z, parts, max_lag), max_lag):
        for lag, product in enumerate(products):
            (count, mean, deviation), (_, mean2, deviation2) = leads[lag], follows[lag]
            scale, scale2 = ((1 / side).astype(z.dtype) for side in (deviation, deviation2[block]))
            product -= ((count * mean).astype(z.dtype)[:, None]) * mean2[block].astype(z.dtype)
            product *= scale[:, None]
            product *= scale2
            np.clip(product, -1.0, 1.0, out=product)
            r[max_lag + lag][:, block] = product
            if lag:
                r[max_lag - lag][block] = product.T
    r[max_lag] = (r[max_lag] + r[max_lag].T) / 2
    diagonal = np.einsum("ii->i", r[max_lag])
    diagonal[~np.isnan(diagonal)] = 1.0
    return r, *_peaks(r)


def _padded(z: np.ndarray, parts: Sequence[slice], gap: int) -> np.ndarray:
    """Put `gap` rows of zeros between stretches: a shifted product then pairs no sample with another stretch."""
    if len(parts) == 1:
        return np.ascontiguousarray(z[parts[0]])
    rows = np.concatenate([np.arange(part.start, part.stop) + i * gap for i, part in enumerate(parts)])
    padded = np.zeros((len(z) + gap * (len(parts) - 1), z.shape[1]), dtype=z.dtype)
    padded[rows] = z
    return padded


Moments = list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]


def _moments(z: np.ndarray, parts: Sequence[slice], max_lag: int) -> tuple[Moments, Moments]:
    """Give per lag the count, means and root sums of squares about them of the samples that lead and that follow."""
    leads = [[part.stop - lag for part in parts if part.stop - part.start >= lag] for lag in range(1, max_lag + 1)]
    follows = [
        [part.start + lag - 1 for part in parts if part.stop - part.start >= lag] for lag in range(1, max_lag + 1)
    ]
    return _without(z, leads), _without(z, follows)


def _without(z: np.ndarray, left: Sequence[Sequence[int]]) -> Moments:
    """Give count, means and deviations of all samples, then without those of each list of `left` in turn."""
    count = len(z)
    total = z.sum(axis=0, dtype=np.float64)
    square = (z.astype(np.float64) ** 2).sum(axis=0)
    whole = square.copy()
    out: Moments = []
    for rows in [[], *left]:
        gone = z[list(rows)].astype(np.float64)
        count -= len(rows)
        total = total - gone.sum(axis=0)
        square = square - (gone * gone).sum(axis=0)
        mean = total / max(count, 1)
        rest = square - count * mean**2
        constant = rest <= 1e3 * np.finfo(z.dtype).eps * whole / len(z)  # what rounding leaves of no variance
        out.append((count, mean, np.sqrt(np.where(constant, np.nan, rest))))
    return out


def _peaks(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the value of largest size over lags (lag, unit, unit), and its lag; NaN where there is none."""
    most = len(r) // 2
    peak, at = np.full(r.shape[1:], np.nan, dtype=r.dtype), np.full(r.shape[1:], np.nan)
    size = np.full(r.shape[1:], -1.0, dtype=r.dtype)
    for step in sorted(range(-most, most + 1), key=lambda lag: (abs(lag), -lag)):
        here = np.abs(r[most + step])
        larger = here > size  # never where it is NaN
        np.copyto(size, here, where=larger)
        np.copyto(peak, r[most + step], where=larger)
        np.copyto(at, step, where=larger)
    return peak, at
