"""Communities of units: groups that are more strongly connected inside than expected from their strengths."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity.correlation import correlation
from neurointerp.errors import AnalysisError
from neurointerp.graph import edge_weights, numbered, symmetric, unit_coords
from neurointerp.result import result

_ANALYSIS = "connectivity.communities"
ROUNDS = 20
"""Most rounds of consensus; it settles after two or three."""


def communities(
    graph: xr.Dataset | xr.DataArray, *, resolution: float = 1.0, runs: int = 1, seed: int = 0
) -> xr.Dataset:
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
    runs
        Number of runs from different orders. With more than one the answer is their consensus: the share of runs in
        which two units are together is itself divided, as often, until all runs agree.
    seed
        Seed of the order in which Louvain visits units; further runs take the seeds that follow.

    Returns
    -------
    xarray.Dataset
        `community (unit)`, int from 0, the largest community first and, of equal ones, that whose first label
        in alphabetical order comes first; `modularity`, a scalar (:math:`Q`, NaN where no weight is positive:
        each unit is then alone). `run_modularity (run)`: that of each run by itself; `agreement (unit)`: the mean
        share of runs in which a unit is together with the others of its community (1 for a unit alone). The units
        carry the coordinates they had in the recording.

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
    in networkx; Newman (2004), Analysis of weighted networks, Phys Rev E 70:056131; consensus: Lancichinetti and
    Fortunato (2012), Consensus clustering in complex networks, Sci Rep 2:336. Deviations: signed graphs are reduced
    to their positive part; what runs share by less than half is dropped before it is divided.

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
    if not isinstance(runs, Integral) or isinstance(runs, bool) or runs < 1:
        raise AnalysisError(f"{_ANALYSIS}: runs is {runs!r}; a whole number of at least 1 is needed")
    given = correlation(graph) if isinstance(graph, xr.DataArray) and "unit" in graph.dims else graph
    weights = edge_weights(given, _ANALYSIS)
    positive = np.maximum(symmetric(weights.values, _ANALYSIS), 0.0)
    positive /= positive.max(initial=0.0) or 1.0  # modularity knows no scale, and sums of squares do
    order = np.argsort(weights["source"].values.astype(str), kind="stable")
    placed = positive[np.ix_(order, order)]
    seeds = range(seed, seed + runs)
    found = np.stack([_louvain(placed, resolution, each) for each in seeds])
    label, agreement = np.empty(len(order), dtype=np.int64), np.empty(len(order))
    label[order] = agreed = _consensus(found, resolution, seeds)
    agreement[order] = _agreement(found, agreed)
    each = [_modularity(placed, one, resolution) for one in found]
    coords = unit_coords(weights)
    return result(
        {
            "community": xr.DataArray(label, dims="unit", coords=coords),
            "modularity": xr.DataArray(_modularity(positive, label, resolution), attrs={"units": "1"}),
            "run_modularity": xr.DataArray(each, dims="run", coords={"run": np.arange(runs)}, attrs={"units": "1"}),
            "agreement": xr.DataArray(agreement, dims="unit", coords=coords, attrs={"units": "1"}),
        },
        analysis=_ANALYSIS,
        recording=given,  # of a recording its correlation, which knows the digest
        parameters={"resolution": resolution, "runs": runs},
        seed=seed,
    )


def _consensus(found: NDArray[np.int64], resolution: float, seeds: range) -> NDArray[np.int64]:
    """Divide the shares of runs (run, unit) that put two units together, until the runs agree."""
    for _ in range(ROUNDS):
        if (found == found[0]).all():
            break
        together = _together(found)
        np.fill_diagonal(together, 0.0)
        found = np.stack([_louvain(np.where(together >= 0.5, together, 0.0), resolution, each) for each in seeds])
    return np.asarray(found[0])


def _together(found: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.zeros((found.shape[1],) * 2)
    for one in found:
        shares += one[:, None] == one
    return shares / len(found)


def _agreement(found: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    others = (label[:, None] == label) & ~np.eye(len(label), dtype=bool)
    count = others.sum(axis=1)
    return np.where(count > 0, (_together(found) * others).sum(axis=1) / np.maximum(count, 1), 1.0)


def _louvain(weights: NDArray[np.float64], resolution: float, seed: int) -> NDArray[np.int64]:
    """Give the community of each node, numbered by size, then by first node."""
    import networkx as nx

    found = nx.community.louvain_communities(nx.from_numpy_array(weights), resolution=resolution, seed=seed)
    label = np.empty(len(weights), dtype=np.int64)
    for number, members in enumerate(found):
        label[list(members)] = number
    return numbered(label)


def _modularity(weights: NDArray[np.float64], label: NDArray[np.int64], resolution: float) -> float:
    total = weights.sum()
    if total == 0:
        return float("nan")
    member = label[:, None] == np.arange(label.max() + 1)
    inside = ((weights @ member) * member).sum(axis=0)
    strength = weights.sum(axis=1) @ member
    return float((inside / total - resolution * (strength / total) ** 2).sum())
