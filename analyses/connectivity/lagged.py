"""What the past of units says of others: correlation at every lag, and ridge regression on the past of all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._lags import lagged_correlations, peaks
from neurointerp.analyses.connectivity._pairs import require_whole, sampling_rate
from neurointerp.analyses.connectivity._past import ridge, rows
from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.analyses.connectivity._subjects import fisher_mean, mean, subjects_of
from neurointerp.device import in_blocks, on_device
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES, side_coords
from neurointerp.result import pending, result
from neurointerp.streaming import Rows

_LAGGED = "connectivity.lagged"
_EFFECTIVE = "connectivity.effective"


def lagged(
    recording: xr.DataArray, *, max_lag: int = 10, device: str | None = None, precision: str | None = None,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Correlate every pair of units at every lag up to `max_lag`.

    .. math:: r_{ij}(\ell) = \operatorname{corr}_t \left( x_i(t),\ x_j(t + \ell) \right)

    the Pearson correlation of all pairs of samples :math:`\ell` apart that lie in one segment of one trial. A peak
    at a positive lag says that the source comes first.

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values. float32 stays float32. Each subject is taken
        alone, and may lack whole units (NaN).
    max_lag
        Largest lag, in samples; 10 by default. Some segment must be longer than `max_lag + 1` samples.
    device
        Where torch works on the blocks of the recording (`"cuda"`, `"cpu"`, ...), copying one beside the products of
        another; None (default): numpy. There each lag is a product of matrices of its own.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; devices that have none use float32); `"bfloat16"`, the values themselves rounded to 8 bits (4e-3).
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
        source, target, lag)` those averaged, `subjects (source, target)` how many, and the peak is that of the average.

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
    require_whole(_LAGGED, max_lag=max_lag)
    rate = sampling_rate(recording, _LAGGED)
    blocks = in_blocks(recording, device, precision, _LAGGED)
    people = subjects_of(blocks, _LAGGED, partial(_require_lags, max_lag=max_lag))
    analysed = pending(recording)
    given = on_device(people.each, device, precision)
    each = [np.moveaxis(lagged_correlations(values, people.parts, int(max_lag)), 0, -1) for values in given]
    clock = {"units": recording["time"].attrs["units"]}
    axes = {"lag": ("lag", np.arange(-max_lag, max_lag + 1) / rate, clock)}
    variables = people.variables("connectivity", each, average=fisher_mean, axes=axes, attrs={"units": "1"})
    peak, at = peaks(np.moveaxis(variables["connectivity"].values, -1, 0))
    variables["connectivity"].attrs["undefined_units"] = int(np.isnan(np.diag(peak)).sum())
    pairs = side_coords(people.stacked.unit_coords)
    variables["peak"] = xr.DataArray(peak, dims=SIDES, coords=pairs, attrs={"units": "1"})
    variables["peak_lag"] = xr.DataArray(at / rate, dims=SIDES, coords=pairs, attrs=clock)
    parameters = {"max_lag": int(max_lag), "device": device, "precision": precision}
    return result(variables, analysis=_LAGGED, recording=analysed, parameters=parameters, seed=seed)


def _require_lags(parts: Sequence[slice], max_lag: int) -> None:
    longest = max((part.stop - part.start for part in parts), default=0)
    if not 0 <= max_lag < longest - 1:
        raise AnalysisError(
            f"{_LAGGED}: max_lag is {max_lag!r} and the longest segment has {longest} samples; a lag from 0 to "
            f"{longest - 2} leaves at least two pairs of samples"
        )


def effective(
    recording: xr.DataArray, *, order: int = 1, alpha: float | None = None, folds: int = 5,
    device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Weigh how much the past of each unit drives each other unit when the past of all is known.

    .. math:: \min_W \sum_t \left( y_t - \sum_{x, \ell} W_{xy\ell}\, x_{t - \ell} \right)^2 + \alpha n \sum W_{xy\ell}^2

    for each target :math:`y`, with all units in standard units and :math:`n` samples.

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values; each subject is taken alone, and may lack whole
        units (NaN). The past is taken within segments and trials. Computed in float64.
    order
        Samples of past; default 1.
    alpha
        The penalty, as a part of the variance of a predictor; left out, that of 15 from 1e-4 to 1e3 which predicts
        best, over all targets, the held-out blocks of consecutive samples.
    folds
        How many blocks.
    device
        Where torch multiplies the blocks of the recording and solves the regressions (`"cuda"`, `"cpu"`, ...), in
        float64; None (default): numpy.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, the sum over lags of `weights (source, target, lag)`: by how many standard
        deviations a target moves when a source was one higher throughout its past, the diagonal included; `score
        (target)`, the share of variance predicted in held-out blocks (below 0 where the mean does better; where the
        penalty was chosen, it was so in these same blocks, which makes the score a little too high); `alpha`, a
        scalar. Constant units are NaN, and counted in the attr `undefined_units`. With a `subject` dim each has a
        penalty of its own, `alpha (subject)`; the others are means over subjects, `by_subject`, `weights_by_subject`
        and `score_by_subject` those averaged, and `subjects (source, target)` is how many had the pair.

    Raises
    ------
    AnalysisError
        When values are missing, the clock is irregular or absent, there are too few samples, or an option is out of
        range.

    References
    ----------
    Hoerl and Kennard (1970), Ridge regression, Technometrics 12:55-67; as a vector autoregression, Valdes-Sosa et al.
    (2005), Estimating brain functional connectivity with sparse multivariate autoregression, Phil Trans R Soc B
    360:969-981. Deviation: a ridge, not a sparse penalty, one for all targets. Samples of past that reach from a
    held-out block into its neighbours are not left out.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((501, 3))
    >>> x[1:, 1] += 0.8 * x[:-1, 0]  # the first unit drives the second
    >>> rec = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)
    >>> connectivity.effective(rec).connectivity.values.round(1)[0, 1]
    np.float64(0.6)
    """
    require_whole(_EFFECTIVE, order=order, folds=folds)
    rate = sampling_rate(recording, _EFFECTIVE)
    if order < 1 or folds < 2 or (alpha is not None and not alpha > 0):
        raise AnalysisError(
            f"{_EFFECTIVE}: order {order!r}, folds {folds!r} and alpha {alpha!r}: at least 1, 2 and above 0 are needed"
        )
    blocks = in_blocks(recording, device, None, _EFFECTIVE)
    people = subjects_of(blocks, _EFFECTIVE, partial(_with_past, order=order, folds=folds))
    analysed = pending(recording)
    weights, score, penalty, varies = zip(
        *(_weighed(values, people.plan, order, alpha, folds) for values in on_device(people.each, device, None)),
        strict=True,
    )
    axes = {"lag": ("lag", np.arange(1, order + 1) / rate, {"units": recording["time"].attrs["units"]})}
    attrs = {"units": "1", "undefined_units": people.undefined(varies)}
    total = [one.sum(axis=-1) for one in weights]
    variables = {
        **people.variables("connectivity", total, average=mean, attrs=attrs),
        **people.variables("weights", weights, average=mean, axes=axes, attrs={"units": "1"}),
        **people.variables("score", score, average=mean, sides=("target",), attrs={"units": "1"}),
        **people.numbers("alpha", penalty),
    }
    return result(
        variables,
        analysis=_EFFECTIVE,
        recording=analysed,
        parameters={"order": order, "alpha": alpha, "folds": folds, "device": device},
        seed=seed,
    )


def _with_past(parts: Sequence[slice], order: int, folds: int) -> NDArray[np.int64]:
    present = rows(parts, order)
    if len(present) < 2 * folds:
        raise AnalysisError(
            f"{_EFFECTIVE}: {len(present)} samples have {order} samples of past in their segment; {folds} folds need "
            f"{2 * folds}: take a lower order or longer segments"
        )
    return present


def _weighed(
    values: Any, present: NDArray[np.int64], order: int, alpha: float | None, folds: int
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Give weights (source, target, lag), scores (target), the penalty, and which of (sample, unit) values vary."""
    z, varies = scaled(values.astype(np.float64))
    if isinstance(z, Rows):
        z = z.take(varies)
        unit = z.scaled(np.zeros(z.width), np.full(z.width, 1 / np.sqrt(len(z))))
    else:
        unit = z[:, varies] * np.sqrt(len(z))
    found, score, penalty = ridge(unit, present, order, alpha, folds)
    weights, predicted = np.full((len(varies), len(varies), order), np.nan), np.full(len(varies), np.nan)
    weights[np.ix_(varies, varies)], predicted[varies] = found, score
    return weights, predicted, penalty, varies
