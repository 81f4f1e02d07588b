"""What each neighbourhood of units tells: a decoder around every unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.decoding._cross import cross_validate
from neurointerp.analyses.decoding._rules import Method
from neurointerp.analyses.decoding._task import parameters, scores, task
from neurointerp.errors import AnalysisError
from neurointerp.result import result

NAME = "decoding.searchlight"
Neighbours = float | str | Mapping[str, Sequence[str]]


def searchlight(
    recording: xr.DataArray,
    target: str,
    neighbours: Neighbours,
    *,
    method: Method = "lda",
    penalty: float | Sequence[float] | None = None,
    cv: int | Iterable[tuple[Any, Any]] = 5,
    by: str | None = None,
    gap: int = 0,
    permutations: int = 0,
    exchange: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Decode a label from the neighbourhood of each unit.

    Parameters
    ----------
    recording
        Any recording without missing values; each of its samples is one.
    target
        Coordinate on sample dims with the class of each.
    neighbours
        A radius in mm about each unit, by the coordinates `x`, `y`, `z` (m; those that are there), units at just that
        distance included. Or a coordinate of units (`layer`, `site`, `region`): the neighbours of a unit are those that
        share its value. Or unit -> units: a list for each unit that is to be a centre (which is in it only if listed),
        such as the neighbours in a graph.
    method, penalty, cv, by, gap, permutations, exchange, seed
        As for `linear`; the same permutations for all neighbourhoods, so that maxima over units are a null.

    Returns
    -------
    xarray.Dataset
        `balanced_accuracy`, `auc (fold, unit)`, `penalty (fold, unit)`, `members (unit)`, how many units took part,
        `chance`; `unit` is the centre, with its coordinates. With `permutations` `null (draw, unit)` of the mean over
        folds, `chance_interval (bound, unit)`, `p_value (unit)` and `p_corrected`, among the maxima over units.

    Raises
    ------
    AnalysisError
        As `linear`; when positions are missing, a neighbour is no unit of the recording, or a radius is not above 0.

    Notes
    -----
    Neighbourhoods that hold the same units are decoded once. `nilearn.decoding.SearchLight` gives the same scores with
    the same estimator, folds and radius (see the tests).

    References
    ----------
    Kriegeskorte, Goebel, Bandettini (2006), Information-based functional brain mapping, PNAS 103:3863-3868.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import decoding
    >>> label = np.array(["a", "b"] * 20)
    >>> values = np.random.default_rng(0).standard_normal((40, 4)) + 3 * np.outer(label == "b", [1, 0, 0, 0])
    >>> rec = ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"condition": ("trial", label), "x": ("unit", [0.0, 0.003, 0.006, 0.009])})
    >>> found = decoding.searchlight(rec, "condition", 4.0)
    >>> found.members.values.tolist(), (found.balanced_accuracy.mean("fold") > 0.8).values.tolist()
    ([2, 3, 3, 2], [True, True, False, False])
    """
    places = _neighbourhoods(recording, neighbours)
    ready = task(recording, target, time="samples", method=method, penalty=penalty, cv=cv, by=by, gap=gap,
                 permutations=permutations, exchange=exchange, seed=seed, analysis=NAME)  # fmt: skip
    known: dict[tuple[int, ...], Any] = {}
    for members in places.values():
        key = tuple(members)
        if key not in known:
            known[key] = cross_validate(np.ascontiguousarray(ready.samples.values[:, members]), ready)
    done = [known[tuple(members)] for members in places.values()]
    centre = {"unit": recording["unit"].isel(unit=list(places)).reset_coords(drop=True)}
    accuracy, area, chosen = (
        np.concatenate([getattr(one, name) for one in done], axis=-1) for name in ("accuracy", "area", "penalty")
    )
    variables = scores(accuracy, area, ready, centre)
    variables["penalty"] = xr.DataArray(chosen, dims=("fold", "unit"), attrs={"units": "1"})
    variables["members"] = xr.DataArray(
        [len(members) for members in places.values()], dims="unit", attrs={"units": "1"}
    )
    side = {name: c.isel(unit=list(places)) for name, c in recording.coords.items() if c.dims == ("unit",)}
    found = result(
        variables,
        analysis=NAME,
        recording=recording,
        parameters=parameters(ready, cv=cv, target=target, method=method, penalty=penalty, by=by, gap=gap,
                              neighbours=neighbours if isinstance(neighbours, float | int | str) else "given",
                              permutations=permutations, exchange=exchange),
        seed=seed,
    )  # fmt: skip
    return found.assign_coords({name: ("unit", c.values, c.attrs) for name, c in side.items()})


def _neighbourhoods(recording: xr.DataArray, neighbours: Neighbours) -> dict[int, NDArray[np.int64]]:
    """Give the units (positions) about each centre (position)."""
    if isinstance(neighbours, str):
        coord = recording.coords.get(neighbours)
        if coord is None or coord.dims != ("unit",):
            known = [str(name) for name, c in recording.coords.items() if c.dims == ("unit",) and name != "unit"]
            raise AnalysisError(
                f"{NAME}: no coordinate {neighbours!r} on unit; there are: {', '.join(known) or 'none'}"
            )
        number = np.unique(coord.values, return_inverse=True)[1]
        return {centre: np.flatnonzero(number == number[centre]) for centre in range(number.size)}
    if isinstance(neighbours, Mapping):
        return _listed(recording, neighbours)
    if isinstance(neighbours, bool) or not np.isfinite(neighbours) or neighbours <= 0:
        raise AnalysisError(f"{NAME}: neighbours is {neighbours!r}: a radius above 0 (mm) is needed")
    return _within(recording, float(neighbours))


def _within(recording: xr.DataArray, radius: float) -> dict[int, NDArray[np.int64]]:
    from scipy.spatial import cKDTree

    axes = [axis for axis in "xyz" if axis in recording.coords and recording[axis].dims == ("unit",)]
    if not axes:
        raise AnalysisError(f"{NAME}: units have no positions (x, y, z in m); pass a coordinate or lists of neighbours")
    place = np.stack([recording[axis].values.astype(np.float64) * 1e3 for axis in axes], axis=1)
    lost = int(np.isnan(place).any(axis=1).sum())
    if lost:
        raise AnalysisError(f"{NAME}: {lost} of {len(place)} units have no position; drop them first")
    # a grid's own distances must not fall out by rounding
    found = cKDTree(place).query_ball_point(place, radius * (1 + 1e-9))
    return {centre: np.sort(np.asarray(members, dtype=np.int64)) for centre, members in enumerate(found)}


def _listed(recording: xr.DataArray, neighbours: Mapping[str, Sequence[str]]) -> dict[int, NDArray[np.int64]]:
    position = {str(label): index for index, label in enumerate(recording["unit"].values)}
    named = [*neighbours, *(one for members in neighbours.values() for one in members)]
    strange = [name for name in named if name not in position]
    if strange or not neighbours:
        raise AnalysisError(
            f"{NAME}: {len(strange)} of {len(named)} units named in neighbours are not in the recording"
            f"{f', first {strange[0]!r}' if strange else ''}"
        )
    empty = [centre for centre, members in neighbours.items() if not len(members)]
    if empty:
        raise AnalysisError(f"{NAME}: {len(empty)} units have no neighbours, first {empty[0]!r}; leave them out")
    return {position[centre]: np.unique([position[one] for one in members]) for centre, members in neighbours.items()}
