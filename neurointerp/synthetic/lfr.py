"""Weighted graphs with planted communities, the benchmark of Lancichinetti and Fortunato."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import RecordingError
from neurointerp.graph import SIDES
from neurointerp.recordings import add_history, session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._simulated import names

Ints = NDArray[np.int64]
TRIES = 200
"""How often a drawn edge that may not be is exchanged with another before it is left out."""


def weighted_lfr(
    *,
    n_units: int = 125,
    mean_degree: float = 25.0,
    max_degree: int = 100,
    degree_exponent: float = 2.0,
    size_exponent: float = 1.0,
    topology_mixing: float = 0.5,
    weight_mixing: float = 0.5,
    strength_exponent: float = 1.5,
    seed: int = 0,
) -> xr.DataTree:
    r"""Draw a weighted graph whose degrees and community sizes follow power laws.

    Degrees follow :math:`k^{-\text{degree\_exponent}}` up to `max_degree`, with the lower end that gives
    `mean_degree`; community sizes :math:`n^{-\text{size\_exponent}}`. A unit has the share `topology_mixing` of its
    edges outside its community. Its strength is :math:`s = k^{\text{strength\_exponent}}`, of which the share
    `weight_mixing` lies on those edges.

    Parameters
    ----------
    n_units
        Units.
    mean_degree, max_degree
        Of the degrees.
    degree_exponent, size_exponent
        Of the two power laws, as positive numbers.
    topology_mixing, weight_mixing
        Shares in (0, 1) of a unit's edges and of its strength that leave its community.
    strength_exponent
        Of the strength as a function of the degree.
    seed
        Seed of degrees, sizes, places and edges.

    Returns
    -------
    xr.DataTree
        `structure/lfr/structure (source, target)`: symmetric weights, 0 without an edge, labelled simulated.
        `truth`: `community (unit)`, the realised `topology_mixing` and `weight_mixing` over all edges.

    Raises
    ------
    RecordingError
        If a parameter is out of range, or no communities can hold the units.

    References
    ----------
    Lancichinetti, Fortunato (2009), Benchmarks for testing community detection algorithms on directed and weighted
    graphs with overlapping communities, Phys Rev E 80:016118. Deviations: no overlap; wiring by exchanging single
    edges, so that a few edges that cannot be placed are missing; weights by scaling until internal and external
    strengths fit (theirs adds increments); smallest community as large as the smallest degree or 10, largest as the
    largest internal degree asks for.

    Examples
    --------
    >>> from neurointerp.synthetic import weighted_lfr
    >>> tree = weighted_lfr(n_units=60, mean_degree=10, max_degree=25, topology_mixing=0.2)
    >>> tree["structure/lfr/structure"].shape, bool(tree["truth/topology_mixing"] < 0.3)
    ((60, 60), True)
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    _parameters.integer("n_units", n_units, minimum=10)
    _parameters.integer("max_degree", max_degree, minimum=2, maximum=n_units - 1)
    _parameters.number("mean_degree", mean_degree, minimum=1.0, maximum=float(max_degree))
    for name in ("degree_exponent", "size_exponent", "strength_exponent"):
        _parameters.number(name, parameters[name], minimum=0.0)
    for name in ("topology_mixing", "weight_mixing"):
        _parameters.number(name, parameters[name], above=0.0, maximum=0.999)
    degree = _degrees(rng, n_units, mean_degree, max_degree, degree_exponent)
    inside = np.rint((1 - topology_mixing) * degree).astype(np.int64)
    community = _places(rng, inside, _sizes(rng, n_units, int(degree.min()), int(inside.max()), size_exponent))
    inside = np.minimum(inside, np.bincount(community)[community] - 1)
    same = community[:, None] == community
    edges = np.concatenate([_wired(rng, inside, same), _wired(rng, degree - inside, ~same)])
    weights = _weights(edges, same, degree.astype(float) ** strength_exponent, weight_mixing)
    labels = np.array(names("n", n_units), dtype=object)
    graph = xr.DataArray(
        weights, dims=SIDES, coords={"source": labels, "target": labels}, attrs={"units": "1", "system": "simulated"}
    )
    graph = add_history(graph, "synthetic.weighted_lfr", **parameters)
    truth = {
        "community": xr.DataArray(community, dims="unit", coords={"unit": labels}),
        "topology_mixing": xr.DataArray(float((weights > 0)[~same].sum() / (weights > 0).sum())),
        "weight_mixing": xr.DataArray(float(weights[~same].sum() / weights.sum())),
    }
    return session({}, structure={"lfr": graph}, truth=truth)


