"""Communities as the blocks of a generative model: the weighted, nested stochastic block model."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.graphs._weights import positive, weights_of
from neurointerp.errors import AnalysisError
from neurointerp.graph import numbered, unit_coords
from neurointerp.result import result

NAME = "graphs.block_model"
MODELS = ("degree_corrected", "plain")
EDGE = 1e-6
"""A weight above this part of the largest one is an edge; smaller ones are none, not edges of weight 0."""
MOST_UNITS = 3000


def block_model(
    graph: xr.Dataset | xr.DataArray, *, model: str = "either", weighted: bool = True, starts: int = 10,
    merge_split: int = 0, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Divide units into the blocks that describe a graph in the fewest nats, at every level.

    With partition b, edges A and weights x the description length is

    .. math:: -\ln P(A | b) - \ln P(x | A, b) - \ln P(b)

    and no number of blocks is set: one block comes back where there is no structure to pay for more. With
    :math:`e_{rs}` edges between blocks (:math:`e_{rr}` twice those inside), :math:`n_r` units and degrees
    :math:`k_i`, the degree-corrected model has

    .. math:: \ln P(A, k | e, b) = \sum_{r<s} \ln e_{rs}! + \sum_r \ln e_{rr}!! - \sum_r \ln e_r! + \sum_i \ln k_i!
        - \sum_r \ln \binom{n_r + e_r - 1}{e_r}

    and the plain one :math:`\ln P(A | e, b) = \sum_{r<s} \ln e_{rs}! + \sum_r \ln e_{rr}!! - \sum_r e_r \ln n_r`. The
    counts e are themselves a multigraph of blocks, described by blocks of blocks, up to one. Weights between two
    blocks are exponential with an unknown rate: m edges of total weight :math:`\mu` (in units of the mean weight) have

    .. math:: \ln P = \ln m! - (m + 1) \ln(1 + \mu).

    Parameters
    ----------
    graph
        A connectivity result (with the variable `connectivity (source, target)`), that variable alone, or a
        recording, of which `correlation` is taken first. Symmetric; weights that are negative or below 1e-6 of the
        largest are no edges, and the diagonal is left out. At most 3000 units.
    model
        `degree_corrected`, `plain`, or `either`: both, and the one of smaller description length.
    weighted
        Whether weights are described; without, edges alone count.
    starts
        Searches from different random orders, of which the best is kept.
    merge_split
        Sweeps, of ten proposals each, of random merges and splits at zero temperature after the search; 0 by default.
    seed
        Seed of those orders.

    Returns
    -------
    xarray.Dataset
        - `community (level, unit)`: int from 0, the largest first, level 0 the finest. Levels go up as long as there
          is more than one block; where there is one from the start, that is level 0.
        - `description_length (model)`: nats, NaN for a model that was not fitted. Weights count as densities in units
          of their mean, so that only differences mean something.
        - `trivial_length (model)`: the same of one block for all units. What the structure saves is the difference.
        - `degree_corrected`: whether that model was kept. `edges`: how many there are.

    Raises
    ------
    AnalysisError
        When the graph has missing weights, is not symmetric, has no edge or too many units, or an argument is out of
        range.

    Notes
    -----
    Search: from one unit per block, merges that cost least alternate with moves of single units, until one block is
    left; the stages of the three best starts are compared with the levels above them; then merges, splits and moves
    while they help, and random ones where `merge_split` asks for them. It is a heuristic: more `starts` may find a
    shorter description.

    References
    ----------
    Peixoto (2017), Nonparametric Bayesian inference of the microcanonical stochastic block model, Phys Rev E
    95:012317; Peixoto (2018), Nonparametric weighted stochastic block models, Phys Rev E 97:012306. Equations after
    the specification of Dyballa et al. (2024), Learning dynamic representations of the functional connectome,
    ICLR, whose own settings could not be verified. Deviations: degrees are uniform within a block (Peixoto also has a
    prior on their distribution), which makes the plain model win more often; the prior rate of weights is one over
    their mean; upper levels are fitted after, not together with, those below; no sampling of the posterior. Both
    models allow multiple edges and loops, which costs them nats in dense graphs.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurointerp.analyses import graphs
    >>> rng = np.random.default_rng(0)
    >>> block = np.repeat([0, 1], 20)
    >>> draws = np.triu(rng.random((40, 40)) < np.where(block[:, None] == block, 0.5, 0.05), 1)
    >>> labels = np.array([f"n{i:02d}" for i in range(40)], dtype=object)
    >>> graph = xr.DataArray(draws + draws.T, dims=("source", "target"), coords={"source": labels, "target": labels})
    >>> found = graphs.block_model(graph.astype(float), weighted=False, starts=2)
    >>> found.community.isel(level=0).values.tolist() == block.tolist()
    True
    """
    if model not in (*MODELS, "either"):
        raise AnalysisError(f"{NAME}: model is {model!r}; one of either, {', '.join(MODELS)} is needed")
    if not isinstance(starts, Integral) or isinstance(starts, bool) or starts < 1:
        raise AnalysisError(f"{NAME}: starts is {starts!r}; a whole number of at least 1 is needed")
    if not isinstance(merge_split, Integral) or isinstance(merge_split, bool) or merge_split < 0:
        raise AnalysisError(f"{NAME}: merge_split is {merge_split!r}; a whole number of at least 0 is needed")
    weights = weights_of(graph, NAME)
    units = weights.sizes["source"]
    if units > MOST_UNITS:
        raise AnalysisError(f"{NAME}: {units} units; at most {MOST_UNITS} can be divided here: use communities")
    found = best_blocks(
        positive(weights, NAME), weights["source"].values, model=model, weighted=weighted, starts=starts,
        merge_split=merge_split, seed=seed,
    )  # fmt: skip
    return result(
        {
            "community": xr.DataArray(
                found.community,
                dims=("level", "unit"),
                coords={"level": np.arange(len(found.community)), **unit_coords(weights)},
            ),
            "description_length": _by_model(found.length),
            "trivial_length": _by_model(found.trivial),
            "degree_corrected": xr.DataArray(found.model == "degree_corrected"),
            "edges": xr.DataArray(found.edges, attrs={"units": "1"}),
        },
        analysis=NAME,
        recording=graph,
        parameters={"model": model, "weighted": weighted, "starts": starts, "merge_split": merge_split},
        seed=seed,
    )


