"""How much of the held-out score is lost without what one feature, or a group of them, says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import score
from neurointerp.analyses.encoding._problem import checked_alphas, default_alphas, prepare
from neurointerp.analyses.encoding._search import choose
from neurointerp.backend import like, to_numpy
from neurointerp.errors import AnalysisError
from neurointerp.least_squares import decompose, moments, rows_of, weights
from neurointerp.matrix import stretches
from neurointerp.result import result

_ANALYSIS = "encoding.feature_importance"


def feature_importance(
    features: xr.DataArray, responses: xr.DataArray, *, by: str = "unit", draws: int = 10,
    alphas: float | Sequence[float] | None = None, cv: int | Iterable[tuple[Any, Any]] = 5,
    lags: Sequence[int] | xr.DataArray | None = None, standardize: bool = True, gap: int | None = None,
    high_pass: float | None = None, device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Permute each feature, or group of features, in the test samples and give the loss of r2.

    The model is that of `ridge` for each outer fold. All lags of a feature move together. Test samples are shifted
    circularly within their stretch where there is time (at least a tenth of it), else permuted.

    Parameters
    ----------
    features, responses, alphas, cv, lags, standardize, gap, high_pass, device
        As for `ridge`, in memory.
    by
        `"unit"`: each feature alone; or a coordinate on `unit` (`layer`, `site`, ...) whose values are the groups.
    draws
        Permutations, averaged.
    seed
        Seed of the permutations.

    Returns
    -------
    xarray.Dataset
        `importance (group, fold, unit)`, held-out r2 less that with the group permuted, NaN where a unit is constant in
        a test set. Correlated features stand in for each other: that each has little does not mean that both have.

    Raises
    ------
    AlignmentError
        When sample labels differ, as for `ridge`.
    AnalysisError
        As `ridge`; when there is no such coordinate or no draw.

    References
    ----------
    Breiman (2001), Random forests, Machine Learning 45:5-32; model-agnostic: Fisher, Rudin, Dominici (2019), All
    models are wrong, but many are useful, JMLR 20:177.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> x = np.random.default_rng(0).standard_normal((300, 2))
    >>> rec = [ni.recording(v, modality="behavior", units="1", sampling_rate=1.0) for v in (x, x[:, :1])]
    >>> encoding.feature_importance(*rec).importance.mean(["fold", "unit"]).values.round(0) + 0.0
    array([2., 0.])
    """
    if by != "unit" and (by not in features.coords or features[by].dims != ("unit",)):
        raise AnalysisError(f"{_ANALYSIS}: by={by!r} is no coordinate of the features' units")
    if draws < 1:
        raise AnalysisError(f"{_ANALYSIS}: draws is {draws}; at least 1 is needed")
    problem = prepare(
        _ANALYSIS, features, responses, cv=cv, lags=lags, gap=gap, high_pass=high_pass, device=device,
        search=alphas is None or np.size(alphas) != 1,
    )  # fmt: skip
    grid = checked_alphas(_ANALYSIS, alphas, default_alphas(problem, standardize))
    label = np.array([str(value) for value in problem.features[by].values], dtype=object)
    names = list(dict.fromkeys(label))
    group = np.tile([names.index(value) for value in label], problem.inputs.values.shape[1] // len(label))
    whole, rng = moments(problem.x, problem.y, problem.inputs.usable), np.random.default_rng(seed)
    parts = stretches(problem.responses)
    number = np.repeat(np.arange(len(parts)), [part.stop - part.start for part in parts])
    lost = np.zeros((len(names), len(problem.outer), problem.target.values.shape[1]))
    for fold, ((train, test), folds) in enumerate(zip(problem.outer, problem.inner, strict=True)):
        sums = moments(problem.x, problem.y, train, whole)
        alpha = choose(problem.x, problem.y, sums, folds, like(grid, whole.feature_mean), standardize).alpha
        fit = decompose(problem.x, problem.y, sums, standardize=standardize, smallest=float(grid.min()))
        own, constant = weights(fit, alpha)
        rows, target = rows_of(problem.x, test), rows_of(problem.y, test)
        predicted = rows @ own + constant
        best = score.r2(target, predicted)
        for draw in range(draws * len(names)):
            index = draw % len(names)
            columns = like(np.flatnonzero(group == index), rows)
            still = rows[:, columns]
            changed = predicted + (still[like(_order(number[test], rng), rows)] - still) @ own[columns]
            lost[index, fold] += to_numpy(best - score.r2(target, changed)) / draws
    coords = {"group": np.array(names, dtype=object), "fold": np.arange(len(problem.outer))}
    importance = xr.DataArray(
        lost, dims=("group", "fold", "unit"), coords=coords | problem.target.unit_coords, attrs={"units": "1"}
    )
    return result(
        {"importance": importance}, analysis=_ANALYSIS, recording=[problem.features, problem.responses],
        parameters={"by": by, "draws": draws, "alphas": grid, "standardize": standardize, **problem.parameters},
        seed=seed,
    )  # fmt: skip


def _order(stretch: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Shift positions within each stretch; permute them all where each stands alone."""
    names, first, counts = np.unique(stretch, return_index=True, return_counts=True)
    if (counts == 1).all():
        return rng.permutation(stretch.size)
    out = np.arange(stretch.size)
    for start, size in zip(first[np.argsort(names)], counts, strict=True):
        least = max(1, size // 10) if size > 1 else 0
        shift = int(rng.integers(least, max(size - least, least) + 1)) if size > 1 else 0
        out[start : start + size] = start + (np.arange(size) - shift) % size
    return out
