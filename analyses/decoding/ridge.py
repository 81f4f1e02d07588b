"""Continuous targets decoded from all units by ridge regression, on samples it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import score, split
from neurointerp.align import match, shifted
from neurointerp.align.labels import require_alike
from neurointerp.analyses.decoding._exchange import exchanges
from neurointerp.analyses.decoding._folds import inner_folds, outer_folds, scheme
from neurointerp.analyses.decoding._samples import sample_values, samples
from neurointerp.analyses.decoding._task import against_null
from neurointerp.analyses.decoding.linear import pattern
from neurointerp.backend import like, placed, to_numpy, torch_device
from neurointerp.errors import AnalysisError
from neurointerp.least_squares import fitted, probe, rows_of, weights
from neurointerp.matrix import labels, require_complete, require_values, stack, stretches
from neurointerp.result import result
from neurointerp.split import Fold

NAME = "decoding.ridge"
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def ridge(
    recording: xr.DataArray,
    target: str | xr.DataArray,
    *,
    alphas: float | Sequence[float] | None = None,
    lags: Sequence[int] = (0,),
    cv: int | Iterable[tuple[Any, Any]] = 5,
    by: str | None = None,
    gap: int | None = None,
    standardize: bool = True,
    permutations: int = 0,
    exchange: str | None = None,
    device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Decode continuous targets from all units by ridge regression, scored on samples it was not fitted on.

    .. math:: \hat y_k(t) = b_k + \sum_{u, l} w_{k (u, l)}\, x_u(t - l), \qquad
        \min_{w_k} \sum_t (y_k(t) - \hat y_k(t))^2 + \alpha_k \lVert w_k \rVert^2

    Means, scales, weights and alphas come from the training samples of a fold alone, the alphas (one per target) by a
    cross-validation inside them. The features are decomposed once per fold; targets, alphas and permutations share it.

    Parameters
    ----------
    recording
        Any recording without missing values, whose units are the features.
    target
        Recording on the same sample labels (a stimulus, a behaviour, another brain), whose units are the targets; or
        the name of a numeric coordinate on sample dims.
    alphas
        Penalties to choose from, above 0, on the features as scaled. Default: `np.logspace(-3, 5, 17)` times the number
        of samples (and the mean variance of the features where they are not standardised).
    lags
        Delays in samples, within stretches: at lag -2 the activity of two samples later takes part, as it must where
        the recording follows the target. A sample whose lags reach outside its stretch is left out.
    cv, by, exchange
        As for `linear`; without classes trials are held out in contiguous blocks.
    gap
        Training samples this close to a test sample in its stretch are left out. Default: the largest lag.
    standardize
        Scale each feature to unit variance over the training samples before it is penalised.
    permutations
        Number of permutations of the targets. Targets that change in the course of a stretch are shifted circularly in
        it, all by one offset; else trials, or whole stimuli, change places.
    device
        Compute with torch on this device (`"cuda"`, `"cpu"`), in float64. Default: numpy. No GPU was measured.
    seed
        Seed of the permutations.

    Returns
    -------
    xarray.Dataset
        `score (fold, target)`, r2 about the mean of the test set, and `correlation (fold, target)`, NaN where the
        target is constant in it; `prediction (<sample dims>, target)`, held out, NaN where there is none;
        `alpha (fold, target)`. Fitted on all samples: `weights` and `pattern (target, unit[, lag])`,
        `intercept (target)`; `lag` is there where lags other than 0 are. With `permutations`
        `null (draw, target)` of the mean correlation over folds, `chance_interval (bound, target)`,
        `p_value (target)` and `p_corrected`, among the maxima over targets.

    Raises
    ------
    AlignmentError
        When the sample labels of both recordings differ, or their `stimulus`.
    AnalysisError
        When values are missing, samples or groups are too few, given folds leak, an argument is out of range, or there
        is no such device.

    Notes
    -----
    Of alphas with equal error, summed over the samples of the inner folds, the largest is taken. Patterns are as for
    `linear`. All is computed in float64.

    References
    ----------
    Hoerl, Kennard (1970), Ridge regression, Technometrics 12:55. Reconstruction with lags: Crosse et al. (2016), The
    multivariate temporal response function toolbox, Frontiers in Human Neuroscience 10:604.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import decoding
    >>> tree = ni.synthetic.linear_responses(n_samples=300, n_features=2, n_units=9, snr=4.0)
    >>> stimulus, brain = (tree[f"recordings/{name}/recording"] for name in ("features", "responses"))
    >>> found = decoding.ridge(brain, stimulus, permutations=19)
    >>> found.score.dims, bool((found.correlation.mean("fold") > 0.5).all()), found.p_value.values.tolist()
    (('fold', 'target'), True, [0.05, 0.05])
    """
    place = None if device is None else torch_device(device, NAME)
    laid, y, columns, about = _both(recording, target)
    delays = _delays(lags)
    frame, parts = laid.frame, stretches(laid.frame) if delays != [0] else []
    x = np.concatenate(
        [shifted(laid.values[:, :, 0], parts, lag) if lag else laid.values[:, :, 0] for lag in delays], 1
    )
    usable = np.flatnonzero(~np.isnan(x).any(axis=1))
    margin = max(map(abs, delays)) if gap is None else gap
    grid = _grid(alphas, x[usable], standardize)
    way = scheme(frame, target if isinstance(target, str) else None, None, by, NAME)
    outer, kind = outer_folds(frame, way, None, cv, margin, by)
    folds = int(cv) if isinstance(cv, int | np.integer) else 5
    inner = inner_folds(frame, way, None, outer, folds, margin) if grid.size > 1 else [[] for _ in outer]
    outer, inner = _within(outer, usable), [_within(pairs, usable) for pairs in inner]
    moved = [np.arange(len(y)), *exchanges(frame, y, way, exchange, permutations, seed, NAME)]
    targets = np.concatenate([y[index] for index in moved], axis=1)  # (sample, draw x target)
    given, wanted = (x, targets) if place is None else (placed(one, place) for one in (x, targets))
    predictions, alpha, errors = _nested(given, wanted, outer, inner, grid, standardize)
    best = _lowest(errors[:, : y.shape[1]], grid)
    own, intercept = _solved(given, wanted[:, : y.shape[1]], usable, best, grid, standardize)
    found = _scored(predictions, targets, outer, alpha, columns, kind, len(moved))
    found["prediction"] = _unstacked(predictions, outer, y.shape, frame, columns).assign_attrs(units=about)
    model = _model(x[usable], own, intercept, frame, columns, delays)
    return result(
        found | _with_units(model, about, recording.attrs["units"]),
        analysis=NAME,
        recording=recording if isinstance(target, str) else [recording, target],
        parameters={
            "target": target if isinstance(target, str) else "recording", "alphas": grid, "lags": delays,
            "cv": cv if isinstance(cv, int | np.integer) else f"{len(outer)} given folds", "by": by, "gap": margin,
            "standardize": standardize, "permutations": permutations, "exchange": exchange,
            "device": None if device is None else str(device),
        },
        seed=seed,
    )  # fmt: skip


