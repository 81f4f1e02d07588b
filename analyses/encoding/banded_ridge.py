"""Ridge regression on several feature spaces, each with a penalty of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.align import match
from neurointerp.analyses.encoding._bands import Banded, refine, refit, search, shares
from neurointerp.analyses.encoding._blocks import is_chunked
from neurointerp.analyses.encoding._out_of_core import answer, labelled, prepare_blocks
from neurointerp.analyses.encoding._problem import (
    Problem,
    checked_alphas,
    default_alphas,
    held_out,
    model,
    near_zero,
    prepare,
    with_units,
)
from neurointerp.backend import like, to_numpy
from neurointerp.errors import AnalysisError
from neurointerp.least_squares import moments, rows_of
from neurointerp.recordings import recording
from neurointerp.result import result

_ANALYSIS = "encoding.banded_ridge"


def banded_ridge(
    features: Mapping[str, xr.DataArray] | xr.DataArray, responses: xr.DataArray, *, bands: str | None = None,
    alphas: float | Sequence[float] | None = None, draws: int = 20, steps: int = 0,
    cv: int | Iterable[tuple[Any, Any]] = 5, lags: Sequence[int] | xr.DataArray | None = None,
    standardize: bool = True, gap: int | None = None, high_pass: float | None = None,
    device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Predict each unit's responses from several feature spaces (bands), with a penalty for each band and unit.

    .. math:: \min_w \sum_t \left(y_u(t) - b_u - \sum_b x_b(t) w_{bu}\right)^2
        + \sum_b \frac{\alpha_u}{\gamma_{bu}} \lVert w_{bu} \rVert^2, \qquad \sum_b \gamma_{bu} = 1

    Shares :math:`\gamma` are drawn from Dirichlet distributions (after equal shares and each band alone) and each is
    tried with every alpha by cross-validation; `steps` then follow the gradient. Scores are honest as those of
    `ridge`: for each outer fold shares and alphas come from folds inside its training set.

    Parameters
    ----------
    features
        Recordings by name of the band, on the same samples; or one recording with `bands`.
    responses
        Recording on the same sample labels, with the units to predict.
    bands
        Coordinate on `unit` (`layer`, `site`, ...) that names the band of each feature of one recording. Default: all
        are one band, which is `ridge`.
    alphas, cv, lags, standardize, gap, high_pass, device
        As for `ridge`. Delays of a feature belong to its band.
    draws
        Number of shares tried, equal ones and those of each band alone included.
    steps
        Iterations of L-BFGS on the log penalties from each unit's best draw. Each takes a Cholesky factor of
        (sample, sample) per unit and fold: for hundreds of samples, not thousands.
    seed
        Seed of the draws.

    Returns
    -------
    xarray.Dataset
        As `ridge` gives, with `feature_band` on `feature`; `share (band, unit)` and `alpha (unit)` of the refit on all
        samples; `band_score (fold, band, unit)`, the share of each band in `score`, and `mean_score (fold, unit)`, that
        of the training mean: they sum to `score`.

    Raises
    ------
    AlignmentError
        When sample labels differ, as for `ridge`.
    AnalysisError
        As `ridge`, and when bands have no or equal names.

    Notes
    -----
    With :math:`\hat y = \sum_b \hat y_b` and :math:`y` about its mean in the test set,
    :math:`R^2_b = \sum_t (2 y - \hat y) \hat y_b / \sum_t y^2` (the product measure of himalaya's `r2_score_split`). A
    band that overlaps another may have a share though it adds nothing; `variance_partition` tells what is its own.

    References
    ----------
    Dupre la Tour, Eickenberg, Nunez-Elizalde, Gallant (2022), Feature-space selection with banded ridge regression,
    NeuroImage 264:119728; Nunez-Elizalde, Huth, Gallant (2019), Voxelwise encoding models with non-spherical
    multivariate normal priors, NeuroImage 197:482-492. Deviation: the first draws are fixed, and the gradient is
    that of a quasi-Newton method, unit by unit.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> tree = ni.synthetic.linear_responses(n_samples=300, n_features=4, n_units=2, snr=9.0)
    >>> useful, responses = (tree[f"recordings/{name}/recording"] for name in ("features", "responses"))
    >>> bands = {"useful": useful, "noise": ni.surrogate.circular_shift(useful)}
    >>> found = encoding.banded_ridge(bands, responses, draws=5)
    >>> bool((found.share.sel(band="useful") > 0.9).all())
    True
    """
    require_options(_ANALYSIS, draws, steps, alphas)
    joined, names, of = gathered(_ANALYSIS, features, bands)
    problem, variables, grid = fitted_bands(
        _ANALYSIS, joined, responses, names, of, alphas=alphas, draws=draws, steps=steps, standardize=standardize,
        seed=seed, asked={"cv": cv, "lags": lags, "gap": gap, "high_pass": high_pass, "device": device},
    )  # fmt: skip
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=[problem.features, problem.responses],
        parameters={
            "bands": list(names), "alphas": grid, "draws": draws, "steps": steps, "standardize": standardize,
            **problem.parameters,
        },
        seed=seed,
    )  # fmt: skip


