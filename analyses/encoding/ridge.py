"""Ridge regression of each unit's responses on features, scored on data it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import score
from neurointerp.align import match
from neurointerp.analyses.encoding._design import Design, design
from neurointerp.analyses.encoding._folds import inner_folds, outer_folds
from neurointerp.analyses.encoding._spectrum import decompose, nested_predictions, weights
from neurointerp.backend import like
from neurointerp.errors import AnalysisError
from neurointerp.matrix import Stacked, require_complete, stack
from neurointerp.result import result
from neurointerp.split import Fold

_ANALYSIS = "encoding.ridge"


def ridge(
    features: xr.DataArray,
    responses: xr.DataArray | None = None,
    *,
    alphas: float | Sequence[float] | None = None,
    cv: int | Iterable[tuple[Any, Any]] = 5,
    lags: Sequence[int] | None = None,
    standardize: bool = True,
    gap: int | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Predict each unit's responses from features by ridge regression, with an alpha of its own.

    .. math:: \hat y_u(t) = b_u + \sum_{f, l} w_{(f, l) u}\, x_f(t - l), \qquad
        \min_{w_u} \sum_t (y_u(t) - \hat y_u(t))^2 + \alpha_u \lVert w_u \rVert^2

    Scores are honest: for each outer fold, means, scales, weights and alphas come from its training samples
    alone, the alphas by an inner cross-validation inside them.

    Parameters
    ----------
    features
        Recording with the predictors as units.
    responses
        Recording on the same sample labels, with the units to predict. Left out, the features predict
        themselves from their own past: every unit at each lag predicts every unit.
    alphas
        Penalties to choose from, above 0, in the convention of scikit-learn's `Ridge` on the features as scaled
        by `standardize`. By default `np.logspace(-3, 5, 17)` times the number of samples, and with
        `standardize=False` times the mean variance of the features too.
    cv
        Number of outer and of inner folds (`split.blocked`, contiguous blocks of time; or `split.grouped`, at
        most one fold per stimulus, where a sample coordinate `stimulus` has a label that returns). Or the outer
        folds themselves, `(train, test)` int arrays on the stacked samples as `neurointerp.split` gives them,
        taken as they are but for samples without all lags; inner folds are then five.
    lags
        Delays in samples, within segments and trials: at lag 2 the features of two samples earlier predict.
        Default `(0,)`, for self-prediction `(1,)`. A sample whose lags reach outside its stretch is left out.
    standardize
        Scale each feature to unit variance (over the training samples) before it is penalised. Constant
        features are left as they are. Features and responses are always centred.
    gap
        Samples left out of training on either side of a test block, within its stretch. Default: the largest
        lag, in either direction.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `weights (feature, unit)` and `intercept (unit)`, refitted on all samples, for features in their own
        units; `alpha (unit)`, the penalty of that refit, with the least squared error over the outer folds;
        `score (fold, unit)`, the r2 of held-out responses about their own mean, and `correlation (fold, unit)`,
        both NaN where a unit is constant in a test set; `prediction (<sample dims>, unit)`, held out, NaN at
        samples without all lags or in no test set, and the mean where given test sets overlap. `feature` is the
        unit's label, `<unit>@<lag>` with lags other than `(0,)`, all units of the first lag first, with
        coordinates `feature_unit`, `feature_lag` and `feature_<name>` for each coordinate `<name>` of the units.

    Raises
    ------
    AlignmentError
        When the sample labels differ.
    AnalysisError
        When values are missing, lags leave no samples, samples or stimuli are too few for the folds, given
        folds leak, or an argument is out of range.

    Notes
    -----
    Of alphas with equal error the largest is taken. The squared error that chooses alpha is summed over the
    samples of all folds, where `RidgeCV` averages a score over folds. Two float32 recordings are computed in
    float32, anything else in float64.

    References
    ----------
    Hoerl and Kennard (1970), Ridge regression, Technometrics 12:55-67; for one alpha per target from one
    decomposition, Dupre la Tour et al. (2022), Feature-space selection with banded ridge regression,
    NeuroImage 264:119728.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> tree = ni.synthetic.linear_responses(n_samples=300, n_features=4, n_units=2, snr=9.0)
    >>> found = encoding.ridge(tree["recordings/features/recording"], tree["recordings/responses/recording"])
    >>> dict(found.weights.sizes), bool((found.score > 0.8).all())
    ({'feature': 4, 'unit': 2}, True)
    """
    themselves = responses is None
    features, responses = match(features, features if responses is None else responses)
    for recording in (features, responses):
        require_complete(recording, _ANALYSIS)
    delays = _delays(lags, themselves)
    margin = max(map(abs, delays)) if gap is None else gap
    inputs, target = design(features, delays), stack(responses)
    outer, kind = outer_folds([responses, features], inputs.usable, cv, margin)
    x, y = _common(inputs.values, target.values)
    grid = _grid(alphas, x[inputs.usable], standardize)
    inner: list[list[Fold]] = [[] for _ in outer]
    if grid.size > 1:
        inner = inner_folds([responses, features], outer, cv if isinstance(cv, int) else 5, margin)
    penalties = like(grid, x)
    predictions, alpha = nested_predictions(x, y, outer, inner, penalties, standardize)
    fit = decompose(x[inputs.usable], y[inputs.usable], standardize)
    variables = _model(inputs, target, *weights(fit, alpha), alpha) | _held_out(target, y, outer, predictions)
    return result(
        _with_units(variables, features, responses, kind),
        analysis=_ANALYSIS,
        recording=features if themselves else [features, responses],
        parameters={
            "alphas": grid,
            "cv": cv if isinstance(cv, int) else f"{len(outer)} given folds",
            "lags": delays,
            "standardize": standardize,
            "gap": margin,
        },
        seed=seed,
    )


