"""Which stimulus of a gallery was it? Ranks, and how often the right one is among the first k."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.decoding._gallery import Metric, paired, permuted_answers
from neurointerp.errors import AnalysisError
from neurointerp.result import result
from neurointerp.statistics import permutation_p

NAME = "decoding.retrieval"
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def retrieval(
    queries: xr.DataArray,
    gallery: xr.DataArray,
    *,
    k: Sequence[int] = (1, 5, 10),
    metric: Metric = "correlation",
    draws: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Rank the stimuli of a gallery by their likeness to each query, and score the place of the right one.

    Parameters
    ----------
    queries
        (trial, unit) with `stimulus` on trial: decoded or predicted patterns, made without their own stimulus. A
        stimulus may be asked for several times.
    gallery
        (trial, unit) on the same units, with `stimulus` ids: what can be answered, each stimulus once. It may hold
        others than those asked for; the scores are about this gallery alone.
    k
        For which k the right one counts when it is among the first k; those above the size of the gallery are refused.
    metric
        `"correlation"` or `"cosine"` over units, or `"euclidean"` distance.
    draws
        Permutations of the names, for the interval of chance: repeats of a stimulus keep one name.
    seed
        Seed of the permutations.

    Returns
    -------
    xarray.Dataset
        `rank (query)`, 1 the most alike, the mean place of ties; `best (query)`, the id of the most alike; `likeness
        (query, gallery)`; `top (k)`, the share of queries; `mean_rank`, `reciprocal_rank`; `chance (k)`, k over the
        size of the gallery; `chance_interval (bound, k)`, 95 in 100 permutations, and `p_value (k)`; also
        `mean_rank_chance` and `mean_rank_p_value` (of ranks as low).

    Raises
    ------
    AnalysisError
        When a stimulus, or its pattern, stands twice in the gallery, a query's stimulus is not in it, units differ,
        values are missing, or an argument is out of range.

    Notes
    -----
    A tie is no hit unless all that tie are among the first k. The size of the gallery decides what a top-k score means,
    so it is part of the result: the `gallery` labels are its ids.

    References
    ----------
    Kay, Naselaris, Prenger, Gallant (2008), Identifying natural images from human brain activity, Nature 452:352-355.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import decoding
    >>> true = np.random.default_rng(0).standard_normal((20, 30))
    >>> seen = true + np.random.default_rng(1).standard_normal((20, 30))
    >>> ids = {"stimulus": ("trial", [f"s{i}" for i in range(20)])}
    >>> gallery, queries = (ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"), coords=ids)
    ...                     for values in (true, seen))
    >>> found = decoding.retrieval(queries, gallery, k=[1])
    >>> float(found.top[0]) > 0.8, float(found.chance[0]), found.chance_interval.values.ravel().tolist()
    (True, 0.05, [0.0, 0.15])
    """
    pairing = paired(queries, gallery, metric, NAME)
    wanted = _wanted(k, pairing.gallery.size, draws)
    place, worst = _places(pairing.likeness)
    rows = np.arange(pairing.answer.size)
    answers = np.concatenate([pairing.answer[None], permuted_answers(pairing, draws, np.random.default_rng(seed))])
    rank = place[rows, answers]  # (draw, query)
    top = np.stack([(worst[rows, answers] <= one).mean(axis=1) for one in wanted], axis=1)
    bound = np.array(["low", "high"], dtype=object)
    coords: dict[Any, Any] = {"k": wanted, "bound": bound, "query": np.arange(rows.size), "gallery": pairing.gallery}
    variables = {
        "rank": xr.DataArray(rank[0], dims="query"),
        "best": xr.DataArray(pairing.gallery[pairing.likeness.argmax(axis=1)], dims="query"),
        "likeness": xr.DataArray(pairing.likeness, dims=("query", "gallery")),
        "top": xr.DataArray(top[0], dims="k"),
        "chance": xr.DataArray(wanted / pairing.gallery.size, dims="k"),
        "chance_interval": xr.DataArray(np.quantile(top[1:], [0.025, 0.975], axis=0), dims=("bound", "k")),
        "p_value": xr.DataArray(permutation_p(top[0], top[1:]), dims="k"),
        "mean_rank": xr.DataArray(rank[0].mean()),
        "mean_rank_chance": xr.DataArray((pairing.gallery.size + 1) / 2),
        "mean_rank_p_value": xr.DataArray(permutation_p(rank[0].mean(), rank[1:].mean(axis=1), tail="less")),
        "reciprocal_rank": xr.DataArray((1 / rank[0]).mean()),
    }
    labelled = {
        name: array.assign_coords({dim: coords[dim] for dim in array.dims}).assign_attrs(units="1")
        for name, array in variables.items()
    }
    labelled["stimulus"] = xr.DataArray(pairing.query, dims="query")
    return result(
        labelled,
        analysis=NAME,
        recording=[queries, gallery],
        parameters={"k": wanted, "metric": metric, "draws": draws},
        seed=seed,
    ).set_coords("stimulus")


def _wanted(k: Sequence[int], size: int, draws: int) -> Indices:
    found = np.atleast_1d(np.asarray(k))
    if found.dtype.kind not in "iu" or not found.size or found.min() < 1 or np.unique(found).size < found.size:
        raise AnalysisError(f"{NAME}: k must hold one or more different whole numbers above 0; found {k!r}")
    if found.max() > size:
        raise AnalysisError(f"{NAME}: k = {found.max()} of a gallery of {size} is always a hit; leave it out")
    if not isinstance(draws, int | np.integer) or draws < 1:
        raise AnalysisError(f"{NAME}: draws is {draws!r}: a whole number, at least 1, is needed")
    return found.astype(np.int64)


def _places(likeness: Floats) -> tuple[Floats, Floats]:
    """Give each gallery item's place (query, gallery) by likeness, ties sharing their mean, and the last they share."""
    from scipy.stats import rankdata

    mean, last = (rankdata(-likeness.round(12), axis=1, method=method) for method in ("average", "max"))
    return mean.astype(np.float64), last.astype(np.float64)
