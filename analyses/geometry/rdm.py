"""Representational dissimilarity matrices: how far apart a recording holds every two stimuli."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr

from neurointerp import matrix
from neurointerp.analyses.geometry._patterns import averaged, labelled
from neurointerp.device import require_device, row_products
from neurointerp.errors import AnalysisError
from neurointerp.result import pending, result

_ANALYSIS = "geometry.rdm"
METRICS = ("correlation", "euclidean", "mahalanobis", "crossnobis")
NOISES = ("identity", "diagonal", "shrinkage")
Metric = Literal["correlation", "euclidean", "mahalanobis", "crossnobis"]
Noise = Literal["identity", "diagonal", "shrinkage"]


def rdm(
    recording: xr.DataArray, *, metric: Metric = "correlation", noise: Noise = "shrinkage", by: str = "stimulus",
    repeat: str = "repeat", device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Give the dissimilarity of the patterns that every two stimuli evoke.

    With :math:`x_i` the mean pattern of stimulus :math:`i` over :math:`P` features, :math:`\Sigma` the covariance of
    the noise and :math:`m` a fold of repeats:

    - ``correlation``: :math:`1 - r(x_i, x_j)`, which does not depend on mean or scale of a pattern;
    - ``euclidean``: :math:`(x_i - x_j)^\top (x_i - x_j) / P`;
    - ``mahalanobis``: :math:`(x_i - x_j)^\top \Sigma^{-1} (x_i - x_j) / P`;
    - ``crossnobis``: :math:`(x_i - x_j)_m^\top \Sigma^{-1} (x_i - x_j)_{-m} / P`, averaged over folds :math:`m`, which
      other repeats than the fold's answer: unbiased, so 0 on average where two stimuli evoke the same, and sometimes
      below.

    Parameters
    ----------
    recording
        (trial, unit), (trial, time, unit) or (time, unit) with the coordinate `by`; samples of one stimulus are
        averaged. Of epochs, time and unit together make the pattern. Units that a pattern misses (NaN) are left out of
        its `correlation` and `euclidean` distances; the other two refuse missing values.
        One that is chunked (dask) is read block by block, but for `mahalanobis` and `crossnobis`, which need all values
        in memory at once.
    metric
        As above.
    noise
        Covariance of the units about the mean of their stimulus, for `mahalanobis` and `crossnobis`: `shrinkage`
        (Ledoit and Wolf's, scikit-learn's), `diagonal` (each unit's own variance), or `identity`, which
        needs no repeats for `mahalanobis`.
    by
        Sample coordinate that names the stimulus; `time` for recordings on one clock.
    repeat
        Sample coordinate that names the fold of `crossnobis`; every stimulus must be in every fold.
    device
        Where torch makes the products of the mean patterns of every two stimuli (`"cuda"`, `"cpu"`, ...), in float64;
        None (default): numpy, which estimates the noise and averages the samples in any case.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `rdm (stimulus, stimulus2)`, symmetric, 0 on the diagonal; dimensionless for `correlation` and whitened
        distances, squared units of the recording for `euclidean` and `identity`. NaN where a distance is not defined (a
        pattern without variance, or two without a unit in common).

    Raises
    ------
    AnalysisError
        When the recording has no such labels, fewer than two stimuli, missing values where they are refused, no
        repeats to estimate noise from, or stimuli missing from folds.

    References
    ----------
    Kriegeskorte, Mur, Bandettini (2008), Front Syst Neurosci 2:4; Walther et al. (2016), NeuroImage 137:188
    (crossnobis); Ledoit, Wolf (2004), J Multivar Anal 88:365. As rsatoolbox 0.3, with which it agrees, distances are
    divided by the number of features.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> rec = ni.recording(np.array([[0.0, 0.0], [3.0, 4.0]]), modality="fmri", units="1", dims=("trial", "unit"),
    ...                    coords={"stimulus": ("trial", ["cat", "dog"])})
    >>> geometry.rdm(rec, metric="euclidean").rdm.values
    array([[ 0. , 12.5],
           [12.5,  0. ]])
    """
    require_known(metric, noise)
    analysed = pending(recording)
    named = distances(recording, metric=metric, noise=noise, by=by, repeat=repeat, device=device)
    return result(
        {"rdm": named},
        analysis=_ANALYSIS,
        recording=analysed,
        parameters={"metric": metric, "noise": noise, "by": by, "repeat": repeat, "device": device},
        seed=seed,
    )


