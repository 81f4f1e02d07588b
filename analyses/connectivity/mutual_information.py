"""Mutual information of every pair of units, which sees what is no line."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._pairs import SIDES, by_subject, pair_coords, subject_coords
from neurointerp.errors import AnalysisError
from neurointerp.result import pending, result

_ANALYSIS = "connectivity.mutual_information"


def mutual_information(recording: xr.DataArray, *, n_neighbors: int = 3, seed: int = 0) -> xr.Dataset:
    r"""Estimate the mutual information of every pair of units from distances to nearest neighbours.

    .. math:: I(x; y) = \iint p(x, y) \ln \frac{p(x, y)}{p(x)\, p(y)}\, dx\, dy

    Parameters
    ----------
    recording
        Any recording; missing values are left out pair by pair. Samples of all trials and segments are pooled, each
        subject is taken alone. Samples count as independent: those of a slow recording are not, and need a null.
    n_neighbors
        Neighbours in the estimate; more are smoother and more biased.
    seed
        Seed of the noise, 1e-10 of a standard deviation, that breaks ties.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, nats, 0 or more, symmetric, NaN on the diagonal. NaN too where a unit is
        constant or a pair has fewer than `n_neighbors + 1` samples in common; the attr `undefined_units` counts units
        without any pair. With a `subject` dim the mean over subjects, and `by_subject (subject, source, target)`.

    Raises
    ------
    AnalysisError
        When there are fewer than two samples, or `n_neighbors` is under 1.

    References
    ----------
    Kraskov, Stoegbauer and Grassberger (2004), Estimating mutual information, Phys Rev E 69:066138, in the form of
    Ross (2014), PLoS ONE 9:e87357, as scikit-learn has it (`mutual_info_regression`), which does the work.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((300, 2))
    >>> values = np.stack([x[:, 0], x[:, 0] ** 2, x[:, 1]], axis=1)  # the second is a square, uncorrelated
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0)
    >>> out = connectivity.mutual_information(rec).connectivity
    >>> bool(out[0, 1] > 1), bool(out[0, 2] < 0.2)
    (True, True)
    """
    if n_neighbors < 1:
        raise AnalysisError(f"{_ANALYSIS}: n_neighbors is {n_neighbors!r}; at least 1 is needed")
    stacked, subjects = by_subject(recording, _ANALYSIS)
    analysed = pending(recording)
    each = np.stack([_information(values, n_neighbors, seed) for values in subjects])
    there = ~np.isnan(each)
    count = there.sum(axis=0)
    mean = np.where(count > 0, np.where(there, each, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    coords = pair_coords(stacked.unit_coords)
    attrs = {"units": "1", "undefined_units": int((count == 0).all(axis=0).sum())}
    variables = {"connectivity": xr.DataArray(mean, dims=SIDES, coords=coords, attrs=attrs)}
    if "subject" in recording.dims:
        labels = {**subject_coords(recording), **coords}
        variables["by_subject"] = xr.DataArray(each, dims=("subject", *SIDES), coords=labels, attrs={"units": "1"})
    return result(variables, analysis=_ANALYSIS, recording=analysed, parameters={"n_neighbors": n_neighbors}, seed=seed)


def _information(values: np.ndarray, n_neighbors: int, seed: int) -> np.ndarray:
    """Give the information (unit, unit) of the pairs of (sample, unit) values, over the samples that both have."""
    from sklearn.feature_selection import mutual_info_regression

    units = values.shape[1]
    out = np.full((units, units), np.nan)
    there = ~np.isnan(values)
    for i in range(units):
        for j in range(i):
            rows = there[:, i] & there[:, j]
            x, y = values[rows, i].astype(np.float64), values[rows, j].astype(np.float64)
            if rows.sum() > n_neighbors and np.ptp(x) > 0 and np.ptp(y) > 0:
                x, y = x / np.ptp(x), y / np.ptp(y)  # so that no variance under- or overflows
                out[i, j] = out[j, i] = mutual_info_regression(
                    x[:, None], y, n_neighbors=n_neighbors, random_state=seed, discrete_features=False
                )[0]
    return out
