"""What every measure of pairs begins and ends with: a complete (sample, unit) matrix, labels on both sides."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.matrix import Stacked, require_complete, stack

SIDES = ("source", "target")


def complete(recording: xr.DataArray, analysis: str, *, samples: int = 2) -> Stacked:
    """Stack a recording; refuse one with missing values or fewer than `samples` samples."""
    stacked = stack(recording)
    require_complete(recording, analysis)
    if len(stacked.values) < samples:
        raise AnalysisError(
            f"{analysis}: {len(stacked.values)} samples along {stacked.sample_dims}; at least {samples} are needed"
        )
    return stacked


def sampling_rate(recording: xr.DataArray, analysis: str) -> float:
    """Give the rate of the regular clock, per clock unit; refuse a recording that has none."""
    rate = recording.attrs.get("sampling_rate")
    if "time" not in recording.dims or rate is None:
        found = "no time dim" if "time" not in recording.dims else "an irregular clock"
        raise AnalysisError(f"{analysis}: a regular clock is needed, found {found} in dims {recording.dims}")
    return float(rate)


def one_of(value: str, allowed: tuple[str, ...], analysis: str, name: str) -> None:
    """Refuse an option that is not one of those allowed."""
    if value not in allowed:
        raise AnalysisError(f"{analysis}: {name} is {value!r}; one of {', '.join(allowed)} is needed")


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
