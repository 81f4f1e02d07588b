"""The labels of a (source, target) matrix of units, and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import xarray as xr

SIDES = ("source", "target")


def pair_coords(unit_coords: Mapping[Hashable, xr.DataArray]) -> dict[str, Any]:
    """Turn the coordinates of `unit` into `source`, `target`, `source_<name>` and `target_<name>`."""
    return {
        side if name == "unit" else f"{side}_{name}": (side, coord.values, coord.attrs)
        for side in SIDES
        for name, coord in unit_coords.items()
    }


def unit_coords(graph: xr.DataArray) -> dict[str, Any]:
    """Turn `source` and its side coordinates back into the coordinates of `unit`."""
    return {
        "unit" if name == "source" else str(name).removeprefix("source_"): ("unit", coord.values, coord.attrs)
        for name, coord in graph.coords.items()
        if coord.dims == ("source",)
    }