def _both(recording: xr.DataArray, target: str | xr.DataArray) -> tuple[Any, Floats, Any, str]:
    """Give the samples, targets (sample, target), the target coordinate and the targets' units."""
    if isinstance(target, str):
        laid = samples(recording, "samples", NAME)
        flat = sample_values(laid.frame, target, NAME)
        if flat.dtype.kind not in "iufb":
            raise AnalysisError(
                f"{NAME}: {target!r} holds {flat.dtype.kind!r}, not numbers; classes are for decoding.linear"
            )
        wild = int((~np.isfinite(flat.astype(np.float64))).sum())
        if wild:
            raise AnalysisError(f"{NAME}: {wild} of {flat.size} values of {target!r} are infinite; drop these samples")
        units = str(recording[target].attrs.get("units", "1"))
        return laid, flat.astype(np.float64)[:, None], {"target": np.array([target], dtype=object)}, units
    recording, target = match(recording, target)
    require_alike(recording, target, "stimulus", NAME)
    require_values(target, NAME)
    require_complete(target, NAME)
    laid = samples(recording, "samples", NAME)
    coords = {str(name).replace("unit", "target") if name == "unit" else f"target_{name}": ("target", c.values)
              for name, c in labels(target).unit_coords.items()}  # fmt: skip
    return laid, stack(target).values.astype(np.float64), coords, str(target.attrs["units"])


def _delays(lags: Sequence[int]) -> list[int]:
    delays = [int(lag) for lag in lags]
    if not delays or len(set(delays)) != len(delays) or delays != list(lags):
        raise AnalysisError(f"{NAME}: lags must be one or more different whole numbers; found {lags!r}")
    return delays


def _grid(alphas: float | Sequence[float] | None, x: Floats, standardize: bool) -> Floats:
    if not len(x):
        raise AnalysisError(f"{NAME}: the lags leave no sample; no stretch is long enough")
    if alphas is None:
        return np.logspace(-3, 5, 17) * len(x) * (1.0 if standardize else float(x.var(axis=0).mean()) or 1.0)
    grid = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if grid.ndim != 1 or not grid.size or not (np.isfinite(grid) & (grid > 0)).all():
        raise AnalysisError(f"{NAME}: alphas must be finite numbers above 0; found {alphas!r}")
    return grid


def _within(folds: Sequence[Fold], usable: Indices) -> list[Fold]:
    kept = [(split.common(train, usable), split.common(test, usable)) for train, test in folds]
    for number, (train, test) in enumerate(kept):
        if train.size < 2 or not test.size:
            raise AnalysisError(f"{NAME}: fold {number} has {train.size} training and {test.size} test samples")
    return kept