def distances(
    recording: xr.DataArray, *, metric: Metric, noise: Noise, by: str, repeat: str, device: str | None
) -> xr.DataArray:
    """Give the matrix of `rdm` alone, without the digest that a result carries, which is one more pass."""
    require_known(metric, noise)
    require_device(device, None, _ANALYSIS)
    stimulus, values = DISTANCES[metric](recording, noise, by, repeat, partial(row_products, device))
    if len(stimulus) < 2:
        raise AnalysisError(f"{_ANALYSIS}: the recording holds {len(stimulus)} {by}; two or more are needed")
    units = "1"
    if metric == "euclidean" or (metric != "correlation" and noise == "identity"):
        units = f"({recording.attrs['units']})**2" if recording.attrs["units"] != "1" else "1"
    return xr.DataArray(
        values,
        dims=("stimulus", "stimulus2"),
        coords={"stimulus": stimulus, "stimulus2": stimulus},
        attrs={"units": units, "metric": metric},
    )


def require_known(metric: str, noise: str) -> None:
    """Refuse a metric or an estimate of the noise that there is not."""
    _known("metric", metric, METRICS)
    _known("noise", noise, NOISES)


def _known(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise AnalysisError(f"{_ANALYSIS}: {name} {value!r} is not one of {', '.join(known)}")


Labelled = tuple[np.ndarray, np.ndarray]
Times = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""The products of all rows of two matrices."""


def _correlation(recording: xr.DataArray, noise: str, by: str, repeat: str, times: Times) -> Labelled:
    stimulus, x = averaged(recording, _ANALYSIS, by=by, complete=False)
    there = (~np.isnan(x)).astype(np.float64)
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    known = np.where(there > 0, x - np.where(there > 0, x, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
    length = np.sqrt((known**2).sum(axis=1, keepdims=True) / count)
    flat = length <= 1e-12 * np.where(there > 0, np.abs(x), 0.0).max(axis=1, keepdims=True)
    known = known / np.where(flat, np.nan, length)  # of unit variance, whatever the units of the recording
    if there.all():
        return stimulus, _symmetric(1 - times(known, known) / x.shape[1])
    n = times(there, there)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = times(known, there) / n  # mean of i over what j has too
        square = times(known**2, there) / n - first**2
        shared = times(known, known) / n - first * first.T
        defined = (n >= 2) & (square > 1e-12) & (square.T > 1e-12)
        r = np.where(defined, shared / np.sqrt(square * square.T), np.nan)
    return stimulus, _symmetric(1 - r)


def _euclidean(recording: xr.DataArray, noise: str, by: str, repeat: str, times: Times) -> Labelled:
    stimulus, x = averaged(recording, _ANALYSIS, by=by, complete=False)
    there = (~np.isnan(x)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        centre = np.where(
            there.any(axis=0), np.where(there > 0, x, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1), 0.0
        )
    known = np.where(there > 0, x - centre, 0.0)
    n = times(there, there)
    square = times(known**2, there)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, (square + square.T - 2 * times(known, known)) / n, np.nan)
    return stimulus, _symmetric(np.maximum(mean, 0))


def _mahalanobis(recording: xr.DataArray, noise: str, by: str, repeat: str, times: Times) -> Labelled:
    stimulus, x = averaged(recording, _ANALYSIS, by=by)
    white = (x - x.mean(axis=0)) @ _whitening(recording, noise, by)
    gram = times(white, white) / x.shape[1]
    return stimulus, _symmetric(np.maximum(np.diag(gram)[:, None] + np.diag(gram) - 2 * gram, 0))


def _crossnobis(recording: xr.DataArray, noise: str, by: str, repeat: str, times: Times) -> Labelled:
    matrix.require_complete(recording, _ANALYSIS)
    labels, values = labelled(recording, _ANALYSIS, by=by)
    folds = labelled(recording, _ANALYSIS, by=repeat)[0]
    if len(folds) != len(labels):
        raise AnalysisError(f"{_ANALYSIS}: {repeat!r} does not lie on the samples that {by!r} names")
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    fold = np.unique(folds, return_inverse=True)[1]
    counts = np.zeros((fold.max() + 1, group.max() + 1))
    np.add.at(counts, (fold, group), 1)
    if len(counts) < 2 or (counts == 0).any():
        raise AnalysisError(
            f"{_ANALYSIS}: crossnobis needs every stimulus in each of two or more folds {repeat!r}; of "
            f"{counts.shape[1]} stimuli in {counts.shape[0]} folds {int((counts == 0).sum())} cells are empty"
        )
    means = np.zeros((*counts.shape, values.shape[1]))
    np.add.at(means, (fold, group), values)
    means = (means / counts[:, :, None])[:, np.argsort(first)]
    white = (means - means.mean(axis=(0, 1))) @ _whitening(recording, noise, by)
    # The mean over folds of (fold x mean of the others) is that of all products of two different folds.
    total = white.sum(axis=0)
    cross = (times(total, total) - sum(times(one, one) for one in white)) / (len(white) * (len(white) - 1))
    gram = cross / values.shape[1]
    return labels[np.sort(first)], _symmetric(np.diag(gram)[:, None] + np.diag(gram) - 2 * gram)


DISTANCES: dict[str, Callable[[xr.DataArray, str, str, str, Times], Labelled]] = {
    "correlation": _correlation,
    "euclidean": _euclidean,
    "mahalanobis": _mahalanobis,
    "crossnobis": _crossnobis,
}


def _whitening(recording: xr.DataArray, noise: str, by: str) -> np.ndarray:
    """Give W with W W' the inverse covariance of the samples about the mean of their stimulus."""
    labels, values = labelled(recording, _ANALYSIS, by=by)
    if noise == "identity":
        return np.eye(values.shape[1])
    group = np.unique(labels, return_inverse=True)[1]
    freedom = len(values) - (group.max() + 1)
    if freedom < 2:
        raise AnalysisError(
            f"{_ANALYSIS}: {len(values)} samples of {group.max() + 1} stimuli leave {max(freedom, 0)} degrees of "
            'freedom to estimate noise from; pass noise="identity", or keep repeats as samples of their own'
        )
    means = np.zeros((group.max() + 1, values.shape[1]))
    np.add.at(means, group, values)
    rest = values - (means / np.bincount(group)[:, None])[group]
    variance = (rest**2).sum(axis=0) / freedom
    if (variance <= 1e-14 * (values**2).mean(axis=0)).any():
        still = int((variance <= 1e-14 * (values**2).mean(axis=0)).sum())
        raise AnalysisError(
            f"{_ANALYSIS}: {still} of {len(variance)} features have no noise to divide by; drop them first"
        )
    if noise == "diagonal":
        return np.diag(1 / np.sqrt(variance))
    from sklearn.covariance import ledoit_wolf

    covariance = ledoit_wolf(rest, assume_centered=True)[0] * len(rest) / freedom
    eigenvalues, vectors = np.linalg.eigh(covariance)
    if eigenvalues[0] <= 0:
        raise AnalysisError(f'{_ANALYSIS}: the covariance of the noise is singular; pass noise="diagonal"')
    return np.asarray(vectors / np.sqrt(eigenvalues))


def _symmetric(values: np.ndarray) -> np.ndarray:
    out: np.ndarray = (values + values.T) / 2
    np.fill_diagonal(out, np.where(np.isnan(np.diag(out)), np.nan, 0.0))
    return out
