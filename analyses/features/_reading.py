"""What the readers of components share: the parts of a result, and the samples of a recording."""

from __future__ import annotations

from collections.abc import Hashable
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import matrix
from neurointerp.errors import AnalysisError


def require_whole(value: Any, name: str, analysis: str, *, low: int = 1) -> None:
    """Refuse what is no whole number of at least `low`."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < low:
        raise AnalysisError(f"{analysis}: {name} is {value!r}; a whole number of at least {low} is needed")


def features_of(result: xr.Dataset, analysis: str) -> np.ndarray:
    """Give the features (component, unit) of a result as float64."""
    if "features" not in result or set(result["features"].dims) != {"component", "unit"}:
        raise AnalysisError(f"{analysis}: the result has no features(component, unit); pass that of a factorization")
    return np.asarray(result["features"].transpose("component", "unit").values, dtype=np.float64)


def coefficients_of(result: xr.Dataset, recording: xr.DataArray, analysis: str) -> np.ndarray:
    """Give the coefficients as (sample, component), in the order in which `matrix.stack` has the samples."""
    if "coefficients" not in result:
        raise AnalysisError(f"{analysis}: the result has no coefficients; pass that of a factorization")
    given, dims = result["coefficients"], [str(dim) for dim in recording.dims[:-1]]
    if set(given.dims) != {*dims, "component"}:
        raise AnalysisError(f"{analysis}: coefficients {given.dims} are not on the sample dims {tuple(dims)}")
    for dim in dims:
        same = given.sizes[dim] == recording.sizes[dim]
        if same and dim in given.coords and dim in recording.coords:
            same = bool(np.array_equal(given[dim].values, recording[dim].values))
        if not same:
            raise AnalysisError(f"{analysis}: {dim!r} of the result is not that of the recording it is read with")
    values = np.asarray(given.transpose(*dims, "component").values)
    return values.reshape(-1, values.shape[-1])


def component_coords(result: xr.Dataset) -> dict[Hashable, xr.DataArray]:
    """Give the coordinates along `component`, its labels first (0, 1, ... where it has none)."""
    own = {name: c for name, c in result.coords.items() if c.dims == ("component",)}
    return own or {"component": xr.DataArray(np.arange(result.sizes["component"]), dims="component")}


def along_samples(recording: xr.DataArray, name: str, analysis: str) -> np.ndarray:
    """Give a coordinate of the recording, one value for each sample as `matrix.stack` has them."""
    dims = recording.dims[:-1]
    if name not in recording.coords or not set(recording[name].dims) <= set(dims) or not recording[name].dims:
        known = [str(n) for n, c in recording.coords.items() if c.dims and set(c.dims) <= set(dims)]
        raise AnalysisError(f"{analysis}: no coordinate {name!r} along {dims}; there are {', '.join(known) or 'none'}")
    coord = recording[name].reset_coords(drop=True)
    whole = coord.expand_dims({d: recording.sizes[d] for d in dims if d not in coord.dims})
    return np.asarray(whole.transpose(*dims).values).ravel()


def groups_of(recording: xr.DataArray, group: str | None, analysis: str) -> np.ndarray:
    """Give the number of the group (sentence, trial) of each sample: equal values of a coordinate, or one stretch."""
    if group is not None:
        return np.unique(along_samples(recording, group, analysis), return_inverse=True)[1]
    number = np.empty(int(np.prod(recording.shape[:-1])), dtype=np.int64)
    for i, stretch in enumerate(matrix.stretches(recording)):
        number[stretch] = i
    return number


def group_labels(recording: xr.DataArray, label: str, number: np.ndarray, analysis: str) -> np.ndarray:
    """Give the label of each group, which all of its samples must share."""
    values = along_samples(recording, label, analysis)
    missing = int(sum(value is None or value != value for value in values.tolist()))
    if missing:
        raise AnalysisError(f"{analysis}: {missing} of {values.size} samples have no {label!r}; leave them out first")
    values = np.array([str(value) for value in values.tolist()], dtype=object)
    first = np.full(int(number.max()) + 1, -1)
    first[number[::-1]] = np.arange(number.size)[::-1]
    odd = np.flatnonzero(values != values[first][number])
    if odd.size:
        raise AnalysisError(
            f"{analysis}: group {int(number[odd[0]])} holds both {label} {values[first[number[odd[0]]]]!r} and "
            f"{values[odd[0]]!r}; name the coordinate that tells groups apart with group="
        )
    return np.asarray(values[first])


def cosine_maxima(recording: xr.DataArray, directions: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Give (group, direction): the largest cosine of a direction with any sample of the group."""
    found = np.full((int(number.max()) + 1, len(directions)), -np.inf)
    unit = unit_norm(directions).T
    start = 0
    for block in matrix.blocks(recording):
        for low in range(0, len(block), 4096):
            rows = unit_norm(np.asarray(block[low : low + 4096], dtype=np.float64))
            raise_maxima(found, number[start + low : start + low + len(rows)], rows @ unit)
        start += len(block)
    return found


def raise_maxima(found: np.ndarray, number: np.ndarray, values: np.ndarray) -> None:
    """Raise the rows of `found` to the largest value among those of `values` that bear their number, in place."""
    order = np.argsort(number, kind="stable")
    sorted_number = number[order]
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_number) > 0])
    place = sorted_number[starts]
    found[place] = np.maximum(found[place], np.maximum.reduceat(values[order], starts, axis=0))


def unit_norm(rows: np.ndarray) -> np.ndarray:
    """Scale each row to norm 1; a row of zeros stays."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1))


def auc(values: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Give, for each column, the area under the ROC curve of its values for `positive` (ties count half)."""
    from scipy.stats import rankdata

    n, rest = int(positive.sum()), int((~positive).sum())
    if not n or not rest:
        return np.full(values.shape[1], np.nan)
    ranks = rankdata(values, axis=0)
    return np.asarray((ranks[positive].sum(axis=0) - n * (n + 1) / 2) / (n * rest))


def objects(values: Any) -> np.ndarray:
    """Give text as objects; anything else as it is."""
    array = np.asarray(values)
    return array.astype(object) if array.dtype.kind == "U" else array
