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
    given, weights = _edges(graph, threshold, name, nulls, swaps)
    draws = _draws(weights, nulls, swaps, seed)
    largest = weights.max()
    strength = (weights / largest).sum(axis=1)
    kept = [
        np.corrcoef(strength, (draw / largest).sum(axis=1))[0, 1]
        if np.ptp(strength) > 1e-12 * strength.max()
        else np.nan
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
    _, weights = _edges(graph, threshold, name, nulls, swaps)
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
    edges; and :math:`\phi^w(k) = W_{>k} / \sum_{l=1}^{E_{>k}} w_l`, the weight :math:`W_{>k}` of their edges over that
    of as many of the strongest edges :math:`w_l` of the whole graph.

    Parameters
    ----------
    graph, nulls, swaps, threshold, seed
        As for `graphs.rewired`, which the null graphs come from.

    Returns
    -------
    xarray.Dataset
        Along `degree`: `coefficient` (:math:`\phi`), `null (draw, degree)`, `normalised` (over the mean of the null;
        NaN where that is 0), `p_value`, and `units`, how many have more edges. Degrees go as far as two such units. The
        same with weights: `weighted_coefficient` (:math:`\phi^w`, NaN where there is no edge among them),
        `weighted_null`, `weighted_normalised`, `weighted_p_value`. Their null graphs are the graph itself with its
        weights dealt out anew over its edges, so that they ask where the strong edges are, given which edges there are.

    Raises
    ------
    AnalysisError
        As `graphs.rewired`.

    References
    ----------
    Colizza et al. (2006), Detecting rich-club ordering in complex networks, Nat Phys 2:110; van den Heuvel, Sporns
    (2011), Rich-club organization of the human connectome, J Neurosci 31:15775; weighted: Opsahl et al. (2008),
    Prominence and control: the weighted rich-club effect, Phys Rev Lett 101:168702 (with this null). Units are ranked
    by degree in both.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import graphs
    >>> graph = ni.synthetic.weighted_lfr(n_units=60, mean_degree=10, max_degree=25)["structure/lfr/structure"]
    >>> graphs.rich_club(graph, nulls=5).coefficient.dims
    ('degree',)
    """
    name = "graphs.rich_club"
    _, weights = _edges(graph, threshold, name, nulls, swaps)
    degree = (weights > 0).sum(axis=1)
    levels = np.arange(np.sort(degree)[-2])
    at = {"degree": levels}
    variables = {"units": xr.DataArray((degree[:, None] > levels).sum(axis=0), dims="degree", coords=at)}
    rewired_draws, dealt = _draws(weights, nulls, swaps, seed), _dealt(weights, nulls, seed)
    for prefix, club, draws in (("", _club, rewired_draws), ("weighted_", _weighted_club, dealt)):
        null = np.stack([club(draw, degree, levels) for draw in draws])
        along = _beside(club(weights, degree, levels), null)
        variables |= {f"{prefix}{key}": xr.DataArray(v, dims="degree", coords=at) for key, v in along.items()}
        variables[f"{prefix}null"] = xr.DataArray(null, dims=("draw", "degree"), coords=at)
    return result(
        variables,
        analysis=name,
        recording=graph,
        parameters={"nulls": nulls, "swaps": swaps, "threshold": threshold},
        seed=seed,
    )


def _edges(
    graph: xr.Dataset | xr.DataArray, threshold: float, name: str, nulls: int, swaps: int
) -> tuple[xr.DataArray, NDArray[np.float64]]:
    for what, value in (("nulls", nulls), ("swaps", swaps)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise AnalysisError(f"{name}: {what} is {value!r}; a whole number of at least 1 is needed")
    given = weights_of(graph, name)
    weights = positive(given, name)
    weights[weights <= threshold] = 0.0
    if not weights.any():
        raise AnalysisError(f"{name}: none of the {len(weights)} units has an edge above {threshold:g}")
    return given, weights


def _draws(weights: NDArray[np.float64], nulls: int, swaps: int, seed: int) -> list[NDArray[np.float64]]:
    from neurointerp.analyses.graphs._rewire import null_graph

    rng, scale = np.random.default_rng(seed), 2.0 ** np.frexp(weights.max())[1]  # a power of two: nothing is rounded
    return [scale * null_graph(weights / scale, swaps, rng) for _ in range(nulls)]


def _dealt(weights: NDArray[np.float64], nulls: int, seed: int) -> list[NDArray[np.float64]]:
    """Give graphs with the same edges, and their weights in a random order."""
    rng, (i, j), draws = np.random.default_rng(seed), np.nonzero(np.triu(weights, 1)), []
    for _ in range(nulls):
        draw = np.zeros_like(weights)
        draw[i, j] = draw[j, i] = rng.permutation(weights[i, j])
        draws.append(draw)
    return draws


def _club(weights: NDArray[np.float64], degree: NDArray[np.int64], levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the density among the units with more than each of `levels` edges."""
    lower = np.minimum(degree[:, None], degree)[np.triu(weights, 1) > 0]
    edges = (lower[:, None] > levels).sum(axis=0)
    units = (degree[:, None] > levels).sum(axis=0)
    return np.asarray(2 * edges / (units * (units - 1)))


def _weighted_club(
    weights: NDArray[np.float64], degree: NDArray[np.int64], levels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the weight among the units with more than each of `levels` edges, over that of as many strongest edges."""
    upper = np.triu(weights, 1)
    edge = upper > 0
    lower, weight = np.minimum(degree[:, None], degree)[edge], upper[edge]
    inside = lower[:, None] > levels
    edges = inside.sum(axis=0)
    most = np.concatenate([[0.0], np.sort(weight)[::-1].cumsum()])[edges]
    return np.asarray(np.divide(weight @ inside, most, out=np.full(len(levels), np.nan), where=edges > 0))


def _beside(own: NDArray[np.float64], null: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Put coefficients (degree) beside those of null graphs (draw, degree); NaN where there is none."""
    count = (~np.isnan(null)).sum(axis=0)
    mean = np.divide(np.nansum(null, axis=0), count, out=np.full_like(own, np.nan), where=count > 0)
    p = np.where(np.isnan(own), np.nan, permutation_p(np.nan_to_num(own), np.nan_to_num(null)))
    normalised = np.divide(own, mean, out=np.full_like(own, np.nan), where=mean > 0)
    return {"coefficient": own, "normalised": normalised, "p_value": p}
