"""Columns of another package's object as coordinates, and coordinates as columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

TAKEN = ("time", "unit", "trial", "subject", "segment", "recording")
"""Names with a meaning of their own in a recording."""
PLACES = ("x", "y", "z")
"""Positions: a recording holds metres, and other packages do not say what they hold."""


def coordinates(columns: Mapping[str, Any], dim: str, size: int, prefix: str) -> tuple[dict[str, Any], list[str]]:
    """Give the columns of numbers, booleans or texts as coordinates, and the names of those left out.

    A column whose name has another meaning in a recording is kept under the prefix.
    """
    kept: dict[str, Any] = {}
    left = []
    for name, column in columns.items():
        values = np.asarray(column)
        if values.dtype.kind in "UO":
            texts = all(isinstance(one, str) for one in values.ravel())
            values = values.astype(object) if texts else np.empty(0, dtype=object)
        if values.shape != (size,) or values.dtype.kind not in "biufO":
            left.append(str(name))
            continue
        meant = str(name) in TAKEN or str(name) in PLACES
        kept[f"{prefix}_{name}" if meant else str(name)] = (dim, values)
    return kept, left


def columns(rec: xr.DataArray, dim: str) -> dict[str, np.ndarray]:
    """Give the coordinates along a dim alone, without its labels, as arrays that pandas and others take."""
    found = {str(name): coord.values for name, coord in rec.coords.items() if coord.dims == (dim,) and name != dim}
    return {name: values.astype(str) if values.dtype.kind == "O" else values for name, values in found.items()}