def _degrees(rng: np.random.Generator, count: int, mean: float, most: int, exponent: float) -> Ints:
    """Draw degrees from a power law whose lower end is where the mean comes out."""

    def law(least: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        k = np.arange(1, most + 1, dtype=float)
        share = k**-exponent * np.clip(k - least + 1, 0, 1)  # the lowest degree counts in part
        return k, share / share.sum()

    low, high = 1.0, float(most)
    for _ in range(60):
        middle = (low + high) / 2
        k, share = law(middle)
        low, high = (middle, high) if k @ share < mean else (low, middle)
    k, share = law(low)
    return np.asarray(rng.choice(k, size=count, p=share).astype(np.int64))


def _sizes(rng: np.random.Generator, count: int, least_degree: int, most_inside: int, exponent: float) -> Ints:
    """Draw community sizes from a power law that add up to `count`, the largest of which holds every unit's edges."""
    least = min(max(least_degree, 10), count)
    most = min(max(most_inside + 1, 2 * least), count)
    n = np.arange(least, most + 1)
    share = n.astype(float) ** -exponent
    for _ in range(10_000):
        sizes: list[int] = [most_inside + 1] if most_inside + 1 >= least else []
        while sum(sizes) < count:
            sizes.append(int(rng.choice(n, p=share / share.sum())))
        left = count - sum(sizes[:-1])
        if left == sizes[-1] or (len(sizes) > 1 and left >= least):
            return np.asarray([*sizes[:-1], left])
    raise RecordingError(
        f"no communities of {least} to {most} units add up to {count}; lower mean_degree or max_degree"
    )


def _places(rng: np.random.Generator, inside: Ints, sizes: Ints) -> Ints:
    """Put units into communities large enough for their internal degree, those with the highest degree first."""
    left = sizes.copy()
    community = np.empty(len(inside), dtype=np.int64)
    for unit in np.lexsort((rng.random(len(inside)), -inside)):
        fits = np.flatnonzero((left > 0) & (sizes > inside[unit]))
        if not fits.size:
            fits = np.flatnonzero(left == left.max())
        community[unit] = rng.choice(fits, p=left[fits] / left[fits].sum())
        left[community[unit]] -= 1
    return community


def _wired(rng: np.random.Generator, degree: Ints, allowed: NDArray[np.bool_]) -> Ints:
    """Pair stubs at random; pairs that may not be (forbidden, double, loops) exchange an end with other pairs."""
    ends = rng.permutation(np.repeat(np.arange(len(degree)), degree))
    edges = ends[: len(ends) // 2 * 2].reshape(-1, 2)
    allowed = allowed & ~np.eye(len(degree), dtype=bool)
    count = np.zeros(allowed.shape, dtype=np.int64)

    def add(pair: Ints, by: int) -> None:
        count[pair[0], pair[1]] += by
        count[pair[1], pair[0]] += by

    def bad(pair: Ints) -> bool:
        return not allowed[pair[0], pair[1]] or count[pair[0], pair[1]] > 1 + (pair[0] == pair[1])

    for pair in edges:
        add(pair, 1)
    for _ in range(TRIES):
        wrong = [i for i, pair in enumerate(edges) if bad(pair)]
        if not wrong:
            break
        for i in wrong:
            j = int(rng.integers(len(edges)))
            one, two = edges[[i, j], [0, 0]], edges[[i, j], [1, 1]]
            if rng.random() < 0.5:
                one, two = edges[[i, j], [0, 1]], edges[[i, j], [1, 0]]
            new = allowed[tuple(one)] and allowed[tuple(two)] and not count[tuple(one)] and not count[tuple(two)]
            if i != j and new and set(one) != set(two):
                for pair, by in ((edges[i], -1), (edges[j], -1), (one, 1), (two, 1)):
                    add(pair, by)
                edges[i], edges[j] = one, two
    keep = np.array([bool(allowed[pair[0], pair[1]]) for pair in edges], dtype=bool)
    return np.asarray(np.unique(np.sort(edges[keep], axis=1), axis=0))


def _weights(edges: Ints, same: NDArray[np.bool_], strength: NDArray[np.float64], mixing: float) -> NDArray[np.float64]:
    """Scale the weights of internal and of external edges until each unit's strengths are what they should be."""
    adjacency = np.zeros(same.shape)
    adjacency[edges[:, 0], edges[:, 1]] = adjacency[edges[:, 1], edges[:, 0]] = 1.0
    out = np.zeros(same.shape)
    for part, share in ((adjacency * same, 1 - mixing), (adjacency * ~same, mixing)):
        weights = part
        for _ in range(200):
            found = weights.sum(axis=1)
            scale = np.sqrt(np.divide(share * strength, found, out=np.ones_like(found), where=found > 0))
            weights = weights * np.outer(scale, scale)
        out += weights
    return out