def _by_model(length: dict[str, float]) -> xr.DataArray:
    values = [length.get(name, np.nan) for name in MODELS]
    return xr.DataArray(values, dims="model", coords={"model": np.array(MODELS, dtype=object)}, attrs={"units": "nat"})


@dataclass(frozen=True)
class Blocks:
    """What the search found: labels (level, unit), nats by model, the model kept, and the number of edges."""

    community: NDArray[np.int64]
    length: dict[str, float]
    trivial: dict[str, float]
    model: str
    edges: int


def best_blocks(
    weights: NDArray[np.float64], labels: NDArray[np.object_], *, model: str, weighted: bool, starts: int,
    merge_split: int = 0, seed: int,
) -> Blocks:  # fmt: skip
    """Fit the models asked for to non-negative weights (unit, unit) and keep the shorter description.

    Units are put in the order of their labels first, so that a reordered graph gives the same blocks.
    """
    from neurointerp.analyses.graphs import _blocks, _partition

    order = np.argsort(labels.astype(str), kind="stable")
    placed = weights[np.ix_(order, order)]
    edge = placed > EDGE * placed.max(initial=0.0)
    if not edge.any():
        raise AnalysisError(f"{NAME}: none of the {len(weights)} units has a positive weight to another")
    graph = _partition.graph(edge.astype(np.int64), placed / placed[edge].mean() if weighted else None)
    table = _partition.table(graph)
    fits, trivial = {}, {}
    for name, kind in (("degree_corrected", _blocks.DEGREE_CORRECTED), ("plain", _blocks.PLAIN)):
        if model in (name, "either"):
            described = _partition.Model(kind, weighted, table)
            fits[name] = _partition.fit(graph, described, starts, merge_split, np.random.default_rng(seed))
            trivial[name] = _partition.level_cost(graph, np.zeros(len(placed), np.int64), described)
    kept = min(fits, key=lambda name: fits[name].length)
    community = np.empty((0, len(weights)), dtype=np.int64)
    label = np.arange(len(weights))
    for level in fits[kept].levels:
        label = level[label]
        if len(community) and not label.any():
            break
        row = np.empty_like(label)
        row[order] = numbered(label)
        community = np.concatenate([community, row[None]])
    return Blocks(community, {name: f.length for name, f in fits.items()}, trivial, kept, graph.edges)
