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
    features of unit variance in the class. The pooled covariance is a sum of squares of scaled samples and a diagonal,
    so that with fewer samples than features it is solved among the samples.
    """
    present = np.unique(label)
    means = np.stack([x[label == one].mean(axis=0) for one in present])
    share = np.array([(label == one).mean() for one in present])
    rows, diagonal = [], np.zeros(x.shape[1])
    for one, mean, weight in zip(present, means, share, strict=True):
        centred = x[label == one] - mean
        kept, added = _shrunk(centred, shrinkage)
        rows.append(centred * np.sqrt(weight * kept / len(centred)))
        diagonal += weight * added
    found = _solved(np.concatenate(rows), diagonal, means)
    return found, np.log(share) - 0.5 * np.einsum("cf,cf->c", means, found)


def _shrunk(centred: Floats, shrinkage: float | None) -> tuple[float, Floats]:
    """Give the share of a class's covariance that is kept, and the diagonal (feature) that is added."""
    variance = (centred * centred).mean(axis=0)
    if shrinkage is not None:
        return 1 - shrinkage, np.full(variance.size, shrinkage * variance.mean())
    scale = np.sqrt(variance)
    scale[scale <= 1e-12] = 1.0
    amount, level = _ledoit_wolf(centred / scale)
    return 1 - amount, amount * level * scale * scale


def _ledoit_wolf(unit: Floats) -> tuple[float, float]:
    """Give the optimal shrinkage and the mean variance (Ledoit and Wolf 2004, J Multivariate Analysis 88:365)."""
    count, features = unit.shape
    square = unit * unit
    level = float(square.sum()) / count / features
    if features == 1:
        return 0.0, level
    gram = unit.T @ unit if features <= count else unit @ unit.T  # of the same sum of squares
    squared = float((gram * gram).sum()) / count**2
    noise = (float((square.sum(axis=1) ** 2).sum()) / count - squared) / (features * count)
    spread = (squared - features * level * level) / features
    noise = min(noise, spread)
    return (0.0 if noise == 0 else noise / spread), level


def _solved(rows: Floats, diagonal: Floats, means: Floats) -> Floats:
    """Solve `rows.T @ rows + diagonal` for the means (class, feature); the smallest solution where it is singular."""
    if len(rows) < rows.shape[1] and diagonal.min() > 0:
        scaled, whitened = rows / diagonal, means / diagonal  # Woodbury
        inner = np.eye(len(rows)) + scaled @ rows.T
        wide: Floats = whitened - np.linalg.solve(inner, scaled @ means.T).T @ scaled
        return wide
    covariance = rows.T @ rows
    covariance.flat[:: len(covariance) + 1] += diagonal
    try:
        half = np.diag(np.linalg.cholesky(covariance))
        if half.min() > 1e-7 * half.max():
            return np.asarray(np.linalg.solve(covariance, means.T).T, dtype=np.float64)
    except np.linalg.LinAlgError:
        pass
    return np.asarray(np.linalg.lstsq(covariance, means.T, rcond=None)[0].T, dtype=np.float64)
