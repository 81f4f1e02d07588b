"""Connections that differ between two groups and form a network: the network-based statistic."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity.correlation import correlation
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES
from neurointerp.matrix import require_complete
from neurointerp.result import result
from neurointerp.statistics import max_statistic_p

NAME = "graphs.network_statistic"
STEPS = 50
EXTENT, HEIGHT = 0.4, 3.0
"""Exponents of the threshold-free enhancement, and the number of heights that it adds up."""


def network_statistic(
    connectivity: xr.DataArray, groups: Sequence[str], *, threshold: float | None = None, permutations: int = 1000,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Find the connections that differ between two groups of subjects and hang together.

    Each connection has Welch's t between the groups. Without a threshold it is enhanced by the networks it belongs
    to at all heights h up to its own, :math:`\int e(h)^{0.4} h^{3} dh` with e(h) the connections in its component
    above h; with one, by the number of connections in its component above the threshold. Both directions of the
    difference are looked at. Permuting who is in which group gives the distribution of the largest enhanced value,
    and p-values that are corrected for all connections.

    Parameters
    ----------
    connectivity
        (subject, source, target), symmetric and on a scale that can be averaged (`numpy.arctanh` of correlations); or
        a recording (subject, time, unit), of each subject of which the Fisher z of `correlation` is taken.
    groups
        One label for each subject, of two kinds with two subjects or more each.
    threshold
        Of \|t\|, above 0; None for threshold-free enhancement.
    permutations
        Draws of the null.
    seed
        Seed of the draws.

    Returns
    -------
    xarray.Dataset
        `statistic (source, target)`: t of the first group (in order of appearance) minus the second, 0 on the
        diagonal. `enhanced` and `p_value (source, target)`, as above. `null (draw)`: the largest enhanced value of
        each permutation. `difference (source, target)`: of the means.

    Raises
    ------
    AnalysisError
        When there are not two groups of two or two units, connections are missing, graphs are not symmetric, or an
        argument is out of range.

    References
    ----------
    Zalesky, Fornito, Bullmore (2010), Network-based statistic, NeuroImage 53:1197; Baggio et al. (2018), Statistical
    inference in brain graphs using threshold-free network-based statistics, Hum Brain Mapp 39:2289 (exponents and the
    idea). Deviations: Welch's t; heights are 50 steps up to the largest \|t\| of the data, for the null as well, with
    what lies above counted at the top one.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurointerp.analyses import graphs
    >>> z = np.random.default_rng(0).normal(size=(20, 6, 6))
    >>> z[:10, :3, :3] += 2.5
    >>> z = (z + z.swapaxes(1, 2)) / 2
    >>> labels = np.array(list("abcdef"), dtype=object)
    >>> subjects = xr.DataArray(z, dims=("subject", "source", "target"), coords={"source": labels, "target": labels})
    >>> found = graphs.network_statistic(subjects, ["patient"] * 10 + ["control"] * 10, permutations=100)
    >>> bool(found.p_value.sel(source="a", target="b") < 0.05), bool(found.p_value.sel(source="e", target="f") < 0.05)
    (True, False)
    """
    if not isinstance(permutations, Integral) or isinstance(permutations, bool) or permutations < 1:
        raise AnalysisError(f"{NAME}: permutations is {permutations!r}; a whole number of at least 1 is needed")
    if threshold is not None and not threshold > 0:
        raise AnalysisError(f"{NAME}: threshold is {threshold!r}; a number above 0, or None, is needed")
    graphs = _graphs(connectivity)
    first = _first_group(groups, graphs.sizes["subject"])
    units = graphs.sizes["source"]
    i, j = np.triu_indices(units, 1)
    z = graphs.values[:, i, j].astype(np.float64)
    t = _welch(z, first)
    heights = _heights(t, threshold)
    own = _enhanced(t, heights, threshold, i, j, units)
    rng = np.random.default_rng(seed)
    null = np.array([
        _enhanced(_welch(z, rng.permutation(first)), heights, threshold, i, j, units).max() for _ in range(permutations)
    ])  # fmt: skip
    p = np.asarray(max_statistic_p(own, np.broadcast_to(null[:, None], (permutations, own.size))))

    def square(values: NDArray[np.float64], diagonal: float) -> xr.DataArray:
        out = np.full((units, units), diagonal)
        out[i, j] = out[j, i] = values
        coords = {k: c for k, c in graphs.coords.items() if c.dims in (("source",), ("target",))}
        return xr.DataArray(out, dims=SIDES, coords=coords)

    return result(
        {
            "statistic": square(t, 0.0),
            "enhanced": square(own, 0.0),
            "p_value": square(p, 1.0),
            "difference": square(z[first].mean(axis=0) - z[~first].mean(axis=0), 0.0),
            "null": xr.DataArray(null, dims="draw"),
        },
        analysis=NAME,
        recording=connectivity,
        parameters={"groups": [str(g) for g in groups], "threshold": threshold, "permutations": permutations},
        seed=seed,
    )


