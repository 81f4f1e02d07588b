"""How well predictions match held-out observations, one number per unit, on plain arrays."""

from __future__ import annotations

from typing import Any

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
