"""Queries and the gallery they are looked up in, joined by the ids of stimuli, and how alike they are."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AnalysisError
from neurointerp.matrix import require_complete, require_values, stack
from neurointerp.schema import check

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Metric = Literal["correlation", "cosine", "euclidean"]


class Pairing(NamedTuple):
    """Queries and gallery on the same units.

    Attributes
    ----------
    likeness
        (query, gallery), larger is more alike.
    answer
        (query,), the place in the gallery of each query's own stimulus.
    query, gallery
        The stimulus ids, (query,) and (gallery,).
    """

    likeness: Floats
    answer: Indices
    query: NDArray[Any]
    gallery: NDArray[Any]


def paired(queries: xr.DataArray, gallery: xr.DataArray, metric: Metric, analysis: str) -> Pairing:
    """Join both by `stimulus` and unit; refuse duplicates in the gallery and queries that are not in it."""
    if metric not in ("correlation", "cosine", "euclidean"):
        raise AnalysisError(f"{analysis}: metric {metric!r}: 'correlation', 'cosine' or 'euclidean' is needed")
    for recording in (queries, gallery):
        check(recording)
        require_values(recording, analysis)
        require_complete(recording, analysis)
    if set(queries["unit"].values) != set(gallery["unit"].values):
        lost = len(set(queries["unit"].values) ^ set(gallery["unit"].values))
        raise AnalysisError(f"{analysis}: {lost} units are in one of queries and gallery alone; select the same units")
    asked, shown = (_ids(recording, analysis) for recording in (queries, gallery))
    x, y = stack(queries).values, stack(gallery.sel(unit=queries["unit"].values)).values
    _require_different(shown, y, analysis)
    place = {name: index for index, name in enumerate(shown)}
    lacking = [name for name in asked if name not in place]
    if lacking:
        raise AnalysisError(
            f"{analysis}: {len(lacking)} queries are of stimuli that the gallery lacks, first {lacking[0]!r}"
        )
    if len(shown) < 2:
        raise AnalysisError(f"{analysis}: the gallery holds {len(shown)} stimulus; two or more are needed")
    answer = np.array([place[name] for name in asked], dtype=np.int64)
    return Pairing(_likeness(x.astype(np.float64), y.astype(np.float64), metric, analysis), answer, asked, shown)


def _ids(recording: xr.DataArray, analysis: str) -> NDArray[Any]:
    coord = recording.coords.get("stimulus")
    if coord is None or coord.dims != ("trial",) or recording.dims != ("trial", "unit"):
        raise AnalysisError(
            f"{analysis}: queries and gallery are (trial, unit) with a coordinate 'stimulus' on trial, found dims "
            f"{recording.dims} and stimulus on {None if coord is None else coord.dims}; average or select first"
        )
    return np.array([str(name) for name in coord.values], dtype=object)


def _require_different(names: NDArray[Any], values: Any, analysis: str) -> None:
    """Refuse a gallery where a stimulus stands twice, or two look the same: no answer would be right."""
    unique, counts = np.unique(names.astype(str), return_counts=True)
    if (counts > 1).any():
        raise AnalysisError(
            f"{analysis}: {int((counts > 1).sum())} stimuli stand more than once in the gallery, first "
            f"{str(unique[counts.argmax()])!r} ({counts.max()} times); average their repeats first"
        )
    _, first, counts = np.unique(values, axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        twin = str(names[first[counts.argmax()]])
        raise AnalysisError(
            f"{analysis}: {int(counts[counts > 1].sum())} gallery items have a twin, first {twin!r}; keep one"
        )


def _likeness(x: Floats, y: Floats, metric: Metric, analysis: str) -> Floats:
    if metric == "euclidean":
        squared = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
        distance: Floats = -np.sqrt(np.clip(squared, 0.0, None))
        return distance
    if metric == "correlation":
        x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    lengths = [np.sqrt((one * one).sum(axis=1)) for one in (x, y)]
    for name, one, length in (("queries", x, lengths[0]), ("gallery items", y, lengths[1])):
        flat = int((length <= 1e-12 * max(float(np.abs(one).max(initial=0.0)), 1e-300)).sum())
        if flat:
            raise AnalysisError(f"{analysis}: {flat} {name} do not vary over units, so they have no {metric}")
    alike: Floats = (x / lengths[0][:, None]) @ (y / lengths[1][:, None]).T
    return alike


def permuted_answers(pairing: Pairing, draws: int, rng: np.random.Generator) -> Indices:
    """Give answers (draw, query) under the null: stimuli change names, so that repeats of one stay together."""
    present, inverse = np.unique(pairing.answer, return_inverse=True)
    size = pairing.gallery.size
    chosen = np.stack([rng.permutation(size)[: present.size] for _ in range(draws)])
    moved: Indices = chosen[:, inverse]
    return moved
