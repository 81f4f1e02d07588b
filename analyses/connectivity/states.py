"""Recurring states of dynamic connectivity: k-means or a hidden Markov model over windows."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import one_of
from neurointerp.analyses.connectivity.dynamic import dynamic
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES, numbered
from neurointerp.result import result

_ANALYSIS = "connectivity.states"
METHODS = ("kmeans", "hmm")


def states(
    windows: xr.Dataset | xr.DataArray, count: int = 4, *, method: str = "kmeans", restarts: int = 10,
    components: int = 10, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Sort the windows of dynamic connectivity into a few recurring states.

    Each window is the vector of its connections, source above target. k-means (scikit-learn) looks at every window by
    itself. A hidden Markov model (hmmlearn, the extra `hmm`) takes the order of windows into account: Gaussian states
    with diagonal covariance over the first principal components.

    Parameters
    ----------
    windows
        Result of `connectivity.dynamic`, or a recording, of which `dynamic` is taken first.
    count
        Number of states, at least 2 and fewer than there are windows.
    method
        `kmeans` or `hmm`.
    restarts
        Starts, of which the best is kept.
    components
        Principal components that `hmm` sees; without effect on k-means.
    seed
        Seed of the starts.

    Returns
    -------
    xarray.Dataset
        - `state_of_window (window)`: int from 0, the most frequent first.
        - `connectivity (state, source, target)`: mean of the windows of each state.
        - `occupancy (state)`: share of windows. `dwell (state)`: mean number of windows a visit lasts.
        - `transition (state, state2)`: share of the steps from one state that lead to the other, NaN where a state is
          never left; steps from one stretch to the next do not count.
        - `explained`: share of the variance of the windows that the states' means explain.
        - `pairs`: how many connections were used. Those that some window lacks (a unit constant there) are left out,
          and NaN.

    Raises
    ------
    AnalysisError
        When each connection is missing in some window, an argument is out of range, or hmmlearn is needed and not
        installed.

    Notes
    -----
    States come out of any data, stationary or not: compare `explained` with that of `surrogate.phase_randomize(...,
    independent=False)`, which keeps correlations and loses their changes.

    References
    ----------
    Allen et al. (2014), Tracking whole-brain connectivity dynamics in the resting state, Cereb Cortex 24:663 (theirs
    is k-means with the L1 distance; here it is Euclidean); Rabiner (1989), A tutorial on hidden Markov models, Proc
    IEEE 77:257.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((400, 3))
    >>> x[100:200, 1] = x[300:, 1] = 0
    >>> x[100:200, 1] += x[100:200, 0]
    >>> x[300:, 1] += x[300:, 0]
    >>> rec = ni.recording(x, modality="fmri", units="1", sampling_rate=0.5)
    >>> connectivity.states(connectivity.dynamic(rec, window=50, step=50), 2).state_of_window.values
    array([0, 0, 1, 1, 0, 0, 1, 1])
    """
    one_of(method, METHODS, _ANALYSIS, "method")
    for name, value, least in (("count", count, 2), ("restarts", restarts, 1), ("components", components, 1)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise AnalysisError(f"{_ANALYSIS}: {name} is {value!r}; a whole number of at least {least} is needed")
    moving = windows if isinstance(windows, xr.Dataset) else dynamic(windows, seed=seed)
    graphs = moving.get("connectivity")
    if graphs is None or graphs.dims != ("window", *SIDES):
        found = "none" if graphs is None else graphs.dims
        raise AnalysisError(f"{_ANALYSIS}: connectivity (window, source, target) is needed, found {found}")
    vectors = _vectors(graphs, count)
    stretch = moving["stretch"].values
    fit = _kmeans if method == "kmeans" else _hmm
    label = numbered(fit(vectors, int(count), restarts, components, stretch, seed))
    used = int(label.max()) + 1
    means = np.stack([graphs.values[label == state].mean(axis=0) for state in range(used)])
    around = vectors - vectors.mean(axis=0)
    within = vectors - np.stack([vectors[label == state].mean(axis=0) for state in range(used)])[label]
    names = {"state": np.arange(used)}
    sides = {k: c for k, c in graphs.coords.items() if c.dims in (("source",), ("target",))}
    along = {k: c for k, c in moving.coords.items() if c.dims == ("window",)}
    moves, dwell = _course(label, stretch, used)
    variables = {
        "state_of_window": xr.DataArray(label, dims="window", coords=along),
        "connectivity": xr.DataArray(means, dims=("state", *SIDES), coords={**names, **sides}, attrs={"units": "1"}),
        "occupancy": xr.DataArray(np.bincount(label) / len(label), dims="state", coords=names, attrs={"units": "1"}),
        "dwell": xr.DataArray(dwell, dims="state", coords=names, attrs={"units": "window"}),
        "transition": xr.DataArray(moves, dims=("state", "state2"), coords={**names, "state2": np.arange(used)}),
        "pairs": xr.DataArray(vectors.shape[1]),
        "explained": xr.DataArray(1 - (within**2).sum() / (around**2).sum(), attrs={"units": "1"}),
    }
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=moving,  # which knows the digest of its recording
        parameters={"count": count, "method": method, "restarts": restarts, "components": components},
        seed=seed,
    )


