"""Small-worldness and the rich club of a graph, beside random graphs with its degrees and strengths."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.graphs import _paths
from neurointerp.analyses.graphs._weights import positive, weights_of
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES, side_coords, unit_coords
from neurointerp.result import result
from neurointerp.statistics import permutation_p


def rewired(
    graph: xr.Dataset | xr.DataArray, *, nulls: int = 20, swaps: int = 10, threshold: float = 0.0, seed: int = 0
) -> xr.Dataset:
    """Draw random graphs that keep each unit's degree, all weights and, nearly, each unit's strength.

    Pairs of edges exchange ends, `swaps` attempts per edge; then the weights are given out so that units get about
    the strength they had. In a complete graph no edge can move: only weights do.

    Parameters
    ----------
    graph
        As for `graphs.measures`.
    nulls
        Number of graphs.
    swaps
        Attempts to exchange, per edge.
    threshold
        Weights up to this are no edges.
    seed
        Seed of all draws.

    Returns
    -------
    xarray.Dataset
        `connectivity (draw, source, target)`; `strength_correlation (draw)`: how well strengths are kept (NaN where
        all are alike).

    Raises
    ------
    AnalysisError
        When the graph has missing weights, is not symmetric, or has no edge, or an argument is out of range.

    References
    ----------
    Maslov, Sneppen (2002), Specificity and stability in topology of protein networks, Science 296:910; Rubinov,
    Sporns (2011), Weight-conserving characterization of complex functional brain networks, NeuroImage 56:2068.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import graphs
    >>> graph = ni.synthetic.weighted_lfr(n_units=60, mean_degree=10, max_degree=25)["structure/lfr/structure"]
    >>> null = graphs.rewired(graph, nulls=1).connectivity[0]
    >>> bool(((null > 0).sum("target") == (graph > 0).sum("target")).all())
    True
    """
    name = "graphs.rewired"
    given, weights = _edges(graph, threshold, name, nulls)
    draws = _draws(weights, nulls, swaps, seed)
    strength = weights.sum(axis=1)
    kept = [
        np.corrcoef(strength, draw.sum(axis=1))[0, 1] if np.ptp(strength) > 1e-12 * strength.max() else np.nan
        for draw in draws
    ]
    coords = {"draw": np.arange(nulls), **side_coords(xr.Dataset(coords=unit_coords(given)).coords)}
    attrs = {"units": given.attrs.get("units", "1")}
    return result(
        {
            "connectivity": xr.DataArray(np.stack(draws), dims=("draw", *SIDES), coords=coords, attrs=attrs),
            "strength_correlation": xr.DataArray(kept, dims="draw"),
        },
        analysis=name,
        recording=graph,
        parameters={"nulls": nulls, "swaps": swaps, "threshold": threshold},
        seed=seed,
    )


def small_world(
    graph: xr.Dataset | xr.DataArray, *, nulls: int = 20, swaps: int = 10, threshold: float = 0.0, seed: int = 0
) -> xr.Dataset:
    r"""Compare clustering and path length with those of random graphs of the same degrees and strengths.

    :math:`\sigma = \frac{C / C_\text{null}}{L / L_\text{null}}`, above 1 for a small world: as clustered as a lattice,
    with paths nearly as short as at random.

    Parameters
    ----------
    graph, nulls, swaps, threshold, seed
        As for `graphs.rewired`, which the null graphs come from.

    Returns
    -------
    xarray.Dataset
        `small_worldness`, `clustering` and `path_length` of the graph, `null_clustering (draw)`,
        `null_path_length (draw)`, and `p_value`, the share of null graphs at least as clustered. Weighted; as in
        `graphs.measures`.

    Raises
    ------
    AnalysisError
        As `graphs.rewired`.

    References
    ----------
    Humphries, Gurney (2008), Network small-world-ness, PLoS ONE 3:e0002051. Deviations: weights count, and null graphs
    keep degrees and strengths. In a dense graph sigma is near 1 whatever it looks like.

    Examples
    --------
    >>> import numpy as np, networkx as nx, xarray as xr
    >>> from neurointerp.analyses import graphs
    >>> w = nx.to_numpy_array(nx.watts_strogatz_graph(60, 6, 0.1, seed=0))
    >>> labels = np.array([f"n{i:02d}" for i in range(60)], dtype=object)
    >>> graph = xr.DataArray(w, dims=("source", "target"), coords={"source": labels, "target": labels})
    >>> bool(graphs.small_world(graph).small_worldness > 2)
    True
    """
    name = "graphs.small_world"
    _, weights = _edges(graph, threshold, name, nulls)
    draws = _draws(weights, nulls, swaps, seed)
    own = float(_paths.clustering(weights).mean()), _paths.path_length(weights)
    null = np.array([[_paths.clustering(draw).mean(), _paths.path_length(draw)] for draw in draws])
    mean = null.mean(axis=0)
    sigma = own[0] / mean[0] / (own[1] / mean[1]) if mean[0] > 0 else np.nan
    return result(
        {
            "small_worldness": xr.DataArray(sigma),
            "clustering": xr.DataArray(own[0]),
            "path_length": xr.DataArray(own[1]),
            "null_clustering": xr.DataArray(null[:, 0], dims="draw"),
            "null_path_length": xr.DataArray(null[:, 1], dims="draw"),
            "p_value": xr.DataArray(float(permutation_p(np.array(own[0]), null[:, 0]))),
        },
        analysis=name,
        recording=graph,
        parameters={"nulls": nulls, "swaps": swaps, "threshold": threshold},
        seed=seed,
    )


def rich_club(
    graph: xr.Dataset | xr.DataArray, *, nulls: int = 20, swaps: int = 10, threshold: float = 0.0, seed: int = 0
) -> xr.Dataset:
    r"""Measure how densely units of high degree are connected, beside random graphs with the same degrees.

    :math:`\phi(k) = 2 E_{>k} / (N_{>k} (N_{>k} - 1))`, the density among the :math:`N_{>k}` units with more than k
    edges.

    Parameters
    ----------
    graph, nulls, swaps, threshold, seed
        As for `graphs.rewired`, which the null graphs come from. Weights beyond the threshold do not count.

    Returns
    -------
    xarray.Dataset
        Along `degree`: `coefficient` (:math:`\phi`), `null (draw, degree)`, `normalised` (over the mean of the null;
        NaN where that is 0), `p_value`, and `units`, how many have more edges. Degrees go as far as two such units.

    Raises
    ------
    AnalysisError
        As `graphs.rewired`.

    References
    ----------
    Colizza et al. (2006), Detecting rich-club ordering in complex networks, Nat Phys 2:110; van den Heuvel, Sporns
    (2011), Rich-club organization of the human connectome, J Neurosci 31:15775 (theirs has a weighted form too).

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import graphs
    >>> graph = ni.synthetic.weighted_lfr(n_units=60, mean_degree=10, max_degree=25)["structure/lfr/structure"]
    >>> graphs.rich_club(graph, nulls=5).coefficient.dims
    ('degree',)
    """
    name = "graphs.rich_club"
    _, weights = _edges(graph, threshold, name, nulls)
    degree = (weights > 0).sum(axis=1)
    levels = np.arange(np.sort(degree)[-2])
    own = _club(weights, degree, levels)
    null = np.stack([_club(draw, degree, levels) for draw in _draws(weights, nulls, swaps, seed)])
    mean = null.mean(axis=0)
    at = {"degree": levels}
    along: dict[str, NDArray[np.float64]] = {
        "coefficient": own,
        "normalised": np.divide(own, mean, out=np.full_like(own, np.nan), where=mean > 0),
        "p_value": np.asarray(permutation_p(own, null)),
        "units": (degree[:, None] > levels).sum(axis=0),
    }
    return result(
        {
            **{key: xr.DataArray(values, dims="degree", coords=at) for key, values in along.items()},
            "null": xr.DataArray(null, dims=("draw", "degree"), coords=at),
        },
        analysis=name,
        recording=graph,
        parameters={"nulls": nulls, "swaps": swaps, "threshold": threshold},
        seed=seed,
    )


def _edges(
    graph: xr.Dataset | xr.DataArray, threshold: float, name: str, nulls: int
) -> tuple[xr.DataArray, NDArray[np.float64]]:
    if not isinstance(nulls, Integral) or isinstance(nulls, bool) or nulls < 1:
        raise AnalysisError(f"{name}: nulls is {nulls!r}; a whole number of at least 1 is needed")
    given = weights_of(graph, name)
    weights = positive(given, name)
    weights[weights <= threshold] = 0.0
    if not weights.any():
        raise AnalysisError(f"{name}: none of the {len(weights)} units has an edge above {threshold:g}")
    return given, weights


def _draws(weights: NDArray[np.float64], nulls: int, swaps: int, seed: int) -> list[NDArray[np.float64]]:
    from neurointerp.analyses.graphs._rewire import null_graph

    rng = np.random.default_rng(seed)
    return [null_graph(weights, swaps, rng) for _ in range(nulls)]


def _club(weights: NDArray[np.float64], degree: NDArray[np.int64], levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the density among the units with more than each of `levels` edges."""
    lower = np.minimum(degree[:, None], degree)[np.triu(weights, 1) > 0]
    edges = (lower[:, None] > levels).sum(axis=0)
    units = (degree[:, None] > levels).sum(axis=0)
    return np.asarray(2 * edges / (units * (units - 1)))
