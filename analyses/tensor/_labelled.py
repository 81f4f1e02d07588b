"""Factors on the labels of what was factored, and how well they fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.tensor import _chunked
from neurointerp.analyses.tensor._alternate import sum_of_squares
from neurointerp.analyses.tensor._values import Tensor

BLOCK = 2**16
"""Values that are turned into float64 at a time."""


def factor_of(array: xr.DataArray, dim: str, factor: np.ndarray, component: str = "component") -> xr.DataArray:
    """Give a factor (size, component) with every coordinate that lies on its dim alone."""
    coords: dict[Any, Any] = {name: c for name, c in array.coords.items() if c.dims == (dim,)}
    coords[component] = np.arange(factor.shape[1])
    return xr.DataArray(factor, dims=(dim, component), coords=coords, attrs={"units": "1"})


def weight_of(tensor: Tensor, weight: np.ndarray) -> xr.DataArray:
    """Give the weights in the units of what was factored."""
    return xr.DataArray(
        weight * tensor.X.dtype.type(tensor.scale),
        dims="component",
        coords={"component": np.arange(weight.size)},
        attrs={"units": tensor.array.attrs["units"]},
    )


def course_of(tensor: Tensor, losses: list[float], stop_reason: str) -> dict[str, xr.DataArray]:
    """Give the loss by iteration, what it ended at, and why it ended."""
    return {
        "loss": xr.DataArray(losses, dims="iteration", coords={"iteration": np.arange(len(losses))}),
        "relative_error": xr.DataArray(losses[-1] ** 0.5),
        "explained_variance": xr.DataArray(explained_variance(tensor.X, losses[-1])),
        "stop_reason": xr.DataArray(np.array(stop_reason, dtype=object)),
    }


def restarts_of(errors: np.ndarray, ranking: np.ndarray, seed: int) -> xr.DataArray:
    """Give the relative error of every start, ascending, with its seed."""
    labels = {"restart": np.arange(errors.size), "restart_seed": ("restart", seed + ranking)}
    return xr.DataArray(errors[ranking], dims="restart", coords=labels)


def explained_variance(X: Any, loss: float) -> float:
    """Give 1 - SSE / sum of squares about the means of the last dim, on what is seen; NaN where nothing varies."""
    if isinstance(X, _chunked.Blocks):
        return _chunked.explained_variance(X, loss)
    rows = X.reshape(-1, X.shape[-1])
    whole = not np.isnan(X.min())  # which is NaN where any value is
    mean = rows.mean(axis=0, dtype=np.float64) if whole else np.nanmean(rows, axis=0, dtype=np.float64)
    power = spread = 0.0
    step = max(1, BLOCK // rows.shape[1])
    for start in range(0, len(rows), step):  # about the means in float64: a difference of sums would lose the spread
        block = rows[start : start + step]
        about = block - mean
        spread += sum_of_squares(about if whole else np.nan_to_num(about))
        power += sum_of_squares(block if whole else np.nan_to_num(block))
    return 1 - loss * power / spread if spread > 1e-12 * power else math.nan


def congruence_of(factors: list[np.ndarray]) -> xr.DataArray:
    """Give the product over dims of the cosines of every two components."""
    cosines = np.prod([factor.T @ factor for factor in factors], axis=0)
    component = np.arange(len(cosines))
    return xr.DataArray(
        cosines, dims=("component", "component2"), coords={"component": component, "component2": component}
    )
