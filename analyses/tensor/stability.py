"""How far the components of a CP decomposition come back from other starts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.tensor._similarity import described, factors_of, matched
from neurointerp.analyses.tensor._values import Given, count, source_of
from neurointerp.analyses.tensor.nonnegative_cp import nonnegative_cp
from neurointerp.result import result

NAME = "tensor.stability"


def stability(
    recording: Given,
    rank: int,
    *,
    method: Callable[..., xr.Dataset] = nonnegative_cp,
    restarts: int = 5,
    seed: int = 0,
) -> xr.Dataset:
    """Run a decomposition from several seeds and match the components of every two runs.

    The similarity of two components is the product over dims of the cosines of their factors. Components are
    matched one to one so that the sum is largest (Hungarian method).

    Parameters
    ----------
    recording
        What `method` takes.
    rank
        Number of components of each run.
    method
        `tensor.nonnegative_cp` or `tensor.cp`, called as `method(recording, rank, seed=seed + restart)`. Its other
        options are set with `functools.partial(cp, max_iter=200)`.
    restarts
        Number of runs, at least 2.
    seed
        Seed of the first run.

    Returns
    -------
    xarray.Dataset
        - `similarity(restart, restart2)`: mean similarity of the matched components of two runs; symmetric.
        - `stability`: its mean off the diagonal; 1 is the same components from every start.
        - `component_stability(component)`: for each component of the best run, in that run's order, the mean
          similarity with its matches in the other runs.
        - `best_restart`: the run with the smallest relative error.
        - `relative_error(restart)`; the seed of each run is the coordinate `restart_seed`.

    Raises
    ------
    AnalysisError
        When `restarts` is below 2, `method` gives no CP decomposition, or from `method`.

    References
    ----------
    Williams et al. (2018), Unsupervised discovery of demixed, low-dimensional neural dynamics across multiple
    timescales, Neuron 98:1099; their score also compares the norms of components, which is left out here. Tomasi, Bro
    (2006), A comparison of algorithms for fitting the PARAFAC model (products of cosines).

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import tensor
    >>> tree = ni.synthetic.tensor_trials(rank=2, n_trials=10, n_samples=20, n_units=8)
    >>> res = tensor.stability(tree["recordings/tensor_trials/recording"], 2, restarts=3)
    >>> round(float(res.stability), 1)
    1.0
    """
    restarts = count(restarts, "restarts", NAME, low=2)
    seeds = [seed + restart for restart in range(restarts)]
    runs = [method(recording, rank, seed=each) for each in seeds]
    factors = [factors_of(run, NAME) for run in runs]
    errors = np.array([float(run["relative_error"]) for run in runs])
    best = int(errors.argmin())
    similarity = np.eye(restarts)
    for i, j in combinations(range(restarts), 2):
        similarity[i, j] = similarity[j, i] = matched(factors[i], factors[j]).mean()
    own = np.mean([matched(factors[best], factors[i]) for i in range(restarts) if i != best], axis=0)
    labels: dict[str, Any] = {"restart": np.arange(restarts), "restart_seed": ("restart", np.array(seeds))}
    square = {**labels, "restart2": np.arange(restarts)}
    name, options = described(method)
    return result(
        {
            "similarity": xr.DataArray(similarity, dims=("restart", "restart2"), coords=square),
            "stability": xr.DataArray(similarity[~np.eye(restarts, dtype=bool)].mean()),
            "component_stability": xr.DataArray(own, dims="component", coords={"component": np.arange(own.size)}),
            "best_restart": xr.DataArray(best),
            "relative_error": xr.DataArray(errors, dims="restart", coords=labels),
        },
        analysis=NAME,
        recording=source_of(recording),
        parameters={"rank": rank, "method": name, "options": options, "restarts": restarts},
        seed=seed,
    )
