"""Communities of units: groups that are more strongly connected inside than expected from their strengths."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import SIDES, unit_coords
from neurointerp.analyses.connectivity.correlation import correlation
from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "connectivity.communities"


def communities(graph: xr.Dataset | xr.DataArray, *, resolution: float = 1.0, seed: int = 0) -> xr.Dataset:
    r"""Divide units into communities by maximising modularity (Louvain).

    .. math:: Q = \sum_c \left[ \frac{\sum_{i, j \in c} w_{ij}}{S} - \gamma \left( \frac{\sum_{i \in c} s_i}{S}
        \right)^2 \right], \quad w_{ij} = \max(0, r_{ij}),\ w_{ii} = 0,\ s_i = \sum_j w_{ij},\ S = \sum_i s_i

    Parameters
    ----------
    graph
        A connectivity result (with the variable `connectivity (source, target)`), that variable alone, or a
        recording, of which `correlation` is taken first. Negative weights and the diagonal are left out.
    resolution
        :math:`\gamma > 0`; larger values give smaller communities.
    seed
        Seed of the order in which Louvain visits units.

    Returns
    -------
    xarray.Dataset
        `community (unit)`, int from 0, the largest community first and, of equal ones, that whose first label
        in alphabetical order comes first; `modularity`, a scalar (:math:`Q`, NaN where no weight is positive:
        each unit is then alone). The units carry the coordinates they had in the recording.

    Raises
    ------
    AnalysisError
        When the graph has missing weights (a constant unit), is not symmetric or has other dims.

    Notes
    -----
    Units are visited by label: a reordered graph gives the same communities for the same seed. Renamed units
    can give others where several divisions are about as good, as other seeds can.

    References
    ----------
    Blondel et al. (2008), Fast unfolding of communities in large networks, J Stat Mech P10008, as implemented
    in networkx; Newman (2004), Analysis of weighted networks, Phys Rev E 70:056131. Deviation: signed graphs
    are reduced to their positive part.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurointerp.analyses import connectivity
    >>> labels = np.array(["a", "b", "c", "d"], dtype=object)
    >>> weights = [[1.0, 0.1, 0.9, 0.0], [0.1, 1.0, 0.0, 0.8], [0.9, 0.0, 1.0, 0.1], [0.0, 0.8, 0.1, 1.0]]
    >>> graph = xr.DataArray(weights, dims=("source", "target"), coords={"source": labels, "target": labels})
    >>> connectivity.communities(graph).community.values
    array([0, 1, 0, 1])
    """
    if not resolution > 0:
        raise AnalysisError(f"{_ANALYSIS}: resolution is {resolution!r}; a number above 0 is needed")
    weights = _weights(graph)
    positive = _positive_part(weights.values)
    order = np.argsort(weights["source"].values.astype(str), kind="stable")
    label = np.empty(len(order), dtype=np.int64)
    label[order] = _louvain(positive[np.ix_(order, order)], resolution, seed)
    modularity = _modularity(positive, label, resolution)
    return result(
        {
            "community": xr.DataArray(label, dims="unit", coords=unit_coords(weights)),
            "modularity": xr.DataArray(modularity, attrs={"units": "1"}),
        },
        analysis=_ANALYSIS,
        recording=graph,
        parameters={"resolution": resolution},
        seed=seed,
    )


def _weights(graph: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Give the (source, target) weights of a result, of a graph or of a recording; refuse what is not one."""
    if isinstance(graph, xr.DataArray) and "unit" in graph.dims:
        graph = correlation(graph)
    weights = graph.get("connectivity") if isinstance(graph, xr.Dataset) else graph
    if not isinstance(weights, xr.DataArray) or weights.dims != SIDES:
        found = "none" if weights is None else getattr(weights, "dims", type(weights).__name__)
        raise AnalysisError(
            f"{_ANALYSIS}: connectivity (source, target) is needed, found {found}; pass the result of "
            "connectivity.correlation, one slice of a dynamic one, or a recording"
        )
    if not all(side in weights.coords for side in SIDES) or not np.array_equal(
        weights["source"].values, weights["target"].values
    ):
        raise AnalysisError(f"{_ANALYSIS}: source and target must carry the same unit labels in one order")
    return weights


def _positive_part(weights: np.ndarray) -> NDArray[np.float64]:
    missing = np.isnan(weights)
    if missing.any():
        units = int(missing.all(axis=1).sum())
        raise AnalysisError(
            f"{_ANALYSIS}: {int(missing.sum())} weights are missing, {units} units have none (constant in the "
            "recording?); drop them first with .isel(source=keep, target=keep), or .isel(unit=keep) of the recording"
        )
    difference = np.abs(weights - weights.T).max(initial=0.0)
    if difference > 1e-5 * np.abs(weights).max(initial=0.0):
        raise AnalysisError(
            f"{_ANALYSIS}: weights are not symmetric (largest difference {difference:.3g}); a directed graph "
            "has to be made symmetric first, for instance (w + w.T) / 2"
        )
    positive = np.maximum(weights.astype(np.float64), 0.0)
    positive = (positive + positive.T) / 2
    np.fill_diagonal(positive, 0.0)
    return positive


def _louvain(weights: NDArray[np.float64], resolution: float, seed: int) -> NDArray[np.int64]:
    """Give the community of each node, numbered by size, then by first node."""
    import networkx as nx

    found = nx.community.louvain_communities(nx.from_numpy_array(weights), resolution=resolution, seed=seed)
    label = np.empty(len(weights), dtype=np.int64)
    for number, members in enumerate(sorted(found, key=lambda nodes: (-len(nodes), min(nodes)))):
        label[list(members)] = number
    return label


def _modularity(weights: NDArray[np.float64], label: NDArray[np.int64], resolution: float) -> float:
    total = weights.sum()
    if total == 0:
        return float("nan")
    member = label[:, None] == np.arange(label.max() + 1)
    inside = ((weights @ member) * member).sum(axis=0)
    strength = weights.sum(axis=1) @ member
    return float((inside / total - resolution * (strength / total) ** 2).sum())
