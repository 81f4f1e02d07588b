"""How many components a factorization should have: held-out entries, agreement of restarts, parallel analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import matrix, surrogate
from neurointerp.analyses.factorization._checks import require_count
from neurointerp.analyses.factorization._components import described, matched, unit_norm
from neurointerp.analyses.factorization._held_out import held_out_error, speckled
from neurointerp.analyses.factorization._resample import resampled
from neurointerp.analyses.factorization.ica import ica
from neurointerp.analyses.factorization.pca import pca
from neurointerp.analyses.factorization.semi_nmf import semi_nmf
from neurointerp.errors import AnalysisError
from neurointerp.result import result

NAME = "factorization.rank"
STABLE = 0.95
"""Median cosine of matched components from which the fits of a rank agree."""
LEVEL, FEWEST = 0.05, 19
"""Largest p-value of an eigenvalue that counts, and the fewest surrogates that can give it."""
CRITERIA = ("held_out", "stability", "parallel")
Floats = NDArray[np.float64]


def rank(
    recording: xr.DataArray, ranks: Sequence[int] = (1, 2, 3, 4, 5, 6), *,
    method: Callable[..., xr.Dataset] = semi_nmf, folds: int = 5, restarts: int = 5, surrogates: int = 20,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Fit a factorization of several ranks, and judge them by three criteria that can disagree.

    The error alone always falls with the rank. *Held out*: entries scattered over the matrix are masked, each in one
    of the folds, and predicted from the rest. *Stability*: fits from other starts to resampled samples are matched with
    the best to all. *Parallel*: eigenvalues of the correlation matrix are set beside those of surrogates in which units
    share nothing. The three answer different questions: what predicts, what comes back, how many directions are shared.

    Parameters
    ----------
    recording
        What `method` takes; lazy values are read.
        All values of a chunked (dask) recording are needed in memory at once: refused where there is no room.
    ranks
        Numbers of components, ascending.
    method
        A factorization, called as `method(recording, rank, seed=...)`. Its other options are set with
        `functools.partial(semi_nmf, keep_fraction=0.1)`. `pca` and `ica` take no missing values and predict the same:
        for both, held-out entries are filled with the prediction of principal components until that stands still.
    folds
        Parts of the entries that are held out in turn, at least 2.
    restarts
        Starts of each rank, at least 2: so many on all samples, and so many on samples that were drawn again as
        for `stability`.
    surrogates
        Circular shifts (`neurointerp.surrogate`), at least 19: each unit keeps its own course.
    seed
        Seed of the folds, of the first start of each rank (the next ones follow) and of the surrogates.

    Returns
    -------
    xarray.Dataset
        - `held_out_error(rank, fold)`: relative error of the entries held out; above 1 zero predicts better.
        - `relative_error(rank, restart)`, ascending along `restart`.
        - `similarity(rank, restart)`: mean cosine of the components of the best start with their matches in each
          fit to resampled samples (absolute with `pca` and `ica`).
        - `eigenvalue(place)`, `null_eigenvalue(place, draw)`, descending; `p_value(place)`: of surrogates whose
          eigenvalue of that place is as large; `parallel_rank`: how many of the leading ones have one of at most
          0.05 (0 where units share nothing).
        - `suggested(criterion)`: `held_out`, the smallest rank whose error lies within one standard error of
          the difference from the best; `stability`, the largest with a median similarity of at least 0.95; `parallel`,
          the largest of at most `parallel_rank`; the smallest rank where none qualifies.

    Raises
    ------
    AnalysisError
        When ranks are not ascending whole numbers, there are too few units, folds, restarts or surrogates, or from
        `method`.

    Notes
    -----
    A method whose answer is not unique, as semi-NMF that keeps all units, has no stability at any rank though its
    held-out error may be the lowest at the right one. Parallel analysis counts directions about the means, which
    for non-negative components are as many or fewer.

    References
    ----------
    Wold (1978), Cross-validatory estimation of the number of components in factor and principal components models,
    Technometrics 20:397 (entries held out; deviation: scattered evenly within samples). Horn (1965), A rationale and
    test for the number of factors in factor analysis, Psychometrika 30:179 (deviation: circular shifts in place of
    Gaussian noise, so that slow courses are no evidence; a p-value in place of the mean). Wu et al. (2016),
    Stability-driven nonnegative matrix factorization to interpret spatial gene expression, PNAS 113:4290 (the idea of
    stability; the rule and the value 0.95 are choices made here, and so is that of one standard error).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from functools import partial
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(80, 2)) @ np.kron(np.eye(2), np.ones(4)) + 0.1 * rng.standard_normal((80, 8))
    >>> rec = ni.recording(values, modality="calcium", units="1", sampling_rate=10.0)
    >>> sparse = partial(factorization.semi_nmf, keep_fraction=0.5, restarts=3, max_iter=50)
    >>> factorization.rank(rec, (1, 2, 3), method=sparse, folds=3, restarts=3).suggested.values
    array([2, 2, 2])
    """
    wanted = _ascending(ranks)
    counts = {"folds": (folds, 2), "restarts": (restarts, 2), "surrogates": (surrogates, FEWEST)}
    folds, restarts, surrogates = (require_count(value, name, NAME, low=low) for name, (value, low) in counts.items())
    recording = matrix.in_memory(recording, NAME)  # lazy values are read once
    values = matrix.stack(recording).values
    if values.shape[1] < 2:
        raise AnalysisError(f"{NAME}: {values.shape[1]} units; two or more are needed to predict one from another")
    name, options = described(method)
    whole = name in (pca.__name__, ica.__name__)
    fold = speckled(values, folds, np.random.default_rng(seed))
    empty = [part for part in range(folds) if not np.any(values[fold == part])]
    if empty:
        raise AnalysisError(f"{NAME}: nothing but zeros could be held out in fold {empty[0]}; fewer folds are needed")
    errors, similarity = np.empty((len(wanted), restarts)), np.empty((len(wanted), restarts))
    held = np.empty((len(wanted), folds))
    for place in reversed(range(len(wanted))):  # a rank that is too large is refused before any work
        errors[place], similarity[place] = _restarted(method, recording, wanted[place], restarts, not whole, seed)
        for part in range(folds):
            held[place, part] = held_out_error(
                None if whole else method, recording, wanted[place], fold == part, seed=seed
            )
    own = _eigenvalues(values)
    shifted = [surrogate.circular_shift(recording, seed=draw) for draw in _seeds(seed, surrogates)]
    null = np.stack([_eigenvalues(matrix.stack(each).values) for each in shifted], axis=1)
    variables = _labelled(np.array(wanted), held, errors, similarity, own, null)
    parameters = {
        "ranks": wanted, "method": name, "options": options, "folds": folds, "restarts": restarts,
        "surrogates": surrogates,
    }  # fmt: skip
    return result(variables, analysis=NAME, recording=recording, parameters=parameters, seed=seed)


