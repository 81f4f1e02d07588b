"""Intervals, p-values and their correction for many tests; standard scores and variances of recordings.

Tests take plain arrays, or DataArrays whose labels they keep. Null draws are the same statistic of surrogates.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.matrix import stack
from neurointerp.recordings import add_history
from neurointerp.schema import check
from neurointerp.units import power

Array = TypeVar("Array", xr.DataArray, NDArray[Any])
Floats = NDArray[np.float64]
Tail = Literal["greater", "less", "two-sided"]
BATCH = 20_000_000
"""Numbers that a bootstrap holds at a time."""


def zscore(recording: xr.DataArray, *, fit: Any = None) -> xr.DataArray:
    """Centre each unit and divide it by its standard deviation.

    Parameters
    ----------
    recording
        Any recording; missing values stay and are left out of mean and standard deviation.
    fit
        (k) int positions on the stacked sample axis (`train` of a fold of `neurointerp.split`) that mean and
        standard deviation are taken from, so that test samples do not leak into them. Default: all samples.

    Returns
    -------
    xarray.DataArray
        Same dims and labels, units `"1"`, one step longer `history`; float32 stays, any other type is float64.

    Raises
    ------
    AnalysisError
        When units are constant, or have no value, over the samples fitted on (with their count).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.array([[1.0], [3.0]]), modality="eeg", units="uV", sampling_rate=1.0)
    >>> out = ni.statistics.zscore(rec)
    >>> out.values.ravel().tolist(), out.attrs["units"]
    ([-1.0, 1.0], '1')
    """
    values = stack(recording).values
    rows = np.arange(len(values)) if fit is None else np.asarray(fit)
    if rows.dtype.kind not in "iu" or not rows.size or rows.min() < 0 or rows.max() >= len(values):
        raise AnalysisError(f"zscore: fit must hold int positions within the {len(values)} stacked samples")
    known = values[rows].astype(np.float64)
    there = ~np.isnan(known)
    count = np.maximum(there.sum(axis=0), 1)
    first = np.nan_to_num(np.take_along_axis(known, there.argmax(axis=0)[None], axis=0)[0])
    known = np.where(there, known - first, 0.0)  # about a value of its own, a constant unit is exactly nothing
    mean = known.sum(axis=0) / count
    deviation = np.sqrt((np.where(there, known - mean, 0.0) ** 2).sum(axis=0) / count)
    constant = deviation == 0
    if constant.any():
        raise AnalysisError(
            f"zscore: {int(constant.sum())} of {constant.size} units do not vary, first "
            f"{str(recording['unit'].values[constant.argmax()])!r}; drop them first (.drop_sel(unit=[...]))"
        )
    scaled = ((values - (first + mean)) / deviation).astype(values.dtype, copy=False)
    out = recording.copy(data=scaled.reshape(recording.shape))
    out.attrs["units"] = "1"
    return add_history(out, "statistics.zscore", samples_fitted=len(known), of=len(values))


def variance(recording: xr.DataArray, *, dim: str | None = None) -> xr.DataArray:
    """Give the variance of each unit, in squared units.

    Parameters
    ----------
    recording
        Any recording; missing values are left out.
    dim
        Dim to take it over; all sample dims by default.

    Returns
    -------
    xarray.DataArray
        float64, without `dim`; the mean squared distance from the mean (not the unbiased estimate). attrs as
        before with squared `units` and one more step in `history`; without `time` no `sampling_rate`.

    Raises
    ------
    RecordingError
        When squares of the units have no unit (degrees Celsius, decibels).
    AnalysisError
        When there is no such sample dim.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.array([[1.0], [3.0]]), modality="eeg", units="uV", sampling_rate=1.0)
    >>> out = ni.statistics.variance(rec)
    >>> out.values.tolist(), out.attrs["units"]
    ([1.0], 'uV**2')
    """
    check(recording)
    dims = recording.dims[:-1] if dim is None else (dim,)
    if not set(dims) <= set(recording.dims[:-1]):
        raise AnalysisError(f"variance: no sample dim {dim!r}; there are: {', '.join(map(str, recording.dims[:-1]))}")
    units = power(recording.attrs["units"], 2)
    centred = recording.astype(np.float64) - recording.astype(np.float64).mean(dims)
    out = (centred * centred).mean(dims)
    out.name = recording.name
    out.attrs = {**recording.attrs, "units": units}
    if "time" not in out.dims:
        out.attrs.pop("sampling_rate", None)
    return add_history(out, "statistics.variance", dim=dim)


def bootstrap_interval(
    values: Array, statistic: Callable[..., Any] = np.mean, *, dim: str | int, level: float = 0.95,
    method: Literal["bca", "percentile"] = "bca", resamples: int = 2000, seed: int = 0,
) -> Array:  # fmt: skip
    """Give a bootstrap confidence interval of a statistic, by resampling one dim with replacement.

    The same samples are drawn for all units, so that what units share is kept. Samples along `dim` must be
    independent: trials, stimuli, subjects. Neighbours in time are not, and their interval would be too narrow.

    Parameters
    ----------
    values
        numpy array or DataArray without missing values.
    statistic
        Takes an array and `axis=`, and gives one number for that axis, as `numpy.mean` does.
    dim
        Name of the dim of a DataArray, or axis of an array, that is resampled; not `time`.
    level
        Coverage, between 0 and 1.
    method
        `"bca"`, bias-corrected and accelerated (Efron 1987, J Am Stat Assoc 82:171), or `"percentile"`; both are
        scipy's (`scipy.stats.bootstrap`).
    resamples
        Number of resamples.
    seed
        Seed of the draws.

    Returns
    -------
    array
        (bound, ...): low and high of what `statistic` gives, labelled so on the dim `bound` of a DataArray.
        Where all values along `dim` are one, both bounds are its statistic; where BCa is undefined else, NaN.

    Raises
    ------
    AnalysisError
        When values are missing (their count), there are fewer than two samples, `dim` is time or not there.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(0).normal(5.0, 1.0, (100, 2))
    >>> low, high = bootstrap_interval(values, dim=0)
    >>> (low < 5.0).tolist(), (high > 5.0).tolist(), (high - low).round(1).tolist()
    ([True, True], [True, True], [0.4, 0.4])
    """
    if not 0 < level < 1 or resamples < 1 or method not in ("bca", "percentile"):
        raise AnalysisError(
            f"bootstrap_interval: level {level}, resamples {resamples}, method {method!r}: a level within (0, 1), "
            "a resample or more, and 'bca' or 'percentile' are needed"
        )
    found = _bootstrapped(_with_samples_last(values, dim), statistic, level, method, resamples, seed)
    if isinstance(values, xr.DataArray):
        bound = np.array(["low", "high"], dtype=object)
        coords = {"bound": bound, **values.isel({dim: 0}, drop=True).coords}
        dims = ["bound", *(other for other in values.dims if other != dim)]
        attrs = {"level": level, "method": method, "resamples": resamples, "seed": seed}
        return xr.DataArray(found, dims=dims, coords=coords, name=values.name, attrs=attrs)
    return found


def permutation_p(observed: Array, null: Array, *, tail: Tail = "greater", dim: str = "draw") -> Array:
    r"""Give the p-value of each statistic among its own null draws.

    :math:`p = (1 + \#\{b : T_b \ge T\}) / (1 + B)` of :math:`B` draws: the data are one of the equally likely draws
    under the null, so p is never 0 (Phipson and Smyth 2010). Draws within rounding of the observed value count
    as ties. Two-sided is twice the smaller of both tails, at most 1.

    Parameters
    ----------
    observed
        (...), such as one value per unit. NaN where there is no statistic.
    null
        (draw, ...): the same statistic of each surrogate or permutation.
    tail
        Which way the alternative lies.
    dim
        Name of the draws' dim in a DataArray; in an array they come first.

    Returns
    -------
    array
        (...), labels kept; NaN where `observed` is.

    Raises
    ------
    AnalysisError
        When shapes or labels differ, there are no draws, or draws are missing where there is a statistic.

    References
    ----------
    Phipson, Smyth (2010), Permutation p-values should never be zero, Statistical Applications in Genetics and
    Molecular Biology 9:39.

    Examples
    --------
    >>> import numpy as np
    >>> permutation_p(np.array([2.5, 0.0]), np.array([[0.0, 1.0], [1.0, -1.0], [3.0, 2.0]]))
    array([0.5 , 0.75])
    """
    one, draws = _paired(observed, null, dim, "permutation_p", tail)
    greater, less = (_share_beyond(sign * one, sign * draws) for sign in (1.0, -1.0))
    p = {"greater": greater, "less": less, "two-sided": np.minimum(1.0, 2 * np.minimum(greater, less))}[tail]
    return _labelled(observed, np.where(np.isnan(one), np.nan, p), "p_value")


def max_statistic_p(observed: Array, null: Array, *, tail: Tail = "greater", dim: str = "draw") -> Array:
    r"""Give p-values corrected for all statistics at once, among the largest of each null draw.

    :math:`p_i = (1 + \#\{b : \max_j T_{bj} \ge T_i\}) / (1 + B)`. The chance of any false positive among all
    statistics is at most the level tested at, however they depend on each other, where the whole null holds and
    (for exactness) subset pivotality (Westfall and Young 1993; Nichols and Holmes 2002). Statistics should be on
    one scale (correlations, z-scores): a unit with a wide null hides the others. Two-sided takes the modulus of
    statistics that are about 0 under the null.

    Parameters
    ----------
    observed, null, tail, dim
        As for `permutation_p`; each draw must be one surrogate of all units together.

    Returns
    -------
    array
        (...), labels kept; NaN where `observed` is: those take no part.

    Raises
    ------
    AnalysisError
        As `permutation_p`.

    References
    ----------
    Westfall, Young (1993), Resampling-based multiple testing, Wiley. Nichols, Holmes (2002), Nonparametric
    permutation tests for functional neuroimaging, Human Brain Mapping 15:1-25.

    Examples
    --------
    >>> import numpy as np
    >>> max_statistic_p(np.array([2.5, 0.0]), np.array([[0.0, 1.0], [1.0, -1.0], [3.0, 2.0]]))
    array([0.5, 1. ])
    """
    one, draws = _paired(observed, null, dim, "max_statistic_p", tail)
    if tail == "two-sided":
        one, draws = np.abs(one), np.abs(draws)
    elif tail == "less":
        one, draws = -one, -draws
    there = ~np.isnan(one)
    p = np.full(one.shape, np.nan)
    if there.any():
        largest = draws[:, there].max(axis=1)
        p[there] = _share_beyond(one[there], largest[:, None])
    return _labelled(observed, p, "p_value")


def fdr(p: Array, *, method: Literal["bh", "by"] = "bh") -> Array:
    """Adjust p-values for the false discovery rate: reject where the answer is at most the rate wanted.

    Parameters
    ----------
    p
        (...) within [0, 1], all of one family; NaN takes no part and stays.
    method
        `"bh"` for independent or positively dependent tests (Benjamini and Hochberg 1995), `"by"` for any
        dependence (Benjamini and Yekutieli 2001). The work is scipy's (`scipy.stats.false_discovery_control`).

    Returns
    -------
    array
        (...), labels kept; never below `p`.

    Raises
    ------
    AnalysisError
        When a value is no probability or the method is unknown.

    References
    ----------
    Benjamini, Hochberg (1995), Controlling the false discovery rate, J R Stat Soc B 57:289-300. Benjamini,
    Yekutieli (2001), The control of the false discovery rate under dependency, Annals of Statistics 29:1165-1188.

    Examples
    --------
    >>> import numpy as np
    >>> fdr(np.array([0.01, np.nan, 0.02, 0.9]))
    array([0.03, nan, 0.03, 0.9 ])
    """
    from scipy.stats import false_discovery_control

    values = np.asarray(p, dtype=np.float64)
    there = ~np.isnan(values)
    outside = int(((values[there] < 0) | (values[there] > 1)).sum())
    if outside or method not in ("bh", "by"):
        raise AnalysisError(f"fdr: {outside} values outside [0, 1], method {method!r}: 'bh' or 'by' is needed")
    adjusted = np.full(values.shape, np.nan)
    if there.any():
        adjusted[there] = false_discovery_control(values[there], method=method)
    return _labelled(p, adjusted, "q_value")


def _share_beyond(observed: Floats, draws: Floats) -> Floats:
    """Give (1 + draws at least as large) / (1 + draws); rounding, 100 eps of the observed, makes a tie."""
    slack = 100 * np.finfo(np.float64).eps * np.abs(observed)
    share: Floats = (1 + (draws >= observed - slack).sum(axis=0)) / (1 + len(draws))
    return share


def _paired(observed: Any, null: Any, dim: str, name: str, tail: str) -> tuple[Floats, Floats]:
    """Give an observed statistic (...) and its draws (draw, ...) as arrays that belong together."""
    if tail not in ("greater", "less", "two-sided"):
        raise AnalysisError(f"{name}: tail {tail!r}: 'greater', 'less' or 'two-sided' is needed")
    if isinstance(observed, xr.DataArray) != isinstance(null, xr.DataArray):
        raise AnalysisError(f"{name}: observed and null must both be DataArrays or both plain arrays")
    if isinstance(observed, xr.DataArray):
        if set(null.dims) != {dim, *observed.dims}:
            raise AnalysisError(f"{name}: null has dims {null.dims}: {(dim, *observed.dims)} are needed")
        try:
            xr.align(observed, null, join="exact", copy=False)
        except ValueError as error:
            raise AnalysisError(f"{name}: observed and null have different labels; select the same") from error
        null = null.transpose(dim, *observed.dims)
    one, draws = (np.asarray(values, dtype=np.float64) for values in (observed, null))
    if draws.shape[1:] != one.shape or draws.ndim != one.ndim + 1 or not len(draws):
        raise AnalysisError(f"{name}: observed has shape {one.shape} and null {draws.shape}: (draw, ...) is needed")
    missing = int((np.isnan(draws) & ~np.isnan(one)).sum())
    if missing:
        raise AnalysisError(f"{name}: {missing} of {draws.size} null draws are missing where there is a statistic")
    return one, draws


def _labelled(like: Array, values: Floats, name: str) -> Array:
    if isinstance(like, xr.DataArray):
        return xr.DataArray(values, dims=like.dims, coords=like.coords, name=name, attrs={"units": "1"})
    return values


def _with_samples_last(values: Any, dim: str | int) -> Floats:
    if isinstance(values, xr.DataArray):
        if dim not in values.dims or dim == "time":
            raise AnalysisError(
                f"bootstrap_interval: cannot resample {dim!r} of dims {values.dims}: name one whose samples are "
                "independent (trials, stimuli, subjects; cut time into windows first)"
            )
        array = np.asarray(values.transpose(..., dim).values, dtype=np.float64)
    else:
        array = np.asarray(values, dtype=np.float64)
        if not isinstance(dim, int) or not -array.ndim <= dim < array.ndim:
            raise AnalysisError(f"bootstrap_interval: dim {dim!r} is no axis of an array of shape {array.shape}")
        array = np.moveaxis(array, dim, -1)
    missing = int(np.isnan(array).sum())
    if missing or array.shape[-1] < 2:
        raise AnalysisError(
            f"bootstrap_interval: {array.shape[-1]} samples and {missing} missing values: two samples or more and "
            "none missing are needed"
        )
    return array


def _bootstrapped(
    array: Floats, statistic: Callable[..., Any], level: float, method: str, resamples: int, seed: int
) -> Floats:
    from scipy.stats import bootstrap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BCa on constants: answered below
        interval = bootstrap(
            (array,), statistic, axis=-1, vectorized=True, confidence_level=level, n_resamples=resamples,
            method="BCa" if method == "bca" else "percentile", batch=max(1, BATCH // max(array.size, 1)),
            random_state=np.random.default_rng(seed),  # `rng` in scipy 1.15 and later, which still take this
        ).confidence_interval  # fmt: skip
    constant = (array == array[..., :1]).all(axis=-1)
    fixed = statistic(array, axis=-1)
    low, high = (np.where(constant, fixed, bound) for bound in (interval.low, interval.high))
    return np.stack([low, high])
