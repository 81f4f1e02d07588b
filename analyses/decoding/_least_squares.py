"""Penalised least squares from one decomposition of the features, for any number of targets, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Decomposed(NamedTuple):
    """Standardised features (sample, feature) by their directions, and targets on these.

    Attributes
    ----------
    basis
        (feature, direction).
    power
        (direction,), eigenvalues of the Gram matrix.
    onto
        (direction, target).
    mean, scale
        (feature,), taken from the features; what they were divided by.
    level
        (target,), the mean of each target.
    """

    basis: Floats
    power: Floats
    onto: Floats
    mean: Floats
    scale: Floats
    level: Floats


def decompose(x: Floats, targets: Floats, *, standardize: bool = True) -> Decomposed:
    """Decompose features once for all targets (sample, target) and penalties; the smaller Gram matrix is taken."""
    mean, level = x.mean(axis=0), targets.mean(axis=0)
    centred = x - mean
    scale = np.ones_like(mean)
    if standardize:
        spread = np.sqrt((centred * centred).mean(axis=0))
        vary = spread > 10 * np.finfo(np.float64).eps * np.abs(x).max(axis=0, initial=0.0)
        scale = np.where(vary, spread, 1.0)
        centred /= scale
    if centred.shape[1] <= centred.shape[0]:
        power, basis = np.linalg.eigh(centred.T @ centred)
        onto = basis.T @ (centred.T @ (targets - level))
    else:
        power, vectors = np.linalg.eigh(centred @ centred.T)
        basis, onto = centred.T @ vectors, vectors.T @ (targets - level)
    return Decomposed(basis, np.clip(power, 0.0, None), onto, mean, scale, level)


def solve(parts: Decomposed, alpha: Floats) -> tuple[Floats, Floats]:
    """Give weights (feature, target) in the features' own units and the intercept (target), for alpha (target)."""
    weights = (parts.basis @ (parts.onto / (parts.power[:, None] + alpha))) / parts.scale[:, None]
    return weights, parts.level - parts.mean @ weights