def _ascending(ranks: Sequence[int]) -> list[int]:
    wanted = [require_count(each, "a rank", NAME) for each in ranks] if isinstance(ranks, Iterable) else []
    if not wanted or wanted != sorted(set(wanted)):
        found = list(ranks) if isinstance(ranks, Iterable) else ranks
        raise AnalysisError(f"{NAME}: ranks are {found!r}; ascending whole numbers are needed")
    return wanted


def _seeds(seed: int, count: int) -> list[int]:
    return [int(each) for each in np.random.default_rng([seed, 1]).integers(2**31, size=count)]


def _restarted(
    method: Callable[..., xr.Dataset], recording: xr.DataArray, count: int, restarts: int, signed: bool, seed: int
) -> tuple[list[float], list[float]]:
    """Give the errors of the starts, ascending, and how alike fits to resampled samples are to the best."""
    seeds = range(seed, seed + restarts)
    best, *_ = fits = sorted((method(recording, count, seed=start) for start in seeds), key=_error)
    patterns, alike = unit_norm(best["features"].values), list[float]()
    for start in seeds:
        again = method(resampled(recording, None, np.random.default_rng([start, 2])), count, seed=start)
        cosine = patterns @ unit_norm(again["features"].values).T
        cosine = cosine if signed else np.abs(cosine)
        alike.append(float(cosine[matched(cosine)].mean()))
    return [_error(fit) for fit in fits], alike


def _error(fit: xr.Dataset) -> float:
    return float(fit["relative_error"])


def _eigenvalues(values: NDArray[Any]) -> Floats:
    """Give those of the correlation matrix of the units, descending; missing entries lie at the mean."""
    X = values.astype(np.float64)
    X = X - np.nanmean(X, axis=0)
    X = np.where(np.isnan(X), 0.0, X)
    size = np.linalg.norm(X, axis=0)
    X = X / np.where(size > 0, size, 1)
    inner = X.T @ X if X.shape[1] <= X.shape[0] else X @ X.T
    return np.asarray(np.linalg.eigvalsh(inner)[::-1], dtype=np.float64)


def _suggested(ranks: NDArray[np.int64], held: Floats, similarity: Floats, parallel: int) -> list[int]:
    best = int(held.mean(axis=1).argmin())
    difference = held - held[best]
    within = difference.mean(axis=1) <= difference.std(axis=1, ddof=1) / np.sqrt(held.shape[1])
    stable = np.flatnonzero(np.median(similarity, axis=1) >= STABLE)
    shared = np.flatnonzero(ranks <= parallel)
    places = [int(within.argmax()), *(int(found[-1]) if found.size else 0 for found in (stable, shared))]
    return [int(ranks[place]) for place in places]


def _labelled(
    ranks: NDArray[np.int64], held: Floats, errors: Floats, similarity: Floats, own: Floats, null: Floats
) -> dict[str, xr.DataArray]:
    at = {"rank": ranks, "restart": np.arange(errors.shape[1])}
    place = {"place": np.arange(len(own))}
    criterion = {"criterion": np.array(CRITERIA, dtype=object)}
    p_value = (1 + (null >= own[:, None]).sum(axis=1)) / (1 + null.shape[1])
    above = int(np.argmax(np.append(p_value > LEVEL, True)))
    suggested = _suggested(ranks, held, similarity, above)
    return {
        "held_out_error": xr.DataArray(
            held, dims=("rank", "fold"), coords={"rank": ranks, "fold": np.arange(held.shape[1])}
        ),
        "relative_error": xr.DataArray(errors, dims=("rank", "restart"), coords=at),
        "similarity": xr.DataArray(similarity, dims=("rank", "restart"), coords=at),
        "eigenvalue": xr.DataArray(own, dims="place", coords=place),
        "null_eigenvalue": xr.DataArray(
            null, dims=("place", "draw"), coords={**place, "draw": np.arange(null.shape[1])}
        ),
        "p_value": xr.DataArray(p_value, dims="place", coords=place),
        "parallel_rank": xr.DataArray(above),
        "suggested": xr.DataArray(suggested, dims="criterion", coords=criterion),
    }