def require_options(name: str, draws: int, steps: int, alphas: float | Sequence[float] | None) -> None:
    """Refuse what cannot be searched, before features are gathered."""
    if draws < 1 or steps < 0:
        raise AnalysisError(f"{name}: draws {draws}, steps {steps}: a draw or more, and no negative steps, go")
    if alphas is not None:
        checked_alphas(name, alphas, np.ones(1))


def fitted_bands(
    name: str, joined: xr.DataArray, responses: xr.DataArray, names: Sequence[str], of: NDArray[np.int64], *,
    alphas: float | Sequence[float] | None, draws: int, steps: int, standardize: bool, seed: int,
    asked: Mapping[str, Any],
) -> tuple[Problem, dict[str, xr.DataArray], NDArray[np.float64]]:  # fmt: skip
    """Fit gathered features for the analysis `name`; give also the variables of its result and the penalties."""
    gammas = shares(len(names), draws, np.random.default_rng(seed))
    if is_chunked(joined, responses):
        if steps:
            raise AnalysisError(
                f"{name}: steps need (sample, sample) matrices, for which chunked recordings are too long: raise "
                "draws and leave steps=0, or .load() the recordings"
            )
        problem, inner = prepare_blocks(name, joined, responses, **asked)
        groups = _groups(problem, of)
        grid = checked_alphas(name, alphas, default_alphas(problem, standardize))
        found = answer(problem.x, problem.outer, inner, grid, standardize, shares=gammas, groups=groups)
        variables = labelled(problem, found)
        parts = list(zip(found.band_score, found.mean_score, strict=True))
        variables |= _banded(problem, names, found.share, parts)
        del variables["fold_alpha"]
    else:
        problem = prepare(name, joined, responses, **asked)
        groups = _groups(problem, of)
        grid = checked_alphas(name, alphas, default_alphas(problem, standardize))
        variables = _in_memory(problem, names, standardize, groups, gammas, grid, steps)
    band = np.array(names, dtype=object)[groups]
    variables["weights"] = variables["weights"].assign_coords(feature_band=("feature", band))
    return problem, with_units(problem, variables), grid


