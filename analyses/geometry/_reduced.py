"""Patterns on an orthonormal basis of what they span."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurointerp.backend import namespace
from neurointerp.errors import AnalysisError

Spectrum = tuple[Any, Any, Any]


def spectrum(values: Any, name: str, analysis: str) -> Spectrum:
    """Give U (stimulus, k), s (k), V (feature, k) of the centred patterns, without what is rounding; where they lie."""
    xp = namespace(values)
    centred = values - xp.mean(values, axis=0)
    u, s, v = xp.linalg.svd(centred, full_matrices=False)
    kept = s > s[0] * max(values.shape) * np.finfo(np.float64).eps if len(s) else s > 0
    if not len(s) or float(s[0]) <= 1e-13 * max(float(xp.max(xp.abs(values))), 1e-300):
        raise AnalysisError(f"{analysis}: {name!r} gives the same pattern for all {len(values)} stimuli")
    return u[:, kept], s[kept], v[kept].T