def _nested(
    x: Any, targets: Any, outer: Sequence[Fold], inner: Sequence[Sequence[Fold]], grid: Floats, standardize: bool
) -> tuple[list[Floats], Floats, Floats]:
    """Give held-out predictions per fold, the alpha of each (fold, target), and the errors (alpha, target) of all."""
    predictions, chosen, total = [], [], np.zeros((grid.size, targets.shape[1]))
    for (train, test), folds in zip(outer, inner, strict=True):
        errors = np.zeros((grid.size, targets.shape[1]))
        for one, other in folds:
            errors += _errors(x, targets, one, other, grid, standardize)
        alpha = _lowest(errors, grid)
        own, intercept = _solved(x, targets, train, alpha, grid, standardize)
        predictions.append(to_numpy(rows_of(x, test) @ like(own, x) + like(intercept, x)))
        chosen.append(alpha)
        total += _errors(x, targets, train, test, grid, standardize) if grid.size > 1 else 0.0
    return predictions, np.stack(chosen), total


def _solved(
    x: Any, targets: Any, train: Indices, alpha: Floats, grid: Floats, standardize: bool
) -> tuple[Floats, Floats]:
    """Give weights (feature, target) and intercepts (target) of a training set."""
    fit = fitted(x, targets, train, standardize=standardize, smallest=float(grid.min()))
    own, intercept = weights(fit, like(alpha, fit.values))
    return to_numpy(own), to_numpy(intercept)


def _errors(x: Any, targets: Any, train: Indices, test: Indices, grid: Floats, standardize: bool) -> Floats:
    """Give the summed squared error (alpha, target) of test samples for each alpha."""
    fit = fitted(x, targets, train, standardize=standardize, smallest=float(grid.min()))
    turned, onto = probe(fit, rows_of(x, test)) @ fit.basis, fit.turn.T @ fit.right
    wanted = rows_of(targets, test) - fit.response_mean
    missed = (wanted - turned @ (onto / (fit.values[:, None] + float(a))) for a in grid)
    return np.stack([to_numpy((one * one).sum(0)) for one in missed])


def _lowest(errors: Floats, grid: Floats) -> Floats:
    order = np.argsort(-grid)
    lowest: Floats = grid[order][errors[order].argmin(axis=0)]
    return lowest


def _scored(
    predictions: Sequence[Floats],
    targets: Floats,
    outer: Sequence[Fold],
    alpha: Floats,
    columns: Any,
    kind: str,
    draws: int,
) -> dict[str, xr.DataArray]:
    pairs = [(targets[test], predicted) for (_, test), predicted in zip(outer, predictions, strict=True)]
    r2, r = (np.stack([one(*pair) for pair in pairs]) for one in (score.r2, score.correlation))
    width = targets.shape[1] // draws
    coords = {"fold": xr.DataArray(np.arange(len(outer)), dims="fold", attrs={"split": kind}), **columns}
    out = {
        name: xr.DataArray(values[:, :width], dims=("fold", "target"), coords=coords)
        for name, values in (("score", r2), ("correlation", r), ("alpha", alpha))
    }
    if draws > 1:
        # a prediction that does not vary correlates with nothing
        mean = np.nan_to_num(r).mean(axis=0).reshape(draws, width)
        drawn = xr.DataArray(mean, dims=("draw", "target"), coords=columns)
        out |= against_null(drawn.isel(draw=0), drawn.isel(draw=slice(1, None)))
    return {name: array.assign_attrs(units="1") for name, array in out.items()}


def _unstacked(
    predictions: Sequence[Floats], outer: Sequence[Fold], shape: tuple[int, int], frame: xr.DataArray, columns: Any
) -> xr.DataArray:
    held = np.full(shape, np.nan)
    for (_, test), predicted in zip(outer, predictions, strict=True):
        held[test] = predicted[:, : shape[1]]
    there = labels(frame)
    return xr.DataArray(
        held.reshape(*there.sample_shape, -1),
        dims=(*there.sample_dims, "target"),
        coords={**there.sample_coords, **columns},
    )


def _model(
    x: Floats, weights: Floats, intercept: Floats, frame: xr.DataArray, columns: Any, delays: list[int]
) -> dict[str, xr.DataArray]:
    """Label weights (feature, target), all units of the first lag first, and their patterns."""
    dims: tuple[str, ...] = ("target", "unit")
    coords = {**columns, **labels(frame).unit_coords}
    found = [weights.T, pattern(x, weights.T)]
    if delays != [0]:
        shape = (weights.shape[1], len(delays), frame.sizes["unit"])
        found = [one.reshape(shape).transpose(0, 2, 1) for one in found]
        dims = (*dims, "lag")
        coords["lag"] = xr.DataArray(np.array(delays), dims="lag", attrs={"units": "sample"})
    return {
        "weights": xr.DataArray(found[0], dims=dims, coords=coords),
        "pattern": xr.DataArray(found[1], dims=dims, coords=coords),
        "intercept": xr.DataArray(intercept, dims="target", coords=columns),
    }


def _with_units(model: dict[str, xr.DataArray], of: str, per: str) -> dict[str, xr.DataArray]:
    units = {
        "weights": "1" if of == per else f"({of}) / ({per})",
        "pattern": "1" if of == per else f"({per}) / ({of})",
        "intercept": of,
    }
    return {name: array.assign_attrs(units=units[name]) for name, array in model.items()}
