"""Linear discriminant analysis with a shrunk covariance, on plain arrays; the numbers are those of scikit-learn.

Its `LinearDiscriminantAnalysis(solver="lsqr")` spends most of a fit on checks, which permutations of labels at each
moment repeat thousands of times.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def discriminant(x: Floats, label: Indices, shrinkage: float | None) -> tuple[Floats, Floats]:
    """Give a row of weights (class, feature) and a constant (class) for each class in `label`, in order.

    Shrinkage of each class's covariance towards a multiple of the identity; None: by Ledoit and Wolf's formula, on
    features of unit variance in the class.
    """
    present = np.unique(label)
    means = np.stack([x[label == one].mean(axis=0) for one in present])
    share = np.array([(label == one).mean() for one in present])
    pooled = np.zeros((x.shape[1], x.shape[1]))
    for one, mean, weight in zip(present, means, share, strict=True):
        pooled += weight * _shrunk(x[label == one] - mean, shrinkage)
    rows = _solved(pooled, means)
    return rows, np.log(share) - 0.5 * np.einsum("cf,cf->c", means, rows)


def _shrunk(centred: Floats, shrinkage: float | None) -> Floats:
    """Give the shrunk covariance of centred samples (sample, feature) of one class."""
    count, features = centred.shape
    if shrinkage is not None:
        covariance = centred.T @ centred / count
        return _towards_identity(covariance, shrinkage, float(np.trace(covariance)) / features)
    scale = np.sqrt((centred * centred).mean(axis=0))
    scale[scale <= 1e-12] = 1.0
    unit = centred / scale
    covariance = unit.T @ unit / count
    shrunk = _towards_identity(covariance, *_ledoit_wolf(unit, covariance))
    found: Floats = scale[:, None] * shrunk * scale
    return found


def _ledoit_wolf(unit: Floats, covariance: Floats) -> tuple[float, float]:
    """Give the optimal shrinkage and the mean variance (Ledoit and Wolf 2004, J Multivariate Analysis 88:365)."""
    count, features = unit.shape
    level = float(np.trace(covariance)) / features
    if features == 1:
        return 0.0, level
    squared = float((covariance * covariance).sum())
    noise = (float(((unit * unit).sum(axis=1) ** 2).sum()) / count - squared) / (features * count)
    spread = (squared - features * level * level) / features
    noise = min(noise, spread)
    return (0.0 if noise == 0 else noise / spread), level


def _towards_identity(covariance: Floats, shrinkage: float, level: float) -> Floats:
    shrunk = (1 - shrinkage) * covariance
    shrunk.flat[:: len(shrunk) + 1] += shrinkage * level
    return shrunk


def _solved(covariance: Floats, means: Floats) -> Floats:
    """Solve for the rows; the smallest solution where the covariance is singular."""
    try:
        half = np.linalg.cholesky(covariance)
        if np.diag(half).min() > 1e-7 * np.diag(half).max():
            return np.linalg.solve(covariance, means.T).T
    except np.linalg.LinAlgError:
        pass
    found: Floats = np.linalg.lstsq(covariance, means.T, rcond=None)[0].T
    return found
