"""How alike two sets of components are: matched one to one, and as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def unit_norm(patterns: Any) -> Floats:
    """Scale each row to norm 1, in float64; a component that died stays zero and matches nothing."""
    rows = np.asarray(patterns, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = rows / np.where(norms > 0, norms, 1)
    return scaled


def matched(cosine: Floats, *, signed: bool = True) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the rows and columns of the one-to-one match whose (absolute) cosines have the largest sum."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cosine if signed else np.abs(cosine), maximize=True)
    return rows, columns


def amari(one: Any, other: Any) -> float:
    """Give the Amari distance of two sets of as many patterns (component, unit), from 0 to 1.

    With `p = |A B^+|` the mean over rows and columns of (sum / largest - 1) / (components - 1), and the mean of that
    and of the same for `|B A^+|`: 0 where each pattern of one is a multiple of one of the other. A row or a column
    of zeros counts 1.
    """
    a, b = unit_norm(one), unit_norm(other)
    return (_spread(np.abs(a @ np.linalg.pinv(b))) + _spread(np.abs(b @ np.linalg.pinv(a)))) / 2


def _spread(p: Floats) -> float:
    parts = []
    for axis in (0, 1):
        most = p.max(axis=axis)
        alone = most <= 1e-12
        beyond = p.sum(axis=axis) / np.where(alone, 1.0, most) - 1
        parts.append(np.where(alone, 1.0, beyond / max(len(p) - 1, 1)))
    return float(np.mean(parts))


def described(method: Callable[..., xr.Dataset]) -> tuple[str, dict[str, Any]]:
    """Give the name of a method and the options that a `functools.partial` around it fixes."""
    inner = getattr(method, "func", method)
    return getattr(inner, "__name__", type(inner).__name__), dict(getattr(method, "keywords", {}))