def _graphs(connectivity: xr.DataArray) -> xr.DataArray:
    """Give symmetric, complete (subject, source, target)."""
    if isinstance(connectivity, xr.DataArray) and connectivity.dims == ("subject", "time", "unit"):
        require_complete(connectivity, NAME)
        each = [correlation(connectivity.isel(subject=s, drop=True)).connectivity for s in range(len(connectivity))]
        with np.errstate(divide="ignore"):
            z = [np.arctanh(one * (1 - np.eye(len(one)))) for one in each]
        connectivity = xr.concat(z, "subject")
    if not isinstance(connectivity, xr.DataArray) or connectivity.dims != ("subject", *SIDES):
        found = getattr(connectivity, "dims", type(connectivity).__name__)
        raise AnalysisError(f"{NAME}: (subject, source, target) or (subject, time, unit) is needed, found {found}")
    if connectivity.sizes["source"] < 2:
        raise AnalysisError(f"{NAME}: {connectivity.sizes['source']} units have no connection; two are needed")
    i, j = np.triu_indices(connectivity.sizes["source"], 1)
    upper, lower = connectivity.values[:, i, j], connectivity.values[:, j, i]
    bad = int((~np.isfinite(upper)).sum())
    if bad:
        raise AnalysisError(f"{NAME}: {bad} connections are missing or infinite; drop the units or subjects concerned")
    if not np.allclose(upper, lower, rtol=1e-5, atol=1e-8):
        raise AnalysisError(f"{NAME}: graphs are not symmetric; make them so, for instance (w + w.T) / 2")
    return connectivity


def _first_group(groups: Sequence[str], subjects: int) -> NDArray[np.bool_]:
    labels = list(groups)
    kinds = list(dict.fromkeys(labels))
    counts = {str(kind): labels.count(kind) for kind in kinds}
    if len(labels) != subjects or len(kinds) != 2 or min(counts.values()) < 2:
        raise AnalysisError(
            f"{NAME}: groups name {counts} for {subjects} subjects; one label each, of two groups of two or more, is "
            "needed"
        )
    return np.array([label == kinds[0] for label in labels])


def _welch(z: NDArray[np.float64], first: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give Welch's t of each connection (subject, connection); 0 where nothing varies."""
    one, two = z[first], z[~first]
    error = np.sqrt(one.var(axis=0, ddof=1) / len(one) + two.var(axis=0, ddof=1) / len(two))
    difference = one.mean(axis=0) - two.mean(axis=0)
    return np.asarray(np.divide(difference, error, out=np.zeros_like(error), where=error > 0))


def _heights(t: NDArray[np.float64], threshold: float | None) -> NDArray[np.float64]:
    if threshold is not None:
        return np.array([threshold])
    return np.linspace(0, np.abs(t).max(), STEPS + 1)[1:]


def _enhanced(
    t: NDArray[np.float64], heights: NDArray[np.float64], threshold: float | None, i: NDArray[np.int64],
    j: NDArray[np.int64], units: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Add up, over heights and both signs, what the component of each connection above that height counts."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    out = np.zeros_like(t)
    step = heights[0]
    for sign in (1, -1):
        for height in heights:
            above = np.flatnonzero(sign * t >= height)
            if not above.size:
                break
            graph = coo_array((np.ones(above.size), (i[above], j[above])), shape=(units, units))
            label = connected_components(graph, directed=False)[1][i[above]]
            extent = np.bincount(label)[label]
            out[above] += extent if threshold is not None else extent**EXTENT * height**HEIGHT * step
    return out