def _groups(problem: Problem, of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the band of each column of the design matrix, by that of each feature."""
    return np.tile(of, len(problem.inputs.coords["feature"][1]) // len(of))


def _in_memory(
    problem: Problem, names: Sequence[str], standardize: bool, groups: NDArray[np.int64], gammas: np.ndarray,
    grid: np.ndarray, steps: int,
) -> dict[str, xr.DataArray]:  # fmt: skip
    """Fit arrays that are there."""
    problem = near_zero(problem)
    whole = moments(problem.x, problem.y, problem.inputs.usable)
    options = (standardize, groups, gammas, grid, steps)
    predictions, parts = [], []
    for (train, test), folds in zip(problem.outer, problem.inner, strict=True):
        sums = moments(problem.x, problem.y, train, whole)
        own, _ = refit(problem.x, problem.y, sums, _best(problem, sums, folds, *options), standardize, groups)
        rows = to_numpy(rows_of(problem.x, test)) - to_numpy(sums.feature_mean)
        each = np.stack([rows[:, groups == b] @ own[groups == b] for b in range(len(names))])
        predictions.append(each.sum(axis=0) + to_numpy(sums.response_mean))
        parts.append(_split(to_numpy(rows_of(problem.y, test)), predictions[-1], each))
    best = _best(problem, whole, problem.outer, *options)
    variables = model(problem, *refit(problem.x, problem.y, whole, best, standardize, groups), best.alpha)
    return variables | held_out(problem, predictions) | _banded(problem, names, best.share, parts)


def gathered(
    name: str, features: Mapping[str, xr.DataArray] | xr.DataArray, bands: str | None
) -> tuple[xr.DataArray, list[str], NDArray[np.int64]]:
    """Give all features as one recording, the names of the bands and the band of each feature."""
    if isinstance(features, xr.DataArray):
        if bands is None:
            return features, ["features"], np.zeros(features.sizes["unit"], dtype=np.int64)
        if bands not in features.coords or features[bands].dims != ("unit",):
            raise AnalysisError(f"{name}: bands={bands!r} is no coordinate of the features' units")
        label = np.array([str(value) for value in features[bands].values], dtype=object)
        names = list(dict.fromkeys(label))
        return features, names, np.array([names.index(value) for value in label], dtype=np.int64)
    if not features or bands is not None:
        raise AnalysisError(f"{name}: recordings by the name of their band, or one recording and bands=, are needed")
    names, recs = list(features), list(features.values())
    matched = [recs[0], *(match(recs[0], rec)[1] for rec in recs[1:])]
    if is_chunked(*matched):
        import dask.array

        da: Any = dask.array  # which has no types
        values = da.concatenate([rec.data if rec.chunks else rec.values for rec in matched], axis=-1)
    else:
        values = np.concatenate([rec.values for rec in matched], axis=-1)
    units = [f"{band}:{unit}" for band, rec in zip(names, matched, strict=True) for unit in rec["unit"].values]
    first = matched[0]
    coords = {str(n): (c.dims, c.values) for n, c in first.coords.items() if "unit" not in c.dims and n != "time"}
    kinds = {rec.attrs["units"] for rec in matched}
    joined = recording(
        values, modality=first.attrs["modality"], units=kinds.pop() if len(kinds) == 1 else "1", unit=units,
        dims=[str(dim) for dim in first.dims], coords=coords,
        time=first["time"].values if "time" in first.coords else None,
        attrs={key: first.attrs[key] for key in ("sampling_rate",) if key in first.attrs},
    )  # fmt: skip
    if "time" in first.coords:
        joined["time"].attrs.update(first["time"].attrs)
    return joined, names, np.repeat(np.arange(len(names)), [rec.sizes["unit"] for rec in matched])


def _best(
    problem: Problem, sums: Any, folds: Any, standardize: bool, groups: NDArray[np.int64], gammas: np.ndarray,
    grid: np.ndarray, steps: int,
) -> Banded:  # fmt: skip
    penalties = like(grid, sums.feature_mean)
    found = search(problem.x, problem.y, sums, folds, penalties, standardize, groups, gammas)
    return refine(problem.x, problem.y, folds, found, standardize, groups, steps) if steps else found


def _split(observed: np.ndarray, predicted: np.ndarray, each: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the shares (band, unit) of the bands in r2, and that (unit) of the mean."""
    level = observed.mean(axis=0)
    y, whole = observed - level, predicted - level
    power = (y * y).sum(axis=0)
    varies = np.ptp(observed, axis=0) > 0
    safe = np.where(varies & (power > 0), power, 1.0)
    shares_of = ((2 * y - whole)[None] * each).sum(axis=1) / safe
    constant = ((2 * y - whole) * (whole - each.sum(axis=0))).sum(axis=0) / safe
    return np.where(varies, shares_of, np.nan), np.where(varies, constant, np.nan)


def _banded(
    problem: Problem, names: Sequence[str], share: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]]
) -> dict[str, xr.DataArray]:
    units = problem.target.unit_coords
    band = {"band": np.array(list(names), dtype=object)}
    fold = {"fold": np.arange(len(parts))}
    return {
        "share": xr.DataArray(share.T, dims=("band", "unit"), coords=band | units),
        "band_score": xr.DataArray(
            np.stack([one for one, _ in parts]), dims=("fold", "band", "unit"), coords=fold | band | units
        ),
        "mean_score": xr.DataArray(np.stack([one for _, one in parts]), dims=("fold", "unit"), coords=fold | units),
    }
