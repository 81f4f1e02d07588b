"""How far the components of a factorization come back from other starts and other samples."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import result
from neurointerp.analyses.factorization._checks import require_count
from neurointerp.analyses.factorization._components import amari, described, matched, unit_norm
from neurointerp.analyses.factorization._resample import resampled
from neurointerp.analyses.factorization.semi_nmf import semi_nmf

NAME = "factorization.stability"


def stability(
    recording: xr.DataArray,
    rank: int,
    *,
    method: Callable[..., xr.Dataset] = semi_nmf,
    restarts: int = 5,
    bootstraps: int = 5,
    block: int | None = None,
    signed: bool = True,
    seed: int = 0,
) -> xr.Dataset:
    """Run a factorization from several seeds, and of resampled samples, and match the components of the runs.

    Components are matched one to one so that the sum of the cosines of their features is largest (Hungarian method).
    Seeds tell whether the problem has one answer; resampled samples whether other data would give it too.

    Parameters
    ----------
    recording
        What `method` takes. For the bootstrap lazy values are read.
        One that is chunked (dask) is read as `method` reads it; `bootstraps` need all values in memory at once.
    rank
        Number of components of each run.
    method
        A factorization, called as `method(recording, rank, seed=seed + restart)`. Its other options are set
        with `functools.partial(semi_nmf, keep_fraction=0.02)`.
    restarts
        Number of runs, at least 2.
    bootstraps
        Number of runs on resampled samples; 0 for none. Whole stretches (a segment of a trial of a subject, or a
        trial without time) are drawn with replacement where there are ten or more; of fewer, blocks of each that
        begin anywhere within it (moving blocks). Neighbours in time stay together either way.
    block
        Samples of a block, whatever the number of stretches; by default a twentieth of all samples.
    signed
        Whether a pattern and its negative do not match. False where the sign of a component means nothing, as
        with `pca` and `ica`.
    seed
        Seed of the first run, and of the draws.

    Returns
    -------
    xarray.Dataset
        - `matched_cosine(restart, restart2)`: mean cosine of the matched features of two runs; symmetric.
        - `amari_distance(restart, restart2)`: 0 where each feature of one run is a multiple of one of the other, 1
          where each lies alike along all. It needs no match, no norm and no sign.
        - `stability`: mean of `matched_cosine` off the diagonal; 1 is the same components from every start.
        - `component_stability(component)`: for each component of the best run, in that run's order, the mean
          cosine with its matches in the other runs.
        - `best_restart`: the run with the smallest relative error.
        - `relative_error(restart)`; the seed of each run is the coordinate `restart_seed`.
        - `bootstrap_cosine(bootstrap, component)`: cosine of each component of the best run with its match in a run
          on resampled samples; `bootstrap_amari(bootstrap)`: the Amari distance of the two runs.

    Raises
    ------
    AnalysisError
        When `restarts` is below 2 or another number is out of range, or from `method`: of sparse data a resampled
        recording may lack what `method` needs.

    References
    ----------
    Matching as in Kuhn (1955), The Hungarian method for the assignment problem. Distance of Amari, Cichocki, Yang
    (1996), A new learning algorithm for blind signal separation, NIPS 8:757, between 0 and 1 as in Bach, Jordan (2002),
    Kernel independent component analysis, JMLR 3:1; deviation: patterns of more units than components enter through
    the pseudo-inverse, and the mean of both directions is taken. Moving blocks: Kuensch (1989), The jackknife and the
    bootstrap for general stationary observations, Annals of Statistics 17:1217; the lengths are choices made here.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(60, 2)) @ np.eye(2, 4)
    >>> rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0)
    >>> res = factorization.stability(rec, 2, restarts=3, bootstraps=2)
    >>> round(float(res.stability), 1), res.bootstrap_cosine.values.round(1).tolist()
    (1.0, [[1.0, 1.0], [1.0, 1.0]])
    """
    restarts = require_count(restarts, "restarts", NAME, low=2)
    bootstraps = require_count(bootstraps, "bootstraps", NAME, low=0)
    block = None if block is None else require_count(block, "block", NAME)
    name, options = described(method)
    seeds = [seed + restart for restart in range(restarts)]
    runs = [method(recording, rank, seed=each) for each in seeds]
    errors = np.array([float(run["relative_error"]) for run in runs])
    best = int(errors.argmin())
    again = [
        method(resampled(recording, block, np.random.default_rng([seed, draw])), rank, seed=seeds[best])
        for draw in range(bootstraps)
    ]
    variables = _over_seeds(runs, best, seeds, errors, signed) | _over_samples(runs[best], again, signed)
    parameters = {
        "rank": rank, "method": name, "options": options, "restarts": restarts, "bootstraps": bootstraps,
        "block": block, "signed": signed,
    }  # fmt: skip
    return result.result(variables, analysis=NAME, recording=recording, parameters=parameters, seed=seed)


def _over_seeds(
    runs: list[xr.Dataset], best: int, seeds: list[int], errors: np.ndarray, signed: bool
) -> dict[str, xr.DataArray]:
    """Compare every two runs."""
    count = len(runs)
    cosines = _matched([run["features"].values for run in runs], signed=signed)
    pairs, apart = cosines.mean(axis=2), np.zeros((count, count))
    for i, j in combinations(range(count), 2):
        apart[i, j] = apart[j, i] = amari(runs[i]["features"].values, runs[j]["features"].values)
    labels: dict[str, Any] = {"restart": np.arange(count), "restart_seed": ("restart", np.array(seeds))}
    both: dict[str, Any] = {"dims": ("restart", "restart2"), "coords": {**labels, "restart2": np.arange(count)}}
    return {
        "matched_cosine": xr.DataArray(pairs, **both),
        "amari_distance": xr.DataArray(apart, **both),
        "stability": xr.DataArray(pairs[~np.eye(count, dtype=bool)].mean()),
        "component_stability": xr.DataArray(
            cosines[best, np.arange(count) != best].mean(axis=0),
            dims="component",
            coords={"component": runs[best]["component"]},
        ),
        "best_restart": xr.DataArray(best),
        "relative_error": xr.DataArray(errors, dims="restart", coords=labels),
    }


def _over_samples(best: xr.Dataset, again: list[xr.Dataset], signed: bool) -> dict[str, xr.DataArray]:
    """Compare the best run with those of resampled samples."""
    features = best["features"].values
    others = [run["features"].values for run in again]
    cosines = [_matched([features, other], signed=signed)[0, 1] for other in others]
    draws = {"bootstrap": np.arange(len(again))}
    return {
        "bootstrap_cosine": xr.DataArray(
            np.reshape(cosines, (len(again), len(features))),
            dims=("bootstrap", "component"),
            coords={**draws, "component": best["component"]},
        ),
        "bootstrap_amari": xr.DataArray(
            np.array([amari(features, other) for other in others], dtype=np.float64),
            dims="bootstrap",
            coords=draws,
        ),
    }


def _matched(features: list[np.ndarray], *, signed: bool = True) -> np.ndarray:
    """Give (run, run2, component of run): the cosine of each component with its match in the other run."""
    patterns = [unit_norm(each) for each in features]
    out = np.ones((len(patterns), len(patterns), len(patterns[0])))
    for i, j in combinations(range(len(patterns)), 2):
        cosine = patterns[i] @ patterns[j].T
        rows, columns = matched(cosine, signed=signed)
        found = cosine[rows, columns]
        out[i, j, rows] = out[j, i, columns] = found if signed else np.abs(found)
    return out
