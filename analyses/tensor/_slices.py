"""Recordings of unequal length as slices that share one dim, and factors back on the labels of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.tensor._values import Given, named, source_of
from neurointerp.errors import AnalysisError
from neurointerp.schema import check
from neurointerp.streaming import require_room


@dataclass(frozen=True)
class Slices:
    """Matrices (ragged, shared), one for each label of `over`.

    Attributes
    ----------
    values
        Without missing values, float64.
    over, ragged, shared
        Names of the dims.
    labels
        Coordinates of `over` and of `shared`.
    places
        Of each slice, where its samples stand among `ticks`.
    ticks
        Every label of the ragged dim that any slice has.
    source, units
        What the result was computed from, and the units of the values.
    """

    values: list[NDArray[np.float64]]
    over: str
    ragged: str
    shared: str
    labels: dict[str, dict[Any, Any]]
    places: list[NDArray[np.int64]]
    ticks: xr.DataArray
    source: Any
    units: str


def slices_of(given: Given, ragged: str, analysis: str) -> Slices:
    """Read a recording of three dims, or the recordings of several subjects, as slices."""
    if isinstance(given, xr.DataArray) and given.chunks:
        require_room(8 * given.size, analysis)
    over, recs, outer = _apart(given, analysis)
    dims = [str(dim) for dim in recs[0].dims]
    if ragged not in dims:
        raise AnalysisError(f"{analysis}: dim is {ragged!r}; one of {', '.join(dims)} is needed")
    shared = dims[1 - dims.index(ragged)]
    first = recs[0]
    for name, rec in zip(outer[over].values, recs, strict=True):
        if list(map(str, rec.dims)) != dims or not np.array_equal(_index(rec, shared), _index(first, shared)):
            raise AnalysisError(
                f"{analysis}: {over} {name!r} has dims {tuple(rec.dims)} of sizes {rec.shape}, or other labels of "
                f"{shared!r} than the first, {tuple(first.dims)} of {first.shape}; only {ragged!r} may differ (dim=)"
            )
        if rec.attrs["units"] != first.attrs["units"]:
            raise AnalysisError(
                f"{analysis}: {over} {name!r} is in {rec.attrs['units']!r}, the first in {first.attrs['units']!r}; "
                "convert with neurointerp.to_units"
            )
    cut = [
        _present(rec.transpose(ragged, shared), f"{over} {name!r}", analysis)
        for name, rec in zip(outer[over].values, recs, strict=True)
    ]
    for name, rec in zip(outer[over].values, cut, strict=True):
        if len(set(_index(rec, ragged).tolist())) < rec.sizes[ragged]:
            raise AnalysisError(f"{analysis}: {over} {name!r} has labels of {ragged!r} twice; number them anew")
    ticks, places = _union([_index(rec, ragged) for rec in cut], first.coords.get(ragged), ragged)
    on = {name: c for name, c in first.coords.items() if c.dims == (shared,)}
    return Slices(
        [np.asarray(rec.values, dtype=np.float64) for rec in cut], over, ragged, shared,
        {over: dict(outer.coords), shared: on}, places, ticks, source_of(given), first.attrs["units"],
    )  # fmt: skip


def _apart(given: Given, analysis: str) -> tuple[str, list[xr.DataArray], Any]:
    """Give the dim that slices are of, the slices, and its coordinates."""
    if isinstance(given, xr.Dataset):
        raise AnalysisError(
            f"{analysis}: a recording or the recordings of several subjects are needed, found a Dataset"
        )
    if isinstance(given, xr.DataArray):
        check(given)
        if given.ndim != 3:
            raise AnalysisError(
                f"{analysis}: dims are {tuple(given.dims)}; three are needed, such as (trial, time, unit), or a dict "
                "of recordings of two dims"
            )
        over = str(given.dims[0])
        on = {name: c for name, c in given.coords.items() if c.dims == (over,)}
        outer = xr.Dataset(coords={over: np.arange(given.sizes[over]), **on})
        parts = [given.isel({over: place}).assign_attrs(given.attrs) for place in range(given.sizes[over])]
        return over, parts, outer
    found = named(given, analysis)
    for name, rec in found.items():
        check(rec)
        if rec.ndim != 2:
            raise AnalysisError(f"{analysis}: subject {name!r} has dims {tuple(rec.dims)}; two are needed")
    outer = xr.Dataset(coords={"subject": np.array(list(found), dtype=object)})
    return "subject", list(found.values()), outer


def _present(rec: xr.DataArray, name: str, analysis: str) -> xr.DataArray:
    """Drop samples without any value (a shorter trial, padded); refuse single missing values."""
    values = np.asarray(rec.values, dtype=np.float64)
    missing = np.isnan(values)
    kept = rec.isel({str(rec.dims[0]): ~missing.all(axis=1)})
    if not kept.size:
        raise AnalysisError(f"{analysis}: {name} has no values at all: leave it out")
    single = int(missing[~missing.all(axis=1)].sum())
    if single:
        raise AnalysisError(
            f"{analysis}: {single} missing values in {name}, in samples that are otherwise there; interpolate them "
            "(align.interpolate), drop the unit, or use tensor.cp, which leaves them out"
        )
    if np.isinf(values).any():
        raise AnalysisError(f"{analysis}: {int(np.isinf(values).sum())} infinite values in {name}")
    return kept


def _index(rec: xr.DataArray, dim: str) -> np.ndarray:
    return np.asarray(rec[dim].values) if dim in rec.coords else np.arange(rec.sizes[dim])


def _union(
    indexes: Sequence[np.ndarray], coord: xr.DataArray | None, dim: str
) -> tuple[xr.DataArray, list[NDArray[np.int64]]]:
    """Give every label once, numbers in order and names as they first appear, and where each slice's stand."""
    if indexes[0].dtype.kind in "iuf":
        union = np.unique(np.concatenate(indexes))
    else:
        union = np.array(list(dict.fromkeys(label for index in indexes for label in index)), dtype=object)
    place = {label: i for i, label in enumerate(union.tolist())}
    attrs = {} if coord is None else coord.attrs
    found = [np.array([place[label] for label in index.tolist()], dtype=np.int64) for index in indexes]
    return xr.DataArray(union, dims=dim, attrs=attrs), found
