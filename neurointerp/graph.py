"""Weighted graphs as results hold them: `connectivity (source, target)` read, checked and labelled again."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError

SIDES = ("source", "target")


def edge_weights(graph: xr.Dataset | xr.DataArray, analysis: str) -> xr.DataArray:
    """Give the (source, target) weights of a result or of a graph.

    Parameters
    ----------
    graph
        A result with the variable `connectivity (source, target)`, or such an array itself.
    analysis
        Who asks; named in messages.

    Returns
    -------
    xarray.DataArray
        (source, target), with the same unit labels on both sides.

    Raises
    ------
    AnalysisError
        When there is no such variable, it has other dims, its sides are labelled differently or not uniquely, or its
        weights are no real numbers.
    """
    weights = graph.get("connectivity") if isinstance(graph, xr.Dataset) else graph
    if not isinstance(weights, xr.DataArray) or weights.dims != SIDES:
        found = "none" if weights is None else getattr(weights, "dims", type(weights).__name__)
        raise AnalysisError(
            f"{analysis}: connectivity (source, target) is needed, found {found}; pass the result of "
            "connectivity.correlation, one slice of a dynamic one, or a recording"
        )
    if not all(side in weights.coords for side in SIDES) or not np.array_equal(
        weights["source"].values, weights["target"].values
    ):
        raise AnalysisError(f"{analysis}: source and target must carry the same unit labels in one order")
    labels, counts = np.unique(weights["source"].values.astype(str), return_counts=True)
    if (counts > 1).any():
        raise AnalysisError(
            f"{analysis}: unit labels must be unique, {str(labels[counts > 1][0])!r} stands {counts.max()} times"
        )
    if weights.dtype.kind not in "biuf":
        raise AnalysisError(f"{analysis}: weights have dtype {weights.dtype}; real numbers are needed")
    return weights


def symmetric(weights: np.ndarray, analysis: str) -> NDArray[np.float64]:
    """Give complete, exactly symmetric float64 weights with a zero diagonal; signs are kept.

    Parameters
    ----------
    weights
        (unit, unit), symmetric to 1e-5 of its largest entry.
    analysis
        Who asks; named in messages.

    Returns
    -------
    numpy.ndarray
        A copy.

    Raises
    ------
    AnalysisError
        When weights are missing, with their count, or not symmetric.
    """
    weights = np.asarray(weights, dtype=np.float64)
    missing = np.isnan(weights)
    if missing.any():
        units = int(missing.all(axis=1).sum())
        raise AnalysisError(
            f"{analysis}: {int(missing.sum())} weights are missing, {units} units have none (constant in the "
            "recording?); drop them first with .isel(source=keep, target=keep), or .isel(unit=keep) of the recording"
        )
    infinite = int(np.isinf(weights).sum())
    if infinite:
        raise AnalysisError(
            f"{analysis}: {infinite} weights are infinite (Fisher's z of the diagonal?); clip them first"
        )
    difference = np.abs(weights - weights.T).max(initial=0.0)
    if difference > 1e-5 * np.abs(weights).max(initial=0.0):
        raise AnalysisError(
            f"{analysis}: weights are not symmetric (largest difference {difference:.3g}); a directed graph "
            "has to be made symmetric first, for instance (w + w.T) / 2"
        )
    out = weights / 2 + weights.T / 2
    np.fill_diagonal(out, 0.0)
    return np.asarray(out)


def unit_coords(graph: xr.DataArray) -> dict[str, Any]:
    """Turn `source` and its side coordinates back into the coordinates of `unit`."""
    return {
        "unit" if name == "source" else str(name).removeprefix("source_"): ("unit", coord.values, coord.attrs)
        for name, coord in graph.coords.items()
        if coord.dims == ("source",)
    }


def side_coords(coords: Any) -> dict[str, Any]:
    """Turn the coordinates of `unit` into `source`, `target`, `source_<name>` and `target_<name>`."""
    return {
        side if name == "unit" else f"{side}_{name}": _along(coord, side)
        for side in SIDES
        for name, coord in coords.items()
        if coord.dims == ("unit",)
    }


def _along(coord: xr.DataArray, side: str) -> xr.Variable:
    """Give a coordinate along another dim, in memory; an index is kept: pandas would read every label anew."""
    variable = coord.variable
    if not isinstance(variable, xr.IndexVariable):
        return xr.Variable((side,), coord.values, coord.attrs)
    turned = variable.to_base_variable()
    turned.dims = (side,)
    return turned


def numbered(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number groups from 0, the largest first and, of equal ones, that with the first member first."""
    _, inverse, counts = np.unique(label, return_inverse=True, return_counts=True)
    first = np.full(len(counts), len(label))
    np.minimum.at(first, inverse, np.arange(len(label)))
    place = np.empty(len(counts), dtype=np.int64)
    place[np.lexsort((first, -counts))] = np.arange(len(counts))
    return np.asarray(place[inverse])