def _vectors(graphs: xr.DataArray, count: int) -> NDArray[np.float64]:
    """Give the connections (window, pair) above the diagonal that no window lacks."""
    values = np.asarray(graphs.values)
    vectors = values[:, *np.triu_indices(values.shape[1], 1)].astype(np.float64)
    vectors = vectors[:, ~np.isnan(vectors).any(axis=0)]
    if not vectors.shape[1]:
        raise AnalysisError(
            f"{_ANALYSIS}: every connection is missing in some window (units constant there?); drop those units or "
            "lengthen the window"
        )
    if count >= len(vectors):
        raise AnalysisError(f"{_ANALYSIS}: {count} states of {len(vectors)} windows; fewer states or more windows")
    if not np.ptp(vectors, axis=0).any():
        raise AnalysisError(f"{_ANALYSIS}: all {len(vectors)} windows are the same; there are no states to tell apart")
    return vectors


def _kmeans(
    vectors: NDArray[np.float64], count: int, restarts: int, components: int, stretch: NDArray[Any], seed: int
) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans

    found = KMeans(count, n_init=restarts, random_state=seed).fit_predict(vectors)
    return np.asarray(found, dtype=np.int64)


def _hmm(
    vectors: NDArray[np.float64], count: int, restarts: int, components: int, stretch: NDArray[Any], seed: int
) -> NDArray[np.int64]:
    try:
        from hmmlearn.hmm import GaussianHMM
    except ImportError as error:
        raise AnalysisError(
            f"{_ANALYSIS}: method 'hmm' needs hmmlearn: pip install 'neurointerp[hmm]', or use 'kmeans'"
        ) from error
    from sklearn.decomposition import PCA

    kept = min(components, *vectors.shape)
    scores = PCA(kept, svd_solver="full").fit_transform(vectors)
    scores /= scores.std()
    lengths = np.unique(stretch, return_counts=True)[1]
    best, label = -np.inf, np.zeros(len(vectors), np.int64)
    for each in range(seed, seed + restarts):
        model = GaussianHMM(count, covariance_type="diag", n_iter=100, random_state=each, implementation="log")
        likelihood = model.fit(scores, lengths).score(scores, lengths)
        if likelihood > best:
            best, label = likelihood, np.asarray(model.predict(scores, lengths), dtype=np.int64)
    return label


def _course(label: NDArray[np.int64], stretch: NDArray[Any], used: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the shares of transitions (state, state) and the mean length of a visit (state), within stretches."""
    moves = np.zeros((used, used))
    visits = np.zeros(used)
    edges = np.flatnonzero(np.concatenate([[True], np.diff(stretch) != 0, [True]]))
    for start, stop in pairwise(edges):
        part = label[start:stop]
        np.add.at(moves, (part[:-1], part[1:]), 1)
        np.add.at(visits, part[np.concatenate([[True], np.diff(part) != 0])], 1)
    with np.errstate(invalid="ignore"):
        return moves / moves.sum(axis=1, keepdims=True), np.bincount(label, minlength=used) / visits
