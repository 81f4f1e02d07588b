"""How well predictions match held-out observations, and how well they could: one number per unit.

`r2`, `correlation` and `explained_variance` take plain arrays; `noise_ceiling` takes repeats, as an array or as a
recording that names them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from neurointerp.backend import namespace
from neurointerp.errors import AnalysisError


def r2(observed: Any, predicted: Any) -> Any:
    r"""Give the coefficient of determination of each unit.

    :math:`1 - \sum_t (y_t - \hat y_t)^2 / \sum_t (y_t - \bar y)^2`, with the mean of the observed data that
    are passed in, so of the held-out data where predictions are held out. Predicting that mean scores 0.

    Parameters
    ----------
    observed, predicted
        (..., unit), numpy or torch, of one shape; every axis but the last is pooled.

    Returns
    -------
    array
        (unit), at most 1, of the library of the inputs; integers are taken as float64. NaN for a unit whose
        observed values are constant, or where a value of either is NaN.

    Raises
    ------
    AnalysisError
        When shapes differ or there is no sample.

    Examples
    --------
    >>> import numpy as np
    >>> r2(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[1.0, 5.0], [2.0, 5.0]]))
    array([0.5, nan])
    """
    observed, predicted, axes = _checked("r2", observed, predicted)
    xp = namespace(observed, predicted)
    centred = observed - xp.mean(observed, axis=axes, keepdims=True)
    total = xp.sum(centred * centred, axis=axes)
    error = xp.sum((observed - predicted) ** 2, axis=axes)
    return _where_defined(xp, 1 - error / _safe(xp, total), _varies(xp, observed, total, axes))


def correlation(observed: Any, predicted: Any) -> Any:
    """Give the Pearson correlation of observed and predicted values of each unit.

    Parameters
    ----------
    observed, predicted
        (..., unit), numpy or torch, of one shape; every axis but the last is pooled.

    Returns
    -------
    array
        (unit) in [-1, 1], of the library of the inputs; integers are taken as float64. NaN for a unit whose
        observed or predicted values are constant, or where a value of either is NaN.

    Raises
    ------
    AnalysisError
        When shapes differ or there is no sample.

    Examples
    --------
    >>> import numpy as np
    >>> correlation(np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [4.0], [6.0]])).round(12)
    array([1.])
    """
    observed, predicted, axes = _checked("correlation", observed, predicted)
    xp = namespace(observed, predicted)
    units, defined = [], []
    for values in (observed, predicted):
        centred = values - xp.mean(values, axis=axes, keepdims=True)
        total = xp.sum(centred * centred, axis=axes)
        units.append(centred / xp.sqrt(_safe(xp, total)))
        defined.append(_varies(xp, values, total, axes))
    r = xp.clip(xp.sum(units[0] * units[1], axis=axes), -1.0, 1.0)
    return _where_defined(xp, r, defined[0] & defined[1])


def explained_variance(observed: Any, predicted: Any) -> Any:
    r"""Give the share of each unit's variance that the prediction explains, whatever its mean.

    :math:`1 - \operatorname{Var}_t(y_t - \hat y_t) / \operatorname{Var}_t(y_t)`: `r2` after the mean of the errors is
    taken off, so never below it.

    Parameters
    ----------
    observed, predicted
        (..., unit), numpy or torch, of one shape; every axis but the last is pooled.

    Returns
    -------
    array
        (unit), at most 1, of the library of the inputs; integers are taken as float64. NaN as for `r2`.

    Raises
    ------
    AnalysisError
        When shapes differ or there is no sample.

    Examples
    --------
    >>> import numpy as np
    >>> explained_variance(np.array([[1.0], [3.0]]), np.array([[11.0], [13.0]]))
    array([1.])
    """
    observed, predicted, axes = _checked("explained_variance", observed, predicted)
    xp = namespace(observed, predicted)
    error = observed - predicted
    centred = observed - xp.mean(observed, axis=axes, keepdims=True)
    total = xp.sum(centred * centred, axis=axes)
    left = xp.sum((error - xp.mean(error, axis=axes, keepdims=True)) ** 2, axis=axes)
    return _where_defined(xp, 1 - left / _safe(xp, total), _varies(xp, observed, total, axes))


Estimator = Literal["signal_power", "split_half"]


def noise_ceiling(
    repeats: Any, *, estimator: Estimator = "signal_power", of: Literal["mean", "single"] = "mean",
    splits: int = 100, seed: int = 0,
) -> Any:  # fmt: skip
    r"""Estimate the best r2 that any model of the stimulus could reach, from repeats of the same stimuli.

    The response to repeat :math:`n` of :math:`N` is signal plus noise, :math:`R_n(t) = s(t) + e_n(t)`, noise being
    independent between repeats; :math:`t` counts stimuli and the samples in them. The ceiling is the share of the
    signal in the variance of what is predicted; its square root is the ceiling of the correlation. With
    :math:`V` for the variance over :math:`t` and :math:`\bar R` for the mean response:

    - ``signal_power``: :math:`P_s = (N V(\bar R) - \overline{V(R_n)}) / (N - 1)` (Sahani and Linden 2003), divided by
      :math:`V(\bar R)` for the mean of the repeats, by :math:`\overline{V(R_n)}` for a single one. The square root of
      the former is :math:`CC_{max}` of Schoppe et al. (2016), whose published code takes :math:`P_s` with
      :math:`T - 1` and :math:`V(\bar R)` with :math:`T`; here both have the same.
    - ``split_half``: the correlation :math:`r` of the means of two random halves of :math:`m = \lfloor N/2 \rfloor`
      repeats, averaged over `splits` draws, and :math:`k r / (1 + (k - 1) r)` for :math:`k = N / m` times as many
      repeats (Spearman 1910, Brown 1910), or :math:`k = 1 / m` for a single one.

    Parameters
    ----------
    repeats
        (repeat, ..., unit), numpy or torch; or a recording with the sample coordinates `stimulus` and, where
        trials are not in order, `repeat`, every stimulus being there equally often.
    estimator
        `"signal_power"` or `"split_half"`. Both are consistent; where there is little signal both scatter about 0.
    of
        What is to be predicted: the `"mean"` of the repeats, or a `"single"` one.
    splits
        Number of random halves; `split_half` alone.
    seed
        Seed of the halves.

    Returns
    -------
    array, or xarray.DataArray for a recording
        (unit), at most 1. Estimates below 0, of units without a signal, are left as they are. NaN for a unit
        whose mean response is constant.

    Raises
    ------
    AnalysisError
        When there are fewer than two repeats, stimuli are repeated unequally, or values are missing (their count).

    References
    ----------
    Sahani, Linden (2003), How linear are auditory cortical responses?, NIPS 15:109-116. Schoppe, Harper, Willmore,
    King, Schnupp (2016), Measuring the performance of neural models, Frontiers in Computational Neuroscience 10:10.
    Spearman (1910), Correlation calculated from faulty data, British Journal of Psychology 3:271-295. Brown (1910),
    Some experimental results in the correlation of mental abilities, British Journal of Psychology 3:296-322.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> signal, noise = rng.standard_normal((1, 1000, 1)), rng.standard_normal((4, 1000, 1))
    >>> noise_ceiling(signal + noise).round(1), noise_ceiling(signal + noise, of="single").round(1)
    (array([0.8]), array([0.5]))
    """
    if estimator not in ("signal_power", "split_half") or of not in ("mean", "single"):
        raise AnalysisError(
            f"noise_ceiling: estimator {estimator!r} of {of!r}: 'signal_power' or 'split_half' of 'mean' or 'single' "
            "is needed"
        )
    if isinstance(repeats, xr.DataArray):
        found = noise_ceiling(_by_repeat(repeats), estimator=estimator, of=of, splits=splits, seed=seed)
        labels = {name: c for name, c in repeats.coords.items() if c.dims == ("unit",)}
        return xr.DataArray(found, dims="unit", coords=labels, name="noise_ceiling", attrs={"units": "1"})
    values = _checked("noise_ceiling", repeats, repeats)[0]
    xp = namespace(values)
    if values.ndim < 3 or values.shape[0] < 2:
        raise AnalysisError(
            f"noise_ceiling: shape {tuple(values.shape)} is not (repeat, ..., unit) with two repeats or more"
        )
    missing = int(xp.sum(xp.astype(xp.isnan(values), xp.int64)))
    if missing:
        raise AnalysisError(f"noise_ceiling: {missing} missing values; drop those units or stimuli first")
    flat = xp.reshape(values, (values.shape[0], -1, values.shape[-1]))
    if estimator == "signal_power":
        return _signal_share(xp, flat, of)
    return _half_reliability(flat, of, splits, np.random.default_rng(seed))


def leave_one_out_ceiling(repeats: Any) -> np.ndarray:
    r"""Give the r2 with a single repeat that the mean of the other repeats reaches, averaged over repeats.

    :math:`\overline{r_n |r_n|}` for the correlation :math:`r_n` of repeat :math:`n` with the mean of the others. As
    that mean holds noise too, it is a lower bound of what a perfect model of the signal reaches; it needs no
    assumption on the noise but independence.

    Parameters
    ----------
    repeats
        (repeat, ..., unit); or a recording: with a leading `subject` dim, subjects take the place of repeats, else the
        sample coordinates `stimulus` and `repeat` as for `noise_ceiling`.

    Returns
    -------
    numpy.ndarray
        (unit), negative where repeats are anticorrelated; NaN for a unit that is constant in a repeat.

    Raises
    ------
    AnalysisError
        When there are fewer than two repeats or values are missing (their count).

    References
    ----------
    Nili et al. (2014), A toolbox for representational similarity analysis, PLoS Comput Biol 10:e1003553, for
    dissimilarities; here for responses, with the sign kept.

    Examples
    --------
    >>> import numpy as np
    >>> signal, noise = np.random.default_rng(0).standard_normal((2, 4, 1000, 1))
    >>> leave_one_out_ceiling(signal[:1] + noise).round(1)
    array([0.4])
    """
    if isinstance(repeats, xr.DataArray):
        from neurointerp import matrix

        if "subject" in repeats.dims:
            matrix.require_complete(repeats, "leave_one_out_ceiling")
            repeats = repeats.transpose("subject", ...).values
        else:
            repeats = _by_repeat(repeats)
    values = np.asarray(repeats, dtype=np.float64)
    if values.ndim < 3 or len(values) < 2 or np.isnan(values).any():
        raise AnalysisError(
            f"leave_one_out_ceiling: shape {values.shape}, {int(np.isnan(values).sum())} missing values: "
            "(repeat, ..., unit) with two repeats or more and none missing is needed"
        )
    total = values.sum(axis=0)
    r = np.stack([correlation(one, (total - one) / (len(values) - 1)) for one in values])
    found: np.ndarray = (r * np.abs(r)).mean(axis=0)
    return found


def _signal_share(xp: Any, repeats: Any, of: str) -> Any:
    """Give signal power over the variance of the mean, or of a single repeat."""
    count, mean = repeats.shape[0], xp.mean(repeats, axis=0)
    of_mean = xp.var(mean, axis=0)
    of_one = xp.mean(xp.var(repeats, axis=1), axis=0)
    signal = (count * of_mean - of_one) / (count - 1)
    whole = of_mean if of == "mean" else of_one
    return _where_defined(xp, signal / _safe(xp, whole), _varies(xp, mean, of_mean, (0,)))


def _half_reliability(repeats: Any, of: str, splits: int, rng: np.random.Generator) -> Any:
    """Give the mean correlation of random halves, stepped up (or down) by the Spearman-Brown formula."""
    if splits < 1:
        raise AnalysisError(f"noise_ceiling: splits is {splits}; at least 1 is needed")
    count, half = repeats.shape[0], repeats.shape[0] // 2
    r: Any = 0.0
    for _ in range(splits):
        order = rng.permutation(count)
        halves = [sum(repeats[int(i), :, :] for i in side) / half for side in (order[:half], order[half : 2 * half])]
        r = r + correlation(*halves) / splits
    k = (count if of == "mean" else 1) / half
    return k * r / (1 + (k - 1) * r)


def _by_repeat(recording: xr.DataArray) -> np.ndarray:
    """Give (repeat, sample, unit) of a recording whose samples name their stimulus."""
    from neurointerp import matrix, split

    matrix.require_complete(recording, "noise_ceiling")
    if "subject" in recording.dims:
        raise AnalysisError("noise_ceiling: subjects are not repeats; pick one (.isel(subject=0)) at a time")
    stimulus, values = split.groups(recording, "stimulus"), np.asarray(matrix.stack(recording).values)
    if "repeat" in recording.coords:
        repeat = split.groups(recording, "repeat")
    elif "trial" in recording.dims:
        trial = np.arange(recording.sizes["trial"]).repeat(len(values) // recording.sizes["trial"])
        repeat = _occurrence(stimulus, trial)
    else:
        raise AnalysisError("noise_ceiling: a coordinate 'repeat' is needed on a recording without trials")
    table = np.zeros((repeat.max() + 1, stimulus.max() + 1), dtype=np.int64)
    np.add.at(table, (repeat, stimulus), 1)
    if (table != table[:1]).any():
        shown = (table > 0).sum(axis=0)
        raise AnalysisError(
            f"noise_ceiling: {table.shape[1]} stimuli are repeated {shown.min()} to {shown.max()} times, with "
            f"{table[table > 0].min()} to {table.max()} samples each; all repeats must hold the same: drop the rest"
        )
    order = np.lexsort((np.arange(len(values)), stimulus, repeat))
    return values[order].reshape(table.shape[0], -1, values.shape[1])


def _occurrence(stimulus: np.ndarray, trial: np.ndarray) -> np.ndarray:
    """Give each sample the number of trials of its stimulus that came before its own."""
    out = np.zeros(stimulus.size, dtype=np.int64)
    for label in np.unique(stimulus):
        members = stimulus == label
        out[members] = np.unique(trial[members], return_inverse=True)[1]
    return out


def _checked(name: str, observed: Any, predicted: Any) -> tuple[Any, Any, tuple[int, ...]]:
    if observed.shape != predicted.shape:
        raise AnalysisError(
            f"{name}: observed has shape {tuple(observed.shape)} and predicted {tuple(predicted.shape)}; "
            "both must be (..., unit)"
        )
    if observed.ndim < 2 or 0 in observed.shape[:-1]:
        raise AnalysisError(f"{name}: shape {tuple(observed.shape)} holds no samples; pass (..., unit)")
    xp = namespace(observed, predicted)
    floats = [
        values if xp.isdtype(values.dtype, "real floating") else xp.astype(values, xp.float64)
        for values in (observed, predicted)
    ]
    return floats[0], floats[1], tuple(range(observed.ndim - 1))


def _varies(xp: Any, values: Any, total: Any, axes: tuple[int, ...]) -> Any:
    """Tell which units vary; the range, because rounding leaves a constant a small sum of squares."""
    return (xp.max(values, axis=axes) > xp.min(values, axis=axes)) & (total > 0)


def _safe(xp: Any, total: Any) -> Any:
    return xp.where(total > 0, total, xp.ones_like(total))


def _where_defined(xp: Any, value: Any, defined: Any) -> Any:
    return xp.where(defined, value, xp.full_like(value, xp.nan))
