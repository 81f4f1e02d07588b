"""Representational drift: what stays of a code over days or over training, pattern by pattern and as a geometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from neurointerp.analyses.geometry._compared import compared, pairs_of
from neurointerp.analyses.geometry._patterns import patterns
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.result import result
from neurointerp.statistics import permutation_p

_ANALYSIS = "geometry.drift"
MEASURES = ("pattern", "geometry")


def drift(
    recordings: Mapping[str, xr.DataArray], *, at: Sequence[float] | None = None, by: str = "stimulus",
    join: str = "exact", permutations: int = 1000, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Follow the representation of the same stimuli by the same units over sessions, days or training steps.

    For every two recordings, `pattern` is the mean over stimuli of the correlation of the same stimulus' pattern
    (over units, each centred over the stimuli of its recording), and `geometry` the rank correlation of their
    dissimilarity matrices. Where the first falls with the time between recordings and the second does not, units
    change what they carry while the code stays.

    Parameters
    ----------
    recordings
        Name -> recording of the same units with the coordinate `by`, in order; three or more.
    at
        When each was made, in one unit of your choice (days, steps); 0, 1, 2, ... by default.
    by, join
        As in `cka`.
    permutations
        Draws of the null that the order of the recordings does not matter.
    seed
        Seed of the draws.

    Returns
    -------
    xarray.Dataset
        `similarity (measure, recording, recording2)`; `lag (recording, recording2)`; `slope (measure)`, of similarity
        over lag (per unit of `at`, least squares over pairs); `p_value (measure)`, one-sided for a fall.

    Raises
    ------
    AlignmentError
        When stimuli or units differ.
    AnalysisError
        When there are fewer than three recordings, values are missing (their count), or `at` does not fit.

    References
    ----------
    Rule, O'Leary, Harvey (2019), Curr Opin Neurobiol 58:141; Deitch, Rubin, Ziv (2021), Curr Biol 31:4327 (population
    vector and its geometry).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> rng = np.random.default_rng(0)
    >>> make = lambda v: ni.recording(v, modality="calcium", units="1", dims=("trial", "unit"),
    ...                               coords={"stimulus": ("trial", np.arange(12))})
    >>> values = rng.standard_normal((12, 30))
    >>> days = {str(day): make(values + day * rng.standard_normal((12, 30))) for day in range(4)}
    >>> bool(geometry.drift(days, permutations=20).slope.sel(measure="pattern") < 0)
    True
    """
    if isinstance(recordings, Mapping) and len(recordings) < 3:
        raise AnalysisError(f"{_ANALYSIS}: {len(recordings)} recordings have no course; three or more are needed")
    found = patterns(recordings, _ANALYSIS, by=by, join=join)
    first, *others = recordings.values()
    for name, rec in zip(found.names[1:], others, strict=True):
        if list(rec["unit"].values) != list(first["unit"].values) or rec.ndim != first.ndim:
            raise AlignmentError(
                f"{_ANALYSIS}: {name!r} does not hold the units of {found.names[0]!r} in its order; take "
                "those that all have (.sel(unit=[...]))"
            )
    if found.values[0].shape[1] < 2:
        raise AnalysisError(f"{_ANALYSIS}: patterns of one unit have no correlation over units; two or more are needed")
    place = np.arange(len(found.names), dtype=np.float64) if at is None else np.asarray(at, dtype=np.float64)
    if place.shape != (len(found.names),) or not np.isfinite(place).all() or not np.ptp(place) > 0:
        raise AnalysisError(
            f"{_ANALYSIS}: at holds {place.tolist()}; {len(found.names)} finite numbers that differ are needed"
        )
    similarity = np.stack([_pattern(found.values), _geometry(found.values)])
    lag = np.abs(place[:, None] - place)
    slope = _slopes(similarity, lag)
    rng = np.random.default_rng(seed)
    null = np.array(
        [_slopes(similarity, lag[np.ix_(o, o)]) for o in (rng.permutation(len(lag)) for _ in range(permutations))]
    )
    variables = {
        "similarity": xr.DataArray(similarity, dims=("measure", "recording", "recording2"), coords=found.coords()),
        "lag": xr.DataArray(lag, dims=("recording", "recording2"), coords=found.coords()),
        "slope": xr.DataArray(slope, dims="measure", coords={"measure": np.array(MEASURES, dtype=object)}),
    }
    if permutations:
        variables["p_value"] = xr.DataArray(np.asarray(permutation_p(slope, null, tail="less")), dims="measure")
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=list(recordings.values()),
        parameters={"at": place.tolist(), "by": by, "join": join, "permutations": permutations},
        seed=seed,
    )


def _pattern(values: Sequence[np.ndarray]) -> np.ndarray:
    scaled = []
    for x in values:
        x = x - x.mean(axis=0)
        x = x - x.mean(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled.append(x / np.sqrt((x**2).sum(axis=1, keepdims=True)))
    stack = np.stack(scaled)
    return np.asarray(np.nanmean(np.einsum("isu,jsu->ijs", stack, stack), axis=2))


def _geometry(values: Sequence[np.ndarray]) -> np.ndarray:
    from scipy.spatial.distance import pdist

    distances, pairs = [pdist(x) for x in values], pairs_of(np.arange(len(values[0])))
    return np.array([[compared("spearman", a, b, pairs) for b in distances] for a in distances])


def _slopes(similarity: np.ndarray, lag: np.ndarray) -> np.ndarray:
    upper = np.triu_indices(len(lag), 1)
    x = lag[upper] - lag[upper].mean()
    return np.asarray(similarity[:, upper[0], upper[1]] @ x / (x @ x))