def _delays(lags: Sequence[int] | None, themselves: bool) -> list[int]:
    given = ((1,) if themselves else (0,)) if lags is None else lags
    delays = [int(lag) for lag in given]
    if not delays or len(set(delays)) != len(delays) or delays != list(given):
        raise AnalysisError(f"{_ANALYSIS}: lags must be one or more different whole numbers; found {lags!r}")
    if themselves and min(delays) <= 0:
        raise AnalysisError(
            f"{_ANALYSIS}: lag {min(delays)} would predict a unit from its own present or future; without "
            "responses all lags must be 1 or more"
        )
    return delays


def _common(features: np.ndarray, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    dtype = np.result_type(features, responses)
    return features.astype(dtype, copy=False), responses.astype(dtype, copy=False)


def _grid(alphas: float | Sequence[float] | None, features: np.ndarray, standardize: bool) -> NDArray[np.float64]:
    if alphas is None:
        variance = 1.0 if standardize else float(features.var(axis=0, dtype=np.float64).mean()) or 1.0
        return np.logspace(-3, 5, 17) * (len(features) * variance)
    grid = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if grid.ndim != 1 or not grid.size or not (np.isfinite(grid) & (grid > 0)).all():
        raise AnalysisError(f"{_ANALYSIS}: alphas must be finite numbers above 0; found {alphas!r}")
    return grid


def _model(
    inputs: Design, target: Stacked, weight: np.ndarray, intercept: np.ndarray, alpha: np.ndarray
) -> dict[str, xr.DataArray]:
    units = target.unit_coords
    return {
        "weights": xr.DataArray(weight, dims=("feature", "unit"), coords=inputs.coords | units),
        "intercept": xr.DataArray(intercept, dims="unit", coords=units),
        "alpha": xr.DataArray(alpha.astype(np.float64), dims="unit", coords=units),
    }


def _held_out(
    target: Stacked, observed: np.ndarray, folds: Sequence[Fold], predictions: Sequence[np.ndarray]
) -> dict[str, xr.DataArray]:
    total, times = np.zeros_like(observed), np.zeros((len(observed), 1), dtype=observed.dtype)
    r2, correlation = [], []
    for (_, test), predicted in zip(folds, predictions, strict=True):
        total[test] += predicted
        times[test] += 1
        r2.append(score.r2(observed[test], predicted))
        correlation.append(score.correlation(observed[test], predicted))
    coords = {"fold": np.arange(len(folds))} | target.unit_coords
    mean = np.where(times > 0, total / np.maximum(times, 1), np.nan)
    return {
        "score": xr.DataArray(np.stack(r2), dims=("fold", "unit"), coords=coords),
        "correlation": xr.DataArray(np.stack(correlation), dims=("fold", "unit"), coords=coords),
        "prediction": target.unstack(mean, "unit"),
    }


def _with_units(
    variables: dict[str, xr.DataArray], features: xr.DataArray, responses: xr.DataArray, kind: str
) -> dict[str, xr.DataArray]:
    """State the units of each variable, and how the folds were made."""
    of, per = responses.attrs["units"], features.attrs["units"]
    units = {"weights": "1" if of == per else f"({of}) / ({per})", "intercept": of, "prediction": of}
    out = {name: array.assign_attrs(units=units.get(name, "1")) for name, array in variables.items()}
    for name in ("score", "correlation"):
        out[name]["fold"].attrs["split"] = kind
    return out
