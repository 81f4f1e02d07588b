"""Whether units that are wired together work together: functional connectivity beside a connectome."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.graphs._weights import weights_of
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES
from neurointerp.result import result
from neurointerp.statistics import permutation_p

NAME = "graphs.structure_function"


def structure_function(
    function: xr.Dataset | xr.DataArray, structure: xr.DataArray, *, kind: str | None = None, nulls: int = 1000,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Tell wired pairs of units from unwired ones by how strongly they go together.

    Over all pairs of units that both graphs name: the area under the ROC curve of functional weights for the presence
    of an edge, and the rank correlation with its weight. The null permutes the labels of the connectome, which keeps
    both graphs as they are.

    Parameters
    ----------
    function
        A connectivity result, its `connectivity (source, target)`, or a recording, of which `correlation` is taken.
        Symmetric; pairs that are NaN are left out. Take `abs` first if opposite activity should count as connection.
    structure
        (source, target) or (source, target, kind), >= 0, as in the `structure` of a session. A directed one counts
        both ways: w + w.T.
    kind
        One kind of synapse; all kinds are added by default.
    nulls
        Permutations of labels.
    seed
        Seed of the permutations.

    Returns
    -------
    xarray.Dataset
        Along `measure`, `auroc` and `rank_correlation`: `value`, `p_value` (one-sided) and `null_mean`;
        `null (draw, measure)`; the scalars `units`, `pairs` and `wired_pairs` that were compared.

    Raises
    ------
    AnalysisError
        When fewer than three units have a name in both, none or all of their pairs are wired, all have one functional
        weight, a graph is not as described (a directed function), or `nulls` is below 1.

    References
    ----------
    Yemini et al. (2021), NeuroPAL, Cell 184:272, compare in this way by correlation; permuting labels: Krackhardt
    (1988), Predicting with networks, Social Networks 10:359.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import graphs
    >>> graph = ni.synthetic.weighted_lfr(n_units=60, mean_degree=10, max_degree=25)["structure/lfr/structure"]
    >>> found = graphs.structure_function(graph, graph, nulls=50)
    >>> float(found.value.sel(measure="auroc")), float(found.p_value.sel(measure="auroc").round(3))
    (1.0, 0.02)
    """
    if nulls < 1:
        raise AnalysisError(f"{NAME}: nulls is {nulls!r}; at least 1 is needed")
    weights, wiring = weights_of(function, NAME), _wiring(structure, kind)
    shared = _shared(weights, wiring)
    f, s = (graph.sel(source=shared, target=shared).values.astype(np.float64) for graph in (weights, wiring))
    first, second = _pairs(f)
    ranks, wired = _ranks(f[first, second]), s[first, second] > 0
    if wired.all() or not wired.any():
        raise AnalysisError(f"{NAME}: {int(wired.sum())} of {wired.size} pairs are wired; some and not all must be")
    own = _both(ranks, s, first, second)
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(len(shared)) for _ in range(nulls))
    draws = np.array([_both(ranks, s[np.ix_(order, order)], first, second) for order in orders])
    at = {"measure": np.array(["auroc", "rank_correlation"], dtype=object)}
    return result(
        {
            "value": xr.DataArray(own, dims="measure", coords=at),
            "p_value": xr.DataArray(np.asarray(permutation_p(own, draws)), dims="measure", coords=at),
            "null_mean": xr.DataArray(draws.mean(axis=0), dims="measure", coords=at),
            "null": xr.DataArray(draws, dims=("draw", "measure"), coords=at),
            "units": xr.DataArray(len(shared)),
            "pairs": xr.DataArray(wired.size),
            "wired_pairs": xr.DataArray(int(wired.sum())),
        },
        analysis=NAME,
        recording=function,
        parameters={"kind": kind, "nulls": nulls},
        seed=seed,
    )


def _wiring(structure: xr.DataArray, kind: str | None) -> xr.DataArray:
    """Give symmetric (source, target) weights of a connectome."""
    if not isinstance(structure, xr.DataArray) or structure.dims not in (SIDES, (*SIDES, "kind")):
        found = getattr(structure, "dims", type(structure).__name__)
        raise AnalysisError(f"{NAME}: a structure (source, target) or (source, target, kind) is needed, found {found}")
    if "kind" in structure.dims:
        kinds = list(structure["kind"].values)
        if kind is not None and kind not in kinds:
            raise AnalysisError(f"{NAME}: no kind {kind!r} in the structure; there are {', '.join(map(str, kinds))}")
        structure = structure.sum("kind") if kind is None else structure.sel(kind=kind, drop=True)
    elif kind is not None:
        raise AnalysisError(f"{NAME}: kind is {kind!r}, but the structure has no dim 'kind'")
    missing = int(structure.isnull().sum())
    if missing or (structure < 0).any():
        raise AnalysisError(f"{NAME}: {missing} missing and {int((structure < 0).sum())} negative weights of structure")
    if len(set(structure["source"].values)) < structure.sizes["source"]:
        raise AnalysisError(f"{NAME}: unit labels of the structure must be unique")
    if list(structure["source"].values) != list(structure["target"].values):
        raise AnalysisError(f"{NAME}: source and target of the structure must carry the same labels in one order")
    return structure.copy(data=structure.values + structure.values.T)


def _shared(weights: xr.DataArray, wiring: xr.DataArray) -> list[str]:
    """Give the units that both graphs name, three or more."""
    if not weights.size or not wiring.size:
        raise AnalysisError(
            f"{NAME}: {weights.size} weights of function and {wiring.size} of structure; there is nothing to compare"
        )
    _require_symmetric(weights.values)
    named = set(wiring["source"].values)
    shared = [unit for unit in weights["source"].values if unit in named]
    if len(shared) < 3:
        raise AnalysisError(
            f"{NAME}: {len(shared)} units have a name in both graphs, of {weights.sizes['source']} in function (such "
            f"as {weights['source'].values[0]!r}) and {wiring.sizes['source']} in structure (such as "
            f"{wiring['source'].values[0]!r}); three are needed"
        )
    return shared


def _pairs(f: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the pairs of units that have a functional weight, of which two differ."""
    first, second = np.triu_indices(len(f), 1)
    seen = ~np.isnan(f[first, second])
    first, second = first[seen], second[seen]
    if not seen.any() or f[first, second].min() == f[first, second].max():
        raise AnalysisError(
            f"{NAME}: all {int(seen.sum())} pairs that have a weight have the same; there is nothing to rank"
        )
    return first, second


def _require_symmetric(weights: NDArray[np.float64]) -> None:
    """Refuse a directed function: of each pair one direction would be left out."""
    largest = np.abs(weights[np.isfinite(weights)]).max(initial=0.0)
    if not np.allclose(weights, weights.T, rtol=0, atol=1e-5 * largest, equal_nan=True):
        raise AnalysisError(
            f"{NAME}: the functional graph is not symmetric, and a pair of units needs one weight; make it so first, "
            "for instance (w + w.T) / 2 or the larger of both directions"
        )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def _both(
    ranks: NDArray[np.float64], s: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give AUROC (by the rank sum) and Spearman's correlation of function, by its ranks, with structure."""
    weight = s[first, second]
    wired = weight > 0
    count = int(wired.sum())
    area = (
        (ranks[wired].sum() - count * (count + 1) / 2) / (count * (wired.size - count))
        if 0 < count < wired.size
        else np.nan
    )
    return np.array([area, np.corrcoef(ranks, _ranks(weight))[0, 1]])
