"""Covariances of (sample, unit) values, shrunk or not: complete, block by block, or pair by pair."""

from __future__ import annotations

import numpy as np

from neurointerp.analyses.connectivity import _streamed
from neurointerp.analyses.connectivity._moments import has_missing, pairwise
from neurointerp.analyses.connectivity._pairs import require_pairs
from neurointerp.analyses.connectivity._shrinkage import centred, shrunk, shrunk_pairwise, shrunk_product
from neurointerp.errors import AnalysisError
from neurointerp.streaming import Rows


def covariance_of(
    values: np.ndarray | Rows, method: str, least: int, analysis: str
) -> tuple[np.ndarray, float, np.ndarray | int]:
    """Give the covariances (unit, unit) of (sample, unit) values, their shrinkage, and each pair's samples."""
    if len(values) >= least and not has_missing(values, None):
        if isinstance(values, Rows):
            matrix, amount, largest = _covariance_of_blocks(values, method)
            return _rescaled(matrix, largest, analysis), amount, len(values)
        z = centred(values)
        largest = float(np.abs(z).max(initial=0.0)) or 1.0
        matrix, amount = shrunk(z / largest, method)
        return _rescaled(matrix, largest, analysis), amount, len(values)
    found = pairwise(values)
    few = found.samples < least
    if method != "empirical":
        require_pairs(found.samples, least, analysis, "empirical")
    largest = found.scale.max(initial=0.0)
    scale = np.outer(found.scale, found.scale) / largest**2  # one scale for all: shrinkage compares variances
    matrix, amount = shrunk_pairwise(found.covariance * scale, found.fourth * scale**2, found.samples, method)
    return np.where(few, np.nan, _rescaled(matrix, largest, analysis)).astype(values.dtype), amount, found.samples


def _covariance_of_blocks(rows: Rows, method: str) -> tuple[np.ndarray, float, float]:
    """Give the covariance of rows over the largest value about the means, its shrinkage, and that value."""
    about, mean = rows.about, _streamed.mean_of(rows)
    largest = float(np.maximum(about.high - mean, mean - about.low).max(initial=0.0)) or 1.0
    z = rows.scaled(mean, np.full(rows.width, largest))
    S = (_streamed.gram(z) / len(rows)).astype(rows.dtype)
    return *shrunk_product(S, lambda: _streamed.lengths(z), len(rows), method), largest


def _rescaled(matrix: np.ndarray, largest: float, analysis: str) -> np.ndarray:
    """Multiply a covariance by the square of a scale; refuse squares that the dtype does not hold."""
    with np.errstate(over="ignore", under="ignore"):
        found: np.ndarray = matrix * matrix.dtype.type(largest) * matrix.dtype.type(largest)
    power, before = np.diagonal(found), np.diagonal(matrix)
    lost = (before > np.finfo(matrix.dtype).eps) & (power < np.finfo(matrix.dtype).tiny)
    if lost.any() or not np.isfinite(found[np.isfinite(matrix)]).all():
        raise AnalysisError(
            f"{analysis}: values up to {largest:.3g} have squares beyond {matrix.dtype}; convert them to "
            f"{'smaller' if lost.any() else 'larger'} units (ni.to_units) first"
        )
    return found
