"""Ridge regression of each unit's responses on features, scored on data it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

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
from neurointerp.analyses.encoding._search import nested
from neurointerp.backend import like
from neurointerp.least_squares import decompose, moments, weights
from neurointerp.result import result

_ANALYSIS = "encoding.ridge"


def ridge(
    features: xr.DataArray,
    responses: xr.DataArray | None = None,
    *,
    alphas: float | Sequence[float] | None = None,
    cv: int | Iterable[tuple[Any, Any]] = 5,
    lags: Sequence[int] | xr.DataArray | None = None,
    standardize: bool = True,
    gap: int | None = None,
    high_pass: float | None = None,
    device: str | None = None,
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
        Recording with the predictors as units. Features or responses in chunks (dask) are read block by block.
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
        Or kernels `(lag, basis)` that weigh the delays, such as `neurointerp.align.hrf` gives: one feature per unit
        and basis then, `<unit>@<basis>`.
    standardize
        Scale each feature to unit variance (over the training samples) before it is penalised. Constant
        features are left as they are. Features and responses are always centred.
    gap
        Samples left out of training on either side of a test block, within its stretch. Default: the largest
        lag, in either direction.
    high_pass
        Longest period kept, in units of the clock. Features (as lagged) and responses lose their cosines of longer
        periods within each run of consecutive samples of a training set, or of a test set, on its own: taken from
        the whole series before it is split, drift is known to both sides and blocks come out anticorrelated.
        Scores and predictions are then of the high-passed test blocks, and there is no `intercept`.
    device
        Compute with torch on this device (`"cuda"`, `"cpu"`). Default: numpy. No GPU was measured.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `weights (feature, unit)` and `intercept (unit)`, refitted on all samples, for features in their own
        units; `alpha (unit)`, the penalty of that refit, with the least squared error over the outer folds;
        `score (fold, unit)`, the r2 of held-out responses about their own mean, and `correlation (fold, unit)`,
        both NaN where a unit is constant in a test set, the latter also where its prediction is; `fold_alpha (fold,
        unit)`, which the fold's predictions were made with, from its training samples alone; `prediction (<sample
        dims>, unit)`, held out, NaN at samples without all lags or in no test set, and the mean where given test sets
        overlap; `test_fold (<sample dims>)`, the (last) fold that tested a sample, -1 for none. `feature` is the
        unit's label, `<unit>@<lag>` with lags other than `(0,)`, all units of the first lag first, with
        coordinates `feature_unit`, `feature_lag` and `feature_<name>` for each coordinate `<name>` of the units.
        Of recordings in chunks `prediction` is lazy.

    Raises
    ------
    AlignmentError
        When the sample labels differ, or the `stimulus` or `segment` of a sample where both name it; with lags, when
        the responses alone have segments.
    AnalysisError
        When values are missing, lags leave no samples, samples or stimuli are too few for the folds, given
        folds leak, an argument is out of range, or there is no such device. Of recordings in chunks also with
        `high_pass`, and where a penalty is lost in the rounding of the Gram matrix.

    Notes
    -----
    Of alphas with equal error the largest is taken. The squared error that chooses alpha is summed over the
    samples of all folds, where `RidgeCV` averages a score over folds. Two float32 recordings are computed in
    float32, anything else in float64; of float32 the squared errors agree with float64 to some 1e-6 of the sum of
    squares, and alphas whose errors are closer than 2e-6 of it are compared again in float64.

    With no more features than training samples the feature-feature Gram matrix is decomposed, else the
    sample-sample one, or the features themselves (SVD) where rounding of either would reach the smallest penalty.
    In large problems the Gram matrix of a fold is that of all samples less that of the samples left out, and
    errors at most alphas are first interpolated from a few; all that may be the least are then computed in full.

    Recordings in chunks are always taken in Gram form: sums over the samples of each fold, in float64 but for
    cross-products of float32, are added up where dask runs tasks, units in batches. Memory is bounded by chunks and by
    squares of the number of features.

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
    if alphas is not None:
        checked_alphas(_ANALYSIS, alphas, np.ones(1))
    asked: dict[str, Any] = {"cv": cv, "lags": lags, "gap": gap, "high_pass": high_pass, "device": device}
    asked["search"] = alphas is None or np.size(alphas) != 1
    if is_chunked(features, responses):
        problem, inner = prepare_blocks(_ANALYSIS, features, responses, **asked)
        grid = checked_alphas(_ANALYSIS, alphas, default_alphas(problem, standardize))
        variables = labelled(problem, answer(problem.x, problem.outer, inner, grid, standardize))
    else:
        problem = prepare(_ANALYSIS, features, responses, **asked)
        grid = checked_alphas(_ANALYSIS, alphas, default_alphas(problem, standardize))
        variables = _in_memory(problem, grid, standardize)
    return result(
        with_units(problem, variables),
        analysis=_ANALYSIS,
        recording=features if responses is None else [problem.features, problem.responses],
        parameters={"alphas": grid, "standardize": standardize, **problem.parameters},
        seed=seed,
    )


def _in_memory(problem: Problem, grid: NDArray[np.float64], standardize: bool) -> dict[str, xr.DataArray]:
    """Fit arrays that are there."""
    problem = near_zero(problem)
    x, usable = problem.x, problem.inputs.usable
    whole = moments(x, problem.y, usable)
    penalties = like(grid, whole.feature_mean)
    predictions, used, chosen = nested(x, problem.y, whole, problem.outer, problem.inner, penalties, standardize)
    fit = decompose(x, problem.y, whole, standardize=standardize, smallest=float(grid.min()))
    variables = model(problem, *weights(fit, chosen.alpha), chosen.alpha) | held_out(problem, predictions)
    variables["fold_alpha"] = variables["score"].copy(data=used)
    return variables
