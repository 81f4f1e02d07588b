"""How far the components of a factorization come back from other starts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import result
from neurointerp.analyses.factorization._checks import require_count
from neurointerp.analyses.factorization.semi_nmf import semi_nmf

NAME = "factorization.stability"


def stability(
    recording: xr.DataArray,
    rank: int,
    *,
    method: Callable[..., xr.Dataset] = semi_nmf,
    restarts: int = 5,
    seed: int = 0,
) -> xr.Dataset:
    """Run a factorization from several seeds and match the components of every two runs.

    Components are matched one to one so that the sum of the signed cosines of their features is largest
    (Hungarian method). A pattern and its negative do not match.

    Parameters
    ----------
    recording
        What `method` takes.
    rank
        Number of components of each run.
    method
        A factorization, called as `method(recording, rank, seed=seed + restart)`. Its other options are set
        with `functools.partial(semi_nmf, keep_fraction=0.02)`.
    restarts
        Number of runs, at least 2.
    seed
        Seed of the first run.

    Returns
    -------
    xarray.Dataset
        - `matched_cosine(restart, restart2)`: mean cosine of the matched features of two runs; symmetric.
        - `stability`: its mean off the diagonal; 1 is the same components from every start.
        - `component_stability(component)`: for each component of the best run, in that run's order, the mean
          cosine with its matches in the other runs.
        - `best_restart`: the run with the smallest relative error.
        - `relative_error(restart)`; the seed of each run is the coordinate `restart_seed`.

    Raises
    ------
    AnalysisError
        When `restarts` is below 2, or from `method`.

    References
    ----------
    Matching as in Kuhn (1955), The Hungarian method for the assignment problem.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(60, 2)) @ np.eye(2, 4)
    >>> rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0)
    >>> res = factorization.stability(rec, 2, restarts=3)
    >>> round(float(res.stability), 1)
    1.0
    """
    restarts = require_count(restarts, "restarts", NAME, low=2)
    name, options = _described(method)
    seeds = [seed + restart for restart in range(restarts)]
    runs = [method(recording, rank, seed=each) for each in seeds]
    errors = np.array([float(run["relative_error"]) for run in runs])
    best = int(errors.argmin())
    cosines = _matched([run["features"].values for run in runs])
    others = np.arange(restarts) != best
    pairs = cosines.mean(axis=2)
    labels: dict[str, Any] = {"restart": np.arange(restarts), "restart_seed": ("restart", np.array(seeds))}
    variables = {
        "matched_cosine": xr.DataArray(
            pairs, dims=("restart", "restart2"), coords={**labels, "restart2": np.arange(restarts)}
        ),
        "stability": xr.DataArray(pairs[~np.eye(restarts, dtype=bool)].mean()),
        "component_stability": xr.DataArray(
            cosines[best, others].mean(axis=0), dims="component", coords={"component": runs[best]["component"]}
        ),
        "best_restart": xr.DataArray(best),
        "relative_error": xr.DataArray(errors, dims="restart", coords=labels),
    }
    return result.result(
        variables,
        analysis=NAME,
        recording=recording,
        parameters={"rank": rank, "method": name, "options": options, "restarts": restarts},
        seed=seed,
    )


def _described(method: Callable[..., xr.Dataset]) -> tuple[str, dict[str, Any]]:
    """Give the name of a method and the options that a `functools.partial` around it fixes."""
    inner = getattr(method, "func", method)
    return getattr(inner, "__name__", type(inner).__name__), dict(getattr(method, "keywords", {}))


def _matched(features: list[np.ndarray]) -> np.ndarray:
    """Give (run, run2, component of run): the cosine of each component with its match in the other run."""
    from scipy.optimize import linear_sum_assignment

    patterns = [_unit_norm(np.asarray(each, dtype=np.float64)) for each in features]
    out = np.ones((len(patterns), len(patterns), patterns[0].shape[0]))
    for i, j in combinations(range(len(patterns)), 2):
        cosine = patterns[i] @ patterns[j].T
        rows, columns = linear_sum_assignment(cosine, maximize=True)
        out[i, j, rows] = out[j, i, columns] = cosine[rows, columns]
    return out


def _unit_norm(features: np.ndarray) -> np.ndarray:
    """Scale each row to norm 1; a component that died stays zero and matches nothing."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    scaled: np.ndarray = features / np.where(norms > 0, norms, 1)
    return scaled
