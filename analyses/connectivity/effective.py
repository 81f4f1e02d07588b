"""Lagged ridge regression of every unit on the past of all: directed weights for many units and few samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import SIDES, complete, pair_coords, sampling_rate
from neurointerp.analyses.connectivity._past import rows
from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stretches
from neurointerp.result import pending, result

_ANALYSIS = "connectivity.effective"
ALPHAS = tuple(np.logspace(-4, 3, 15))
"""Penalties that are tried, as parts of the mean variance of a predictor."""


def effective(
    recording: xr.DataArray, *, order: int = 1, alpha: float | None = None, n_folds: int = 5, seed: int = 0
) -> xr.Dataset:
    r"""Weigh how much the past of each unit drives each other unit when the past of all is known.

    .. math:: \min_W \sum_t \left( y_t - \sum_{x, \ell} W_{xy\ell}\, x_{t - \ell} \right)^2 + \alpha n \sum W_{xy\ell}^2

    for each target :math:`y`, with all units in standard units and :math:`n` samples.

    Parameters
    ----------
    recording
        A recording with a regular clock and without missing values. The past is taken within segments and trials.
        Computed in float64.
    order
        Samples of past; default 1.
    alpha
        The penalty, as a part of the variance of a predictor; left out, that of 15 from 1e-4 to 1e3 which predicts
        best, over all targets, the held-out blocks of consecutive samples.
    n_folds
        How many blocks.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, the sum over lags of `weights (source, target, lag)`: by how many standard
        deviations a target moves when a source was one higher throughout its past, the diagonal included; `score
        (target)`, the share of variance predicted in held-out blocks (below 0 where the mean does better); `alpha`, a
        scalar. Constant units are NaN, and counted in the attr `undefined_units`.

    Raises
    ------
    AnalysisError
        When values are missing, the clock is irregular or absent, there are too few samples, or an option is out of
        range.

    References
    ----------
    Hoerl and Kennard (1970), Ridge regression, Technometrics 12:55-67; as a vector autoregression, Valdes-Sosa et al.
    (2005), Estimating brain functional connectivity with sparse multivariate autoregression, Phil Trans R Soc B
    360:969-981. Deviation: a ridge, not a sparse penalty, one for all targets. Samples of past that reach from a
    held-out block into its neighbours are not left out.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((501, 3))
    >>> x[1:, 1] += 0.8 * x[:-1, 0]  # the first unit drives the second
    >>> rec = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)
    >>> connectivity.effective(rec).connectivity.values.round(1)[0, 1]
    np.float64(0.6)
    """
    stacked = complete(recording, _ANALYSIS)
    analysed = pending(recording)
    rate = sampling_rate(recording, _ANALYSIS)
    if order < 1 or n_folds < 2 or (alpha is not None and not alpha > 0):
        raise AnalysisError(
            f"{_ANALYSIS}: order {order!r}, n_folds {n_folds!r} and alpha {alpha!r}: at least 1, 2 and above 0 are "
            "needed"
        )
    present = rows(stretches(recording), order)
    if len(present) < 2 * n_folds:
        raise AnalysisError(
            f"{_ANALYSIS}: {len(present)} samples have {order} samples of past in their segment; {n_folds} folds need "
            f"{2 * n_folds}: take a lower order or longer segments"
        )
    z, varies = scaled(stacked.values.astype(np.float64))
    weights, score, penalty = _ridge(z[:, varies] * np.sqrt(len(z)), present, order, alpha, n_folds)
    units = len(varies)
    whole, predicted = np.full((units, units, order), np.nan), np.full(units, np.nan)
    whole[np.ix_(varies, varies)], predicted[varies] = weights, score
    coords = pair_coords(stacked.unit_coords)
    targets = {name: value for name, value in coords.items() if value[0] == "target"}
    lag = ("lag", np.arange(1, order + 1) / rate, {"units": recording["time"].attrs["units"]})
    attrs = {"units": "1", "undefined_units": int((~varies).sum())}
    return result(
        {
            "connectivity": xr.DataArray(whole.sum(axis=-1), dims=SIDES, coords=coords, attrs=attrs),
            "weights": xr.DataArray(whole, dims=(*SIDES, "lag"), coords={**coords, "lag": lag}, attrs={"units": "1"}),
            "score": xr.DataArray(predicted, dims=("target",), coords=targets, attrs={"units": "1"}),
            "alpha": xr.DataArray(penalty, attrs={"units": "1"}),
        },
        analysis=_ANALYSIS,
        recording=analysed,
        parameters={"order": order, "alpha": alpha, "n_folds": n_folds},
        seed=seed,
    )


def _ridge(
    z: np.ndarray, present: NDArray[np.int64], order: int, alpha: float | None, n_folds: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Give the weights (source, target, lag) of all samples, the held-out score (target), and the penalty."""
    units = z.shape[1]
    past = np.concatenate([z[present - lag] for lag in range(1, order + 1)], axis=1)
    now = z[present]
    folds = np.array_split(np.arange(len(present)), n_folds)
    moments = [_moments(past[fold], now[fold]) for fold in folds]
    total = tuple(sum(part[1:], start=part[0]) for part in zip(*moments, strict=True))
    alphas: Sequence[float] = ALPHAS if alpha is None else (float(alpha),)
    error, spread = np.zeros((len(alphas), units)), np.zeros(units)
    for fold, moment in zip(folds, moments, strict=True):
        rest = tuple(whole - part for whole, part in zip(total, moment, strict=True))
        for a, coefficients in enumerate(_solutions(rest, alphas)):
            mean_past, mean_now = rest[1] / rest[4], rest[3] / rest[4]
            guess = (past[fold] - mean_past) @ coefficients + mean_now
            error[a] += ((now[fold] - guess) ** 2).sum(axis=0)
        spread += ((now[fold] - rest[3] / rest[4]) ** 2).sum(axis=0)
    best = int(error.sum(axis=1).argmin()) if units else 0
    weights = next(iter(_solutions(total, alphas[best : best + 1])))
    score = 1 - error[best] / np.where(spread > 0, spread, 1.0)
    return weights.reshape(order, units, units).transpose(1, 2, 0), score, float(alphas[best])


def _moments(past: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    return past.T @ past, past.sum(axis=0), past.T @ now, now.sum(axis=0), float(len(past))


def _solutions(moments: Sequence[Any], alphas: Sequence[float]) -> list[np.ndarray]:
    """Give the weights (predictor, target) for each penalty, from one eigendecomposition of centred products."""
    gram, past, cross, now, count = moments
    values, vectors = np.linalg.eigh(gram - np.outer(past, past) / count)
    turned = vectors.T @ (cross - np.outer(past, now) / count)
    return [vectors @ (turned / (np.maximum(values, 0.0)[:, None] + alpha * count)) for alpha in alphas]
