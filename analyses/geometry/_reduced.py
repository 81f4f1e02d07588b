"""Patterns on an orthonormal basis of what they span."""

from __future__ import annotations

import numpy as np

from neurointerp.errors import AnalysisError

Spectrum = tuple[np.ndarray, np.ndarray, np.ndarray]


def spectrum(values: np.ndarray, name: str, analysis: str) -> Spectrum:
    """Give U (stimulus, k), s (k), V (feature, k) of the centred patterns, without what is rounding."""
    centred = values - values.mean(axis=0)
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    kept = s > s[0] * max(values.shape) * np.finfo(np.float64).eps if s.size else s > 0
    if not s.size or s[0] <= 1e-13 * max(float(np.abs(values).max()), 1e-300):
        raise AnalysisError(f"{analysis}: {name!r} gives the same pattern for all {len(values)} stimuli")
    return u[:, kept], s[kept], v[kept].T
