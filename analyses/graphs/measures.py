"""Measures of a graph and of its units: degree, strength, clustering, efficiency, betweenness."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.analyses.graphs import _paths
from neurointerp.analyses.graphs._weights import positive, weights_of
from neurointerp.errors import AnalysisError
from neurointerp.graph import unit_coords
from neurointerp.result import result

NAME = "graphs.measures"


def measures(graph: xr.Dataset | xr.DataArray, *, threshold: float = 0.0, seed: int = 0) -> xr.Dataset:
    r"""Measure the units of a graph, and the graph.

    Parameters
    ----------
    graph
        A connectivity result (with the variable `connectivity (source, target)`), that variable alone, or a
        recording, of which `correlation` is taken first. Symmetric; negative weights and the diagonal are left out.
    threshold
        Weights up to this, in the units of the graph, are no edges.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        Of each unit: `degree`, `strength`, `clustering` (Onnela's weighted one, weights over the largest: the mean
        over pairs of neighbours of :math:`(w_{ij} w_{jk} w_{ki})^{1/3}`), `local_efficiency` (of the graph of its
        neighbours) and `betweenness` (share of shortest paths between other units that pass through it). Of the
        graph: `density`, `global_efficiency` (mean of 1 / distance), `path_length` (mean distance over pairs that
        have a path), `mean_clustering`, `transitivity` and `assortativity` of degrees (NaN where all are alike), the
        last two without weights. An edge of weight w has length 1 / w.

    Raises
    ------
    AnalysisError
        When the graph has missing weights, is not symmetric, or has no edge.

    References
    ----------
    Rubinov, Sporns (2010), Complex network measures of brain connectivity, NeuroImage 52:1059; Onnela et al. (2005),
    Intensity and coherence of motifs in weighted complex networks, Phys Rev E 71:065103; Latora, Marchiori (2001),
    Efficient behavior of small-world networks, Phys Rev Lett 87:198701. Betweenness, transitivity and assortativity
    are networkx's. Deviation: local efficiency is that of the weighted graph of neighbours, without the weights to
    them.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurointerp.analyses import graphs
    >>> labels = np.array(["a", "b", "c", "d"], dtype=object)
    >>> w = np.array([[0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=float)
    >>> found = graphs.measures(xr.DataArray(w, dims=("source", "target"), coords={"source": labels, "target": labels}))
    >>> found.degree.values, found.clustering.values.round(3)
    (array([3, 2, 2, 1]), array([0.333, 1.   , 1.   , 0.   ]))
    """
    import networkx as nx

    given = weights_of(graph, NAME)
    weights = positive(given, NAME)
    weights[weights <= threshold] = 0.0
    if not weights.any():
        raise AnalysisError(f"{NAME}: none of the {len(weights)} units has an edge above {threshold:g}")
    edges = weights > 0
    n, degree = len(weights), edges.sum(axis=1)
    network = nx.from_numpy_array(np.divide(1.0, weights, out=np.zeros_like(weights), where=edges))
    binary = nx.from_numpy_array(edges.astype(int))
    between = nx.betweenness_centrality(network, weight="weight")
    ends = degree[np.nonzero(edges)[0]]
    alike = ends.min() == ends.max()
    coords = unit_coords(given)
    by_unit = {
        "degree": (degree, "1"),
        "strength": (weights.sum(axis=1), given.attrs.get("units", "1")),
        "clustering": (_paths.clustering(weights), "1"),
        "local_efficiency": (_paths.local_efficiency(weights), given.attrs.get("units", "1")),
        "betweenness": (np.array([between[i] for i in range(n)]), "1"),
    }
    whole = {
        "density": edges.sum() / (n * (n - 1)),
        "global_efficiency": _paths.efficiency(weights),
        "path_length": _paths.path_length(weights),
        "mean_clustering": by_unit["clustering"][0].mean(),
        "transitivity": nx.transitivity(binary),
        "assortativity": np.nan if alike else nx.degree_pearson_correlation_coefficient(binary),
    }
    return result(
        {
            **{k: xr.DataArray(v, dims="unit", coords=coords, attrs={"units": u}) for k, (v, u) in by_unit.items()},
            **{name: xr.DataArray(float(value)) for name, value in whole.items()},
        },
        analysis=NAME,
        recording=graph,
        parameters={"threshold": threshold},
        seed=seed,
    )
